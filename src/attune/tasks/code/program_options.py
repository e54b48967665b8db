"""How programs that were written are run with their rows' tests, as a recipe says it."""

from __future__ import annotations

from pydantic import Field

from attune.core.recipe import Options
from attune.tasks.code.sandbox import Limits


class ProgramOptions(Options):
    """How a program is put together, and what it may use up."""

    continues: bool = False
    """Whether what is written goes on from what is read, as HumanEval's bodies do; else it is a program by itself."""
    seconds: float = Field(10.0, gt=0, le=600)
    """Seconds of the clock that a program with its tests may take."""
    memory: int = Field(1024, ge=64)
    """MiB of memory that it may take."""

    def limits(self) -> Limits:
        """What a program may use up."""
        return Limits(seconds=self.seconds, cpu=max(1, round(self.seconds)), memory=self.memory)
