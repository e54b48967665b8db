"""A seeded sample of the rows, for the checks that cost too much for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attune.core.texts import each, text_of
from attune.data.table import Table


@dataclass(frozen=True)
class Sample:
    """Rows drawn from all splits.

    Attributes:
        sides: `(N,)` split number of each row.
        rows: `(N,)` number in that split's table.
        texts: `N` texts, the two of a pair joined.
        labels: `N` labels, or lists of labels.
        total: Rows there are in all.
    """

    sides: NDArray[np.uint8]
    rows: NDArray[np.int64]
    texts: list[str]
    labels: list[Any]
    total: int

    def stated(self) -> str:
        """What the sample is, for a reader.

        Returns:
            "all 1,000 rows" or "20,000 of 1,000,000 rows, drawn at random".
        """
        if len(self.texts) == self.total:
            return f"all {self.total:,} rows"
        return f"{len(self.texts):,} of {self.total:,} rows, drawn at random"


def draw(tables: dict[str, Table], size: int, seed: int, longest: int = 20_000) -> Sample:
    """Draws rows at random, each with the same chance, in their order.

    Args:
        tables: The splits, train first.
        size: How many at most.
        seed: Of the draw.
        longest: Characters kept of a text.

    Returns:
        The sample.
    """
    names = ("train", "validation", "test")
    sizes = [len(tables[name]) if name in tables else 0 for name in names]
    total = sum(sizes)
    chosen = _choose(total, size, np.random.default_rng(seed))
    starts = np.cumsum([0, *sizes])
    sides: list[NDArray[np.uint8]] = []
    rows: list[NDArray[np.int64]] = []
    texts: list[str] = []
    labels: list[Any] = []
    for side, name in enumerate(names):
        mine = chosen[(chosen >= starts[side]) & (chosen < starts[side + 1])] - starts[side]
        if not len(mine):
            continue
        sides.append(np.full(len(mine), side, np.uint8))
        rows.append(mine)
        for part in np.array_split(mine, max(len(mine) // 2000, 1)):
            for row in tables[name].select(part):
                texts.append(each(lambda text: text[:longest], text_of(row)))
                labels.append(row["labels"] if tables[name].multi_label else row.get("label", ""))
    if not texts:
        return Sample(np.empty(0, np.uint8), np.empty(0, np.int64), [], [], total)
    return Sample(np.concatenate(sides), np.concatenate(rows), texts, labels, total)


def _choose(total: int, size: int, random: np.random.Generator) -> NDArray[np.int64]:
    """`size` different numbers below `total`, sorted, without a permutation of all of them."""
    if size >= total:
        return np.arange(total)
    chosen = np.unique(random.integers(0, total, size))
    while len(chosen) < size:
        chosen = np.unique(np.concatenate([chosen, random.integers(0, total, size - len(chosen))]))
    return chosen
