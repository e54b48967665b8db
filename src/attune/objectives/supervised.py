"""The supervised objective: the task's own loss on labelled rows."""

from __future__ import annotations

from typing import ClassVar, Protocol

from torch import Tensor


class Scored(Protocol):
    """What an objective needs of a model: a loss and a weight a row."""

    def loss(self, inputs: dict[str, Tensor], targets: Tensor) -> tuple[Tensor, Tensor]:
        """Total `(B,)` and weight `(B,)`."""
        ...


class Supervised:
    """Learns from labelled rows; nothing is added to the task's loss."""

    needs: ClassVar[frozenset[str]] = frozenset()
    per_row: ClassVar[bool] = True
    summary: ClassVar[str] = "the task's own loss on labelled rows"

    def loss(self, model: Scored, inputs: dict[str, Tensor], targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of one micro-batch.

        Args:
            model: The assembled model.
            inputs: The collated batch, each `(B, T)`.
            targets: `(B,)` or `(B, K)`.

        Returns:
            Total loss `(B,)` and weight `(B,)`; their sums are divided after accumulation.
        """
        return model.loss(inputs, targets)
