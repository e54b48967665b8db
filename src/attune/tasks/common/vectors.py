"""What tasks have in common whose answer is a vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from attune.core.texts import FIRST
from attune.tasks.common import pieces
from attune.tasks.common.labelled import Labels
from attune.tasks.heads.registry import HEADS

DIGITS = 6
"""Digits of a vector's numbers that an answer has."""


class VectorTask:
    """A vector a text, near to those of some other texts.

    All texts of a batch are compared with each other, so that the loss couples its rows, and a batch accumulated from
    several is one batch.

    Args:
        options: Validated options, with `head`, `size` and `sizes`.
    """

    fields: ClassVar[tuple[str, ...]] = (FIRST,)
    features: ClassVar[str] = "pooled"
    needs: ClassVar[frozenset[str]] = frozenset()
    asks: ClassVar[str] = "vector"
    """What it has a head answer with."""
    per_row: ClassVar[bool] = False
    """Whether the loss of a row is the same in every batch."""
    cuts: ClassVar[bool] = True
    cut: ClassVar[str] = "only the first {limit} tokens of a text were read"
    multi_label: ClassVar[bool] = False
    tempered: ClassVar[bool] = False
    paired: ClassVar[bool] = False
    """Whether two texts share a sequence."""
    untrained: ClassVar[str] = "Nothing was trained: vectors are the backbone's own."
    """What the card says where the method trains nothing."""
    limits: ClassVar[str] = (
        "A vector says nothing by itself: compare it with vectors of the same bundle only. The nearest text is found "
        "however far it is."
    )
    """What a user of the answers should know."""

    def __init__(self, options: Any) -> None:
        self.options = options

    def why_not(self, width: int) -> str:
        """Why these options cannot work on a backbone of that many features; empty where they can."""
        most = max(self.options.sizes, default=0)
        if most <= width:
            return ""
        return f"task.sizes asks for {most} features, and the backbone has {width}; use at most {width}"

    def answers_with(self, labels: Labels) -> str:
        """What an answer is, for the card."""
        del labels
        size = self.size(0)
        told = f" of {size} numbers" if size else ""
        also = f"; its first {', '.join(map(str, sorted(self.options.sizes)))} are vectors too" * bool(
            self.options.sizes
        )
        return f"Answers with a vector{told} of length one{also}"

    def size(self, width: int) -> int:
        """Features of the vectors that are answered, of a backbone that gives so many."""
        return self.options.size or max(self.options.sizes, default=width)

    def pieces(self) -> int:
        """How many sequences are read of a row, at least."""
        return 1

    @property
    def places(self) -> int:
        """Texts that a row may have: itself, and one that belongs to it."""
        return 2

    def join(self, pooled: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """The vectors of each row's texts.

        Args:
            pooled: `(P, D)`, the vectors of all texts of all rows.
            inputs: The collated batch, whose marks say where a row begins.

        Returns:
            `(B, places, D)`, zeros where a row has fewer texts.
        """
        return pieces.stacked(pieces.parted(pooled, inputs), self.places)

    def head(self, width: int, labels: Labels, dropout: float) -> nn.Module:
        """A head that scales vectors to length one."""
        del width, labels, dropout
        return HEADS.get(self.options.head)()

    def outputs_of(self, labels: Labels) -> int:
        """How many vectors the head gives of a row."""
        del labels
        return self.places
