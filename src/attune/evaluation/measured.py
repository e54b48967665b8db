"""One way to measure what was answered, whatever the task: by label, or by the task's own figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from attune.core.records import Answers, Scores
from attune.errors import DataError
from attune.evaluation import alignment
from attune.evaluation.resampling import CELLS, Resampler
from attune.tasks import metrics
from attune.tasks.metrics import Floats, checked, classification_metrics

Given = Answers | Scores


class ScoreResampler:
    """A task's own figures under many row weights, in the shape of `Resampler`.

    Args:
        scores: N rows.
        names: The metrics wanted.
    """

    def __init__(self, scores: Scores, names: Sequence[str]) -> None:
        self.scores = scores
        self.names = tuple(names)
        self.rows = len(scores.gold)

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Metric name to `(R,)`, for weights `(R, N)`."""
        found = self.scores.measure(weights)
        return {name: found[name] for name in self.names}

    def block(self) -> int:
        """Resamples to take at once."""
        return max(1, CELLS // max(self.rows, 1))


def names_of(given: Given) -> tuple[str, ...]:
    """Every metric."""
    return given.has() if isinstance(given, Scores) else metrics.names_of(given)


def headline_of(given: Given) -> tuple[str, ...]:
    """The metrics to show first; the first of them is the one that is tested."""
    return given.leads() if isinstance(given, Scores) else metrics.headline_of(metrics.names_of(given))


def resampler(given: Given, names: Sequence[str]) -> Resampler | ScoreResampler:
    """What measures reweighted rows."""
    return ScoreResampler(given, names) if isinstance(given, Scores) else Resampler(given, names)


def values(given: Given) -> dict[str, float]:
    """Every metric of all rows.

    Args:
        given: N rows, N > 0.

    Returns:
        Name to figure.

    Raises:
        DataError: There are no rows, or shapes do not fit each other.
    """
    verified(given)
    if not isinstance(given, Scores):
        return classification_metrics(given)
    found = given.measure(np.ones((1, len(given.gold))))
    return {name: float(found[name][0]) for name in given.has()}


def verified(given: Given) -> None:
    """Refuses answers without rows, or whose parts do not fit each other."""
    if not isinstance(given, Scores):
        checked(given)
    elif not len(given.gold) == len(given.chosen) > 0:
        raise DataError(
            f"{len(given.chosen)} answers to {len(given.gold)} rows",
            where=given.name,
            expected="one answer a row, and at least one row",
        )


def right(given: Given) -> NDArray[np.bool_]:
    """Which rows are answered exactly right `(N,)`."""
    return given.right() if isinstance(given, Scores) else alignment.right(given)


def align(a: Given, b: Given) -> tuple[Given, Given]:
    """Two sets of answers to the same rows, made comparable.

    Args:
        a: The first.
        b: The second.

    Returns:
        Both, over the same labels where there are labels.

    Raises:
        DataError: The rows, what is right for them or the kind of task differ.
    """
    if isinstance(a, Answers) and isinstance(b, Answers):
        return alignment.align(a, b)
    if type(a) is not type(b):
        raise DataError(
            "they answer different kinds of question",
            where=f"{a.name} and {b.name}",
            expected="answers to the same task",
        )
    verified(a)
    verified(b)
    differing = [row for row, (one, other) in enumerate(zip(a.gold, b.gold, strict=False)) if one != other]
    if len(a.gold) != len(b.gold) or differing:
        where = f"what is right differs, first in row {differing[0] + 1}" if differing else "numbers of rows differ"
        raise DataError(
            f"{len(a.gold)} rows against {len(b.gold)}; {where}",
            where=f"{a.name} and {b.name}",
            expected="answers to the same rows in the same order",
            remedy="evaluate both on the same file",
        )
    return a, b


def stacked(a: Given, b: Given) -> Given:
    """Aligned answers one below the other: rows of `a`, then rows of `b`."""
    if isinstance(a, Answers) and isinstance(b, Answers):
        return alignment.stacked(a, b)
    assert isinstance(a, Scores) and isinstance(b, Scores)
    return a.beside(b)
