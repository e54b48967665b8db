"""Numbers as answers: how a cell is read as one, what is learned of them, and how answers are scored."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from attune.core.records import Scores
from attune.errors import DataError
from attune.tasks.common.correlation import Floats, correlation, ranks
from attune.tasks.common.labelled import Labels

WRITTEN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
DIGITS = 7
"""Significant digits of an answer: what float32 holds."""
NEAR = 0.5
"""Of the gold numbers' standard deviation: an answer no further off counts as right where rows are listed."""
CONSTANT = 1e-12
"""Share of all rows' variance below which a weighting of them counts as rows that do not vary."""


def number(cell: Any, row: Mapping[str, Any]) -> float:
    """A cell as a number.

    Args:
        cell: A number, or text that is one.
        row: What is read of the row already; not needed.

    Returns:
        The number.

    Raises:
        ValueError: It is not one, or not a finite one; the reason is a clause.
    """
    del row
    if isinstance(cell, str):
        if not WRITTEN.fullmatch(cell.strip()):
            raise ValueError(f"{cell[:40]!r} where a number was expected{comma(cell)}")
        cell = float(cell)
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        what = "true or false" if isinstance(cell, bool) else f"a {type(cell).__name__}"
        raise ValueError(f"{what} where a number was expected")
    if not math.isfinite(cell):
        raise ValueError(f"{cell}, and nothing can be learned from a number that is not finite")
    return float(cell)


def comma(cell: str) -> str:
    """What to do about a number with a decimal comma; nothing where it is something else."""
    return "; write decimals with a point" if WRITTEN.fullmatch(cell.strip().replace(",", ".")) else ""


@dataclass(frozen=True)
class Numbers(Labels):
    """What is learned of the training rows' numbers: no names; how many they are, and how they lie."""

    mean: float = 0.0
    spread: float = 1.0
    low: float = 0.0
    high: float = 0.0


def learned(golds: Iterable[float]) -> Numbers:
    """Mean and standard deviation of the training rows' numbers.

    Args:
        golds: One a row.

    Returns:
        They, with the smallest and the largest.

    Raises:
        DataError: There are none, or all are equal.
    """
    found = np.fromiter(golds, dtype=np.float64)
    if not len(found) or not np.ptp(found):
        raise DataError(
            f"all {len(found)} training rows have the number {found[0]:g}" if len(found) else "no training row",
            where="data.label",
            expected="numbers that differ",
            remedy="check data.label and the split; where all are equal there is nothing to learn",
        )
    return Numbers((), (len(found),), *(float(x) for x in (found.mean(), found.std(), found.min(), found.max())))


def rounded(value: float) -> float:
    """A number to as many digits as are known of it."""
    return float(f"{value:.{DIGITS}g}")


@dataclass(frozen=True)
class NumberScores(Scores):
    """Numbers answered beside the numbers that are right.

    Spearman's and Pearson's correlation are 0 where either side does not vary; so is `r2`, the share of the gold
    numbers' variance that the answers explain, where gold does not.
    """

    names: ClassVar[tuple[str, ...]] = (
        "spearman", "pearson", "r2", "mean_absolute_error", "root_mean_squared_error",
    )  # fmt: skip
    headline: ClassVar[tuple[str, ...]] = ("spearman", "pearson")

    def measure(self, weights: Floats) -> dict[str, Floats]:
        """Every metric under each weighting `(R, N)`: name to `(R,)`."""
        gold, chosen = np.asarray(self.gold, dtype=np.float64), np.asarray(self.chosen, dtype=np.float64)
        total = weights.sum(1)
        squared = weights @ (chosen - gold) ** 2
        middle = (weights @ gold) / total
        variance = (weights * (gold - middle[:, None]) ** 2).sum(1)
        varies = variance > CONSTANT * total * max(float(gold.var()), 1e-300)
        return {
            "spearman": correlation(ranks(gold, weights), ranks(chosen, weights), weights),
            "pearson": correlation(gold, chosen, weights),
            "r2": np.where(varies, 1 - squared / np.where(varies, variance, 1.0), 0.0),
            "mean_absolute_error": weights @ np.abs(chosen - gold) / total,
            "root_mean_squared_error": np.sqrt(squared / total),
        }

    def off(self) -> Floats:
        """How far each answer is off `(N,)`."""
        return np.abs(np.asarray(self.chosen, dtype=np.float64) - np.asarray(self.gold, dtype=np.float64))

    def right(self) -> NDArray[np.bool_]:
        """Which rows are answered within half a standard deviation of the gold numbers `(N,)`."""
        return self.off() <= NEAR * np.std(np.asarray(self.gold, dtype=np.float64))

    def gravity(self) -> Floats:
        """The largest errors are listed first."""
        return self.off()

    def words(self, value: Any) -> list[str]:
        """A number as a person reads it."""
        return [f"{value:.4g}"]
