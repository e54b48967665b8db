"""What every task has in common whose answers are measured by `Scores` of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from attune.core.records import Prediction, Scores
from attune.errors import RecipeError, nearest
from attune.tasks.metrics import higher_is_better


def metric_of(kind: type[Scores], name: str) -> tuple[str, bool]:
    """A metric to choose on, and whether more of it is better.

    Args:
        kind: What the task's answers are measured by.
        name: One of its metrics, `loss`, or nothing for the first headline.

    Returns:
        The name and the direction.

    Raises:
        RecipeError: There is no such metric.
    """
    name = name or kind.headline[0]
    known = (*kind.names, "loss")
    if name not in known:
        raise RecipeError(f"the task has no metric {name!r}", where="training.metric", remedy=nearest(name, known))
    return name, higher_is_better(name)


def confidences(predictions: Sequence[Prediction]) -> NDArray[np.float64] | None:
    """How sure each answer is `(N,)`; nothing where one of them does not say."""
    sure = [found.confidence for found in predictions]
    return None if any(value is None for value in sure) else np.asarray(sure, dtype=np.float64)


def figures(answers: Scores) -> dict[str, float]:
    """Every metric of a set of answers, by name."""
    found = answers.measure(np.ones((1, len(answers.gold))))
    return {name: float(found[name][0]) for name in answers.has()}
