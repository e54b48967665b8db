"""Rows that are read as several sequences: the first token of a row is marked, so that a batch can be parted again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from attune.core.encoding import Encoding
from attune.core.packing import marks_of, with_marks
from attune.core.records import Input


def encoded(backbone: Any, parts: Sequence[Sequence[Input]]) -> Encoding:
    """What is read of each row, as the row's pieces, the first token of a row marked.

    Args:
        backbone: Encodes.
        parts: For each row what is read of it.

    Returns:
        One row a row.
    """
    encoding = backbone.encode([item for part in parts for item in part]).grouped([len(part) for part in parts])
    return replace(encoding, ids=[begun(row) for row in encoding.ids])


def begun(row: Any) -> Any:
    """A row's tokens, the first of them marked."""
    marks = marks_of(row).copy()
    marks[0] = 1
    return with_marks(row, marks)


def parted(pooled: Tensor, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    """The vectors of each row's pieces.

    Args:
        pooled: `(P, D)`, the vectors of all pieces of all rows.
        inputs: The collated batch, whose marks say where a row begins.

    Returns:
        For each row `(pieces, D)`.
    """
    starts = torch.nonzero(inputs["marks"][:, 0]).flatten().tolist()
    return [pooled[a:b] for a, b in zip(starts, [*starts[1:], len(pooled)], strict=True)]


def stacked(parts: Sequence[Tensor], most: int) -> Tensor:
    """Rows of unlike many vectors `(pieces, D)` as `(B, most, D)`, zeros where a row has no more."""
    return torch.stack([F.pad(part, (0, 0, 0, most - len(part))) for part in parts])
