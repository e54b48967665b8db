"""Pairs: two texts with a label (inference, paraphrase, matching), or any number of labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from attune.core.records import Input
from attune.core.texts import FIRST, SECOND
from attune.tasks.common.labelled import LabelOptions, LabelTask


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
    cut: ClassVar[str] = "only {limit} tokens were read; the end of a text was cut off"

    def __init__(self, options: PairOptions) -> None:
        super().__init__(options)
        self.cross = options.encoder == "cross"

    def inputs(self, row: Mapping[str, Any]) -> list[Input]:
        """What the backbone should read of a row: both texts as one sequence, or one after the other."""
        if self.cross:
            return [Input(row[FIRST], pair=row[SECOND])]
        return [Input(row[FIRST], "first"), Input(row[SECOND], "second")]

    def pieces(self) -> int:
        """How many things are read of a row: one sequence, or two."""
        return 1 if self.cross else 2

    def width(self, width: int) -> int:
        """Features of a row: those of the sequence, or four times as many."""
        return width if self.cross else 4 * width

    def join(self, pooled: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """One vector a row; with two encoders `[u, v, |u − v|, u · v]` (Reimers & Gurevych 2019, table 6).

        Args:
            pooled: `(B, D)`, or `(2B, D)` with the two vectors of a row one after the other.
            inputs: The collated batch.

        Returns:
            `(B, D)`, or `(B, 4D)`.
        """
        del inputs
        if self.cross:
            return pooled
        first, second = pooled[0::2], pooled[1::2]
        return torch.cat([first, second, (first - second).abs(), first * second], dim=-1)
