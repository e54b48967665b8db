"""Several tasks' features, outputs and targets, by the task's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attune.tasks.common.aligned import Aligned


class Parts(dict[str, Tensor]):
    """A tensor a task."""

    def to(self, device: torch.device) -> Parts:
        """All of them on a device."""
        return Parts({name: value.to(device) for name, value in self.items()})

    def float(self) -> Parts:
        """All of them in float32."""
        return Parts({name: value.float() for name, value in self.items()})


@dataclass(frozen=True)
class Given:
    """Targets of rows.

    Attributes:
        parts: By task, of all N rows; what stands there for a row without gold is nothing to learn from.
        there: By task `(N,)` which rows have gold.
    """

    parts: Mapping[str, Tensor | Aligned]
    there: Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class Targets:
    """Targets of a batch.

    Attributes:
        parts: By task `(B,)`, `(B, K)`, or `(P, T)` of the tokens of the rows' P pieces.
        there: By task `(B,)` bool: which rows have gold.
        rows: `(P,)` the row that each piece is of.
    """

    parts: Parts
    there: Parts
    rows: Tensor

    def to(self, device: torch.device) -> Targets:
        """All of it on a device."""
        return Targets(self.parts.to(device), self.there.to(device), self.rows.to(device))


def by_row(values: Tensor, rows: Tensor, count: int) -> Tensor:
    """Sums over the pieces of each row `(B,)`, of values of pieces `(P,)`."""
    return values.new_zeros(count).index_add(0, rows, values)


def chosen(found: Any, there: NDArray[np.bool_]) -> Any:
    """Targets of the rows that have gold, with something in between for those that have none.

    Args:
        found: Of the M rows that have gold: a tensor `(M, …)`, or targets of tokens with `each`.
        there: `(N,)`, M of them true.

    Returns:
        A tensor `(N, …)` with zeros in between.
    """
    spread = found.new_zeros((len(there), *found.shape[1:]))
    spread[torch.from_numpy(np.flatnonzero(there))] = found
    return spread
