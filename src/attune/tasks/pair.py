"""Pairs: two texts with a label (inference, paraphrase, matching), or any number of labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from torch import Tensor

from attune.core.records import Input
from attune.core.texts import FIRST, SECOND
from attune.tasks.common.labelled import LabelOptions, LabelTask
from attune.tasks.common.reader import Reader


class PairOptions(LabelOptions):
    """What one text is to another."""

    name: Literal["pair"] = "pair"  # pyright: ignore[reportIncompatibleVariableOverride] frozen
    encoder: Literal["cross", "bi"] = "cross"
    """cross: both texts are read as one sequence, each token seeing both. bi: each is read on its own, and the head
    compares their two vectors; less exact, and a text's vector can be kept and compared with many."""


class Pair(LabelTask):
    """One label a pair of texts, or several; which of the two comes first matters.

    Args:
        options: Validated options.
    """

    Options: ClassVar[type[PairOptions]] = PairOptions
    summary: ClassVar[str] = "one label two texts, or several: inference, paraphrase, matching"
    fields: ClassVar[tuple[str, ...]] = (FIRST, SECOND)
    needs: ClassVar[frozenset[str]] = frozenset({"pairs"})
    baselines: ClassVar[tuple[str, ...]] = ("majority", "tfidf")
    cut: str = "only {limit} tokens were read; the end of a text was cut off"

    def __init__(self, options: PairOptions) -> None:
        super().__init__(options)
        self.reader = Reader(options.encoder)

    def inputs(self, row: Mapping[str, Any]) -> list[Input]:
        """What the backbone should read of a row: both texts as one sequence, or one after the other."""
        return self.reader.inputs(row)

    def pieces(self) -> int:
        """How many things are read of a row: one sequence, or two."""
        return self.reader.pieces

    def width(self, width: int) -> int:
        """Features of a row: those of the sequence, or four times as many."""
        return self.reader.width(width)

    def join(self, pooled: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """One vector a row `(B, width(D))`, of the vectors `(B · pieces, D)` of what was read of it."""
        del inputs
        return self.reader.join(pooled)
