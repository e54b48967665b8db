"""The supervised objective: the task's own loss on labelled rows."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor

from attune.core.recipe import Options
from attune.objectives.base import Scored


class SupervisedOptions(Options):
    """The task's own loss."""

    name: Literal["supervised"] = "supervised"


class Supervised:
    """Learns from labelled rows; nothing is added to the task's loss.

    Args:
        options: Validated options.
    """

    Options: ClassVar[type[SupervisedOptions]] = SupervisedOptions
    needs: ClassVar[frozenset[str]] = frozenset()
    per_row: ClassVar[bool] = True
    pairs: ClassVar[bool] = False
    """Whether a row is two answers, of which one is preferred, rather than what is right."""
    draws: ClassVar[bool] = False
    """Whether it learns from texts that the model draws at every step."""
    pace: ClassVar[float] = 1.0
    """Multiplies the method's learning rates, where the recipe gives none."""
    summary: ClassVar[str] = "the task's own loss on labelled rows"

    def __init__(self, options: SupervisedOptions) -> None:
        self.options = options

    def loss(self, model: Scored, inputs: dict[str, Tensor], targets: Any) -> tuple[Tensor, Tensor]:
        """The loss of one micro-batch.

        Args:
            model: The assembled model.
            inputs: The collated batch, each `(B, T)`.
            targets: `(B,)` or `(B, K)`, or what else the task learns from.

        Returns:
            Total loss `(B,)` and weight `(B,)`; their sums are divided after accumulation.
        """
        return model.loss(inputs, targets)
