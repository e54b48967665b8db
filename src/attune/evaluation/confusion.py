"""A confusion matrix made ready to be seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

Matrix = Sequence[Sequence[int]]

MOST_CELLS = 4_000
"""Cells drawn in a heat map, the fullest first."""


class Pair(TypedDict):
    """One label taken for another: how often, and as what share of the gold label's rows."""

    gold: str
    chosen: str
    count: int
    share: float
    back: int


class Cell(TypedDict):
    """One cell of a heat map; `strength` in 0–1."""

    row: int
    column: int
    right: bool
    strength: float
    said: str


def confused_pairs(matrix: Matrix, labels: Sequence[str], most: int = 15) -> list[Pair]:
    """The most frequent confusions.

    Args:
        matrix: `(K, K)` counts, gold by chosen.
        labels: K names.
        most: How many at most.

    Returns:
        Pairs, most frequent first; `back` is how often the second is taken for the first.
    """
    found: list[Pair] = []
    for g, row in enumerate(matrix):
        for c, count in enumerate(row):
            if count and g != c:
                share = count / sum(row)
                found.append(
                    {"gold": labels[g], "chosen": labels[c], "count": count, "share": share, "back": matrix[c][g]}
                )
    return sorted(found, key=lambda pair: (-pair["count"], -pair["share"], pair["gold"], pair["chosen"]))[:most]


def heat_table(matrix: Matrix) -> list[list[tuple[int, float]]]:
    """Every count with its share of the gold label's rows, in rounded hundredths for colour."""
    return [[(count, round(count / max(1, sum(row)), 2)) for count in row] for row in matrix]


def heat_cells(matrix: Matrix, labels: Sequence[str]) -> list[Cell]:
    """The filled cells of a large matrix: right ones by recall, wrong ones by the root of their count.

    Args:
        matrix: `(K, K)` counts, gold by chosen.
        labels: K names.

    Returns:
        Cells in reading order, at most 4,000.
    """
    wrong = max((count for g, row in enumerate(matrix) for c, count in enumerate(row) if g != c), default=0)
    found: list[tuple[int, Cell]] = []
    for g, row in enumerate(matrix):
        for c, count in enumerate(row):
            if count:
                strength = count / sum(row) if g == c else 0.25 + 0.75 * (count / wrong) ** 0.5
                said = f"{labels[g]}: {count} right" if g == c else f"{labels[g]} → {labels[c]}: {count}"
                cell: Cell = {"row": g, "column": c, "right": g == c, "strength": round(strength, 2), "said": said}
                found.append((count, cell))
    kept = sorted(found, key=lambda item: -item[0])[:MOST_CELLS]
    return sorted((cell for _, cell in kept), key=lambda cell: (cell["row"], cell["column"]))
