"""The reward of programs: whether they pass their row's tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from attune.tasks.code.passing import passed
from attune.tasks.code.problems import program_of
from attune.tasks.code.sandbox import Limits
from attune.tasks.rewards.base import Gold, Row


class Passes:
    """One for a program that passes all tests, else zero; run as `task.programs` has programs run.

    Args:
        limits: What a program may use up.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"problem"})

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    @classmethod
    def of(cls, task: Any, labels: Any) -> Self:
        """With the limits of the recipe."""
        del labels
        return cls(task.options.programs.limits())

    def __call__(self, text: str, row: Row, gold: Gold) -> float:
        """Whether one program passes.

        Args:
            text: What was written.
            row: Not read.
            gold: With `problem`.

        Returns:
            One or zero.
        """
        del row
        return self.together([text], [gold])[0]

    def together(self, texts: Sequence[str], golds: Sequence[Gold]) -> list[float]:
        """Whether each of N programs passes; several run at once.

        Args:
            texts: What was written.
            golds: With `problem`.

        Returns:
            N times one or zero.
        """
        problems = [gold["problem"] for gold in golds]
        each = [[program_of(text, problem)] for text, problem in zip(texts, problems, strict=True)]
        return [float(verdict.passed) for (verdict,) in passed(problems, each, self.limits)]
