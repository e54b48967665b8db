"""How the texts of a row are read, and how what was read of them becomes the features of one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from attune.core.records import Input
from attune.core.texts import FIRST, SECOND


@dataclass(frozen=True)
class Reader:
    """One way of reading one text or two.

    Attributes:
        encoder: `single`: one text. `cross`: two texts as one sequence. `bi`: each of two texts on its own, their
            vectors side by side. `cosine`: each on its own, and nothing but the cosine of their vectors.
    """

    encoder: str

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a row that hold its texts."""
        return (FIRST,) if self.encoder == "single" else (FIRST, SECOND)

    @property
    def pieces(self) -> int:
        """How many sequences are read of a row."""
        return 1 if self.encoder in ("single", "cross") else 2

    def inputs(self, row: Mapping[str, Any]) -> list[Input]:
        """What the backbone should read of a row."""
        if self.encoder == "single":
            return [Input(row[FIRST])]
        if self.encoder == "cross":
            return [Input(row[FIRST], pair=row[SECOND])]
        return [Input(row[FIRST], "first"), Input(row[SECOND], "second")]

    def width(self, width: int) -> int:
        """Features of a row, where each sequence has `width`."""
        return {"bi": 4 * width, "cosine": 1}.get(self.encoder, width)

    def join(self, pooled: Tensor) -> Tensor:
        """One vector a row; of two vectors `[u, v, |u − v|, u · v]` (Reimers & Gurevych 2019, table 6), or the cosine.

        Args:
            pooled: `(B, D)`, or `(2B, D)` with the two vectors of a row one after the other.

        Returns:
            `(B, D)`, `(B, 4D)` or `(B, 1)`.
        """
        if self.pieces == 1:
            return pooled
        first, second = pooled[0::2], pooled[1::2]
        if self.encoder == "cosine":
            return F.cosine_similarity(first, second, dim=-1).unsqueeze(-1)
        return torch.cat([first, second, (first - second).abs(), first * second], dim=-1)


def reading_of(texts: int, pieces: int) -> str:
    """How texts that are read as they stand are read, in words; equal for tasks that can share it."""
    if texts == 1:
        return "one text"
    return "two texts as one sequence" if pieces == 1 else "two texts, each on its own"
