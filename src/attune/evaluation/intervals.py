"""How sure a figure is: percentile bootstrap intervals, and paired tests between two sets of answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from statsmodels.stats.contingency_tables import mcnemar

from attune.core.records import Answers
from attune.evaluation import measured
from attune.evaluation.measured import Given
from attune.evaluation.resampling import bootstrap_weights, swap_weights
from attune.tasks.metrics import Floats

MCNEMAR = "exact McNemar"
RANDOMISATION = "approximate randomisation"
COUNTED: dict[bool, tuple[str, ...]] = {False: ("accuracy", "micro_f1"), True: ("subset_accuracy",)}
"""Metrics that only count rows answered right, by whether the task is multi-label; McNemar's test is exact for them."""

ROUNDING = 1e-12


@dataclass(frozen=True)
class Interval:
    """A figure and the bounds of its bootstrap interval."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Difference:
    """The first figure less the second on the same rows, its interval, and the test of whether it is chance.

    `p` is the probability of a difference at least as large were both equally good (two-sided), by the test named.
    """

    value: float
    low: float
    high: float
    p: float
    test: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def intervals(
    answers: Given, names: Sequence[str], *, confidence: float, resamples: int, seed: int
) -> dict[str, Interval]:
    """Metrics with percentile bootstrap intervals over rows (Efron and Tibshirani, 1993, chapter 13).

    Args:
        answers: N rows.
        names: Metrics wanted, of those it has.
        confidence: Level of the intervals.
        resamples: Bootstrap resamples.
        seed: Seed of the resampling.

    Returns:
        Name to interval, in the order asked.

    Raises:
        DataError: There are no rows, or the shapes do not fit each other.
    """
    values = measured.values(answers)
    resampler = measured.resampler(answers, names)
    drawn = bootstrap_weights(resampler.rows, resamples, resampler.block(), seed)
    blocks = [resampler(weights) for weights in drawn]
    result: dict[str, Interval] = {}
    for name in names:
        low, high = bounds(np.concatenate([block[name] for block in blocks]), confidence)
        result[name] = Interval(values[name], low, high)
    return result


def bounds(values: Floats, confidence: float) -> tuple[float, float]:
    """The percentiles that leave out `1 - confidence`, half on each side."""
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def paired(
    a: Given, b: Given, names: Sequence[str], *, confidence: float, resamples: int, seed: int
) -> dict[str, Difference]:
    """Differences `a - b` on the same rows, with intervals and tests.

    Both are measured on the same bootstrap resamples, so what they share cancels. Accuracy is tested by McNemar's
    exact test (1947) on the rows only one gets right; every other metric by approximate randomisation (Noreen, 1989;
    Yeh, 2000): each row's two answers change sides by a coin, and p is the share of `resamples` such worlds, this one
    counted, with a difference at least as large.

    Args:
        a: The first answers.
        b: The second, to the same rows.
        names: Metrics wanted.
        confidence: Level of the intervals.
        resamples: Bootstrap resamples, and worlds of the randomisation test.
        seed: Seed of both.

    Returns:
        Name to difference, in the order asked.

    Raises:
        DataError: The rows, the gold labels or the kind of task differ.
    """
    a, b = measured.align(a, b)
    values_a, values_b = measured.values(a), measured.values(b)
    spread = bootstrap_differences(a, b, names, resamples, seed)
    counted = COUNTED[a.multi_label] if isinstance(a, Answers) else ()
    drawn = [name for name in names if name not in counted]
    chance = randomised(a, b, drawn, resamples, seed) if drawn else {}
    result: dict[str, Difference] = {}
    for name in names:
        value = values_a[name] - values_b[name]
        low, high = bounds(spread[name], confidence)
        p = mcnemar_p(a, b) if name in counted else share_as_large(chance[name], value)
        result[name] = Difference(value, low, high, p, MCNEMAR if name in counted else RANDOMISATION)
    return result


def bootstrap_differences(a: Given, b: Given, names: Sequence[str], resamples: int, seed: int) -> dict[str, Floats]:
    """Each metric's difference on every bootstrap resample `(R,)`."""
    first, second = measured.resampler(a, names), measured.resampler(b, names)
    block = min(first.block(), second.block())
    parts: list[dict[str, Floats]] = []
    for weights in bootstrap_weights(first.rows, resamples, block, seed):
        of_a, of_b = first(weights), second(weights)
        parts.append({name: of_a[name] - of_b[name] for name in names})
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def randomised(a: Given, b: Given, names: Sequence[str], resamples: int, seed: int) -> dict[str, Floats]:
    """Each metric's difference in worlds where every row's two answers change sides by a coin `(R,)`."""
    resampler = measured.resampler(measured.stacked(a, b), names)
    parts: list[dict[str, Floats]] = []
    for swapped in swap_weights(len(a.gold), resamples, resampler.block(), seed):
        first = resampler(np.hstack([1 - swapped, swapped]))
        second = resampler(np.hstack([swapped, 1 - swapped]))
        parts.append({name: first[name] - second[name] for name in names})
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def share_as_large(differences: Floats, observed: float) -> float:
    """Two-sided p of a randomisation test; the observed world counts as one, so it is never zero."""
    as_large = int((np.abs(differences) >= abs(observed) - ROUNDING).sum())
    return (as_large + 1) / (len(differences) + 1)


def mcnemar_p(a: Given, b: Given) -> float:
    """p of McNemar's exact test on which rows each gets right."""
    measured.verified(a)
    first, second = measured.right(a), measured.right(b)
    table = [
        [int((first & second).sum()), int((first & ~second).sum())],
        [int((~first & second).sum()), int((~first & ~second).sum())],
    ]
    test: Any = mcnemar(table, exact=True)
    return min(1.0, float(test.pvalue))
