"""Two sets of answers to the same rows, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from attune.core.recipe import EvaluationOptions
from attune.core.records import Answers
from attune.evaluation.alignment import align, right
from attune.evaluation.intervals import Difference, Interval, intervals, paired
from attune.evaluation.result import read_intervals
from attune.evaluation.rows import check_rows, excerpt, names
from attune.tasks.metrics import headline_of, names_of


class Parted(TypedDict):
    """A row that only one of two gets right."""

    id: str
    text: str
    gold: list[str]
    a: list[str]
    b: list[str]


@dataclass(frozen=True)
class Comparison:
    """How two sets of answers to the same rows differ.

    Attributes:
        a: Name of the first.
        b: Name of the second.
        multi_label: Whether a row may have several labels.
        rows: N.
        confidence: Level of the intervals.
        metrics_a: Every metric of the first.
        metrics_b: Every metric of the second.
        differences: Every metric of the first less that of the second.
        only_a: Rows that only the first gets right.
        only_b: Rows that only the second gets right.
        both: How many rows both get right.
        neither: How many rows neither gets right.
    """

    a: str
    b: str
    multi_label: bool
    rows: int
    confidence: float
    metrics_a: dict[str, Interval]
    metrics_b: dict[str, Interval]
    differences: dict[str, Difference]
    only_a: list[Parted]
    only_b: list[Parted]
    both: int
    neither: int

    @property
    def headline(self) -> tuple[str, ...]:
        """The metrics to show first."""
        return headline_of(self.metrics_a)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Comparison:
        """Reads what `as_dict` wrote.

        Args:
            document: Plain values; keys it does not know are left out.

        Returns:
            An equal comparison.
        """
        values = {field.name: document[field.name] for field in fields(cls)}
        for side in ("metrics_a", "metrics_b"):
            values[side] = read_intervals(document[side])
        values["differences"] = {name: Difference(**found) for name, found in document["differences"].items()}
        return cls(**values)


def compare(
    a: Answers, b: Answers, texts: Sequence[str], ids: Sequence[str], *, options: EvaluationOptions
) -> Comparison:
    """Compares two sets of answers to the same rows.

    Args:
        a: The first.
        b: The second.
        texts: Texts of the rows.
        ids: Ids of the rows.
        options: Level and resamples of the intervals, and their seed.

    Returns:
        The comparison.

    Raises:
        DataError: The rows, their gold labels or the kind of task differ.
    """
    check_rows(a, texts, ids)
    a, b = align(a, b)
    metrics, confidence, resamples, seed = names_of(a), options.confidence, options.resamples, options.seed
    first, second = right(a), right(b)
    return Comparison(
        a=a.name,
        b=b.name,
        multi_label=a.multi_label,
        rows=len(a.gold),
        confidence=confidence,
        metrics_a=intervals(a, metrics, confidence=confidence, resamples=resamples, seed=seed),
        metrics_b=intervals(b, metrics, confidence=confidence, resamples=resamples, seed=seed),
        differences=paired(a, b, metrics, confidence=confidence, resamples=resamples, seed=seed),
        only_a=parted(a, b, texts, ids, first & ~second),
        only_b=parted(a, b, texts, ids, second & ~first),
        both=int((first & second).sum()),
        neither=int((~first & ~second).sum()),
    )


def parted(a: Answers, b: Answers, texts: Sequence[str], ids: Sequence[str], chosen: NDArray[np.bool_]) -> list[Parted]:
    """The rows marked, with both answers."""
    return [
        {
            "id": str(ids[row]),
            "text": excerpt(texts[row]),
            "gold": names(a, a.gold, row),
            "a": names(a, a.chosen, row),
            "b": names(b, b.chosen, row),
        }
        for row in map(int, np.flatnonzero(chosen))
    ]
