"""Several tasks' answers to one set of rows, as one: whether all of a row is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from attune.core.records import Joint, Scores
from attune.evaluation.measured import right
from attune.evaluation.result import Evaluation
from attune.evaluation.rows import names

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Whole(Scores):
    """Rows with the answers of all tasks.

    Values of `gold` are `[whether it is right, [words …]]` with the gold's words and True, those of `chosen` with what
    was answered.
    """

    names: ClassVar[tuple[str, ...]] = ("all_right",)
    headline: ClassVar[tuple[str, ...]] = ("all_right",)

    def measure(self, weights: Floats) -> dict[str, Floats]:
        """The share of rows in which every task is right, under weights `(R, N)`."""
        return {"all_right": weights @ self.right() / weights.sum(axis=1)}

    def right(self) -> NDArray[np.bool_]:
        """Rows in which every task that has gold there is right `(N,)`."""
        return np.array([value[0] for value in self.chosen], dtype=np.bool_)

    def words(self, value: Any) -> list[str]:
        """What one row's tasks say."""
        return value[1]


def whole(joint: Joint) -> Whole:
    """The answers of several tasks row by row."""
    equal = np.ones(joint.count, dtype=np.bool_)
    gold: list[list[str]] = [[] for _ in range(joint.count)]
    chosen: list[list[str]] = [[] for _ in range(joint.count)]
    for name, part in joint.parts.items():
        equal[joint.rows[name]] &= right(part)
        for place, row in enumerate(joint.rows[name].tolist()):
            for side, values in ((gold, part.gold), (chosen, part.chosen)):
                side[row] += [f"{name}: {word}" for word in names(part, values, place)]
    told = [(bool(fine), words) for fine, words in zip(equal, chosen, strict=True)]
    return Whole(joint.name, [(True, words) for words in gold], told, None)


def together(found: Evaluation, parts: Mapping[str, Evaluation]) -> Evaluation:
    """The evaluation of rows as wholes, with those of the tasks in it.

    Args:
        found: Of the rows as wholes.
        parts: Of each task.

    Returns:
        One with every task's figures as `task.metric`, each on the rows whose gold the task has.
    """
    figures = {f"{name}.{metric}": value for name, part in parts.items() for metric, value in part.metrics.items()}
    first = [f"{name}.{metric}" for name, part in parts.items() for metric in part.headline[:2]]
    return replace(found, metrics={**found.metrics, **figures}, headline=[*found.headline, *first], parts=dict(parts))
