"""How good spans are: strict F1, as seqeval and the CoNLL shared tasks count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from attune.core.records import Scores

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SpanScores(Scores):
    """Spans answered beside gold spans; one counts as found if begin, end and label are right.

    Values of `gold` and `chosen` are lists of `{start, end, label}`.
    """

    names: ClassVar[tuple[str, ...]] = (
        "entity_f1", "entity_precision", "entity_recall", "macro_entity_f1", "exact_rows"
    )  # fmt: skip
    headline: ClassVar[tuple[str, ...]] = ("entity_f1", "macro_entity_f1")

    @cached_property
    def labels(self) -> list[str]:
        """Labels that occur in gold or chosen, sorted."""
        return sorted({span["label"] for side in (self.gold, self.chosen) for row in side for span in row})

    @cached_property
    def counts(self) -> Any:
        """Of each row, sparse `(3 P + 1, N)`: right, gold and chosen spans by label, and whether all are right."""
        place = {label: number for number, label in enumerate(self.labels)}
        count = len(place)
        entries: list[tuple[int, int]] = []
        for row, (gold, chosen) in enumerate(zip(self.gold, self.chosen, strict=True)):
            right, answered = keyed(gold), keyed(chosen)
            entries += [(place[key[2]], row) for key in right & answered]
            entries += [(count + place[key[2]], row) for key in right]
            entries += [(2 * count + place[key[2]], row) for key in answered]
            entries += [(3 * count, row)] if right == answered else []
        lines, columns = (
            np.array(part, dtype=np.int64) for part in (zip(*entries, strict=True) if entries else ((), ()))
        )
        return sparse.coo_matrix((np.ones(len(entries)), (lines, columns)), (3 * count + 1, len(self.gold))).tocsr()

    def measure(self, weights: Floats) -> dict[str, Floats]:
        """Micro and macro figures under weights `(R, N)`; macro over the labels that occur in the resample."""
        sums: Floats = np.asarray(self.counts @ weights.T).T
        right, gold, chosen, exact = np.split(
            sums, [len(self.labels), 2 * len(self.labels), 3 * len(self.labels)], axis=1
        )
        occurring = ((gold + chosen) > 0).sum(axis=1)
        each = over(2 * right, gold + chosen)
        return {
            "entity_f1": over(2 * right.sum(1), (gold + chosen).sum(1)),
            "entity_precision": over(right.sum(1), chosen.sum(1)),
            "entity_recall": over(right.sum(1), gold.sum(1)),
            "macro_entity_f1": over(each.sum(1), occurring.astype(np.float64)),
            "exact_rows": exact[:, 0] / weights.sum(axis=1),
        }

    def right(self) -> NDArray[np.bool_]:
        """Rows whose spans are all right, and no other is there `(N,)`."""
        return np.array([keyed(a) == keyed(b) for a, b in zip(self.gold, self.chosen, strict=True)], dtype=np.bool_)

    def words(self, value: Sequence[Mapping[str, Any]]) -> list[str]:
        """One row's spans, each with its place."""
        return [f"{span['label']} {span['start']}–{span['end']}" for span in value]

    def by_label(self) -> list[dict[str, Any]]:
        """Of every label its figures, over spans."""
        sums = np.asarray(self.counts.sum(axis=1)).ravel()
        right, gold, chosen = np.split(sums[:-1], 3)
        return [
            {
                "label": label,
                "precision": float(over(right[k], chosen[k])),
                "recall": float(over(right[k], gold[k])),
                "f1": float(over(2 * right[k], gold[k] + chosen[k])),
                "support": int(gold[k]),
                "chosen": int(chosen[k]),
            }
            for k, label in enumerate(self.labels)
        ]


def keyed(spans: Sequence[Mapping[str, Any]]) -> set[tuple[int, int, str]]:
    """Spans as what they are told apart by."""
    return {(span["start"], span["end"], span["label"]) for span in spans}


def over(part: Any, whole: Any) -> Any:
    """`part / whole`, zero where there is no whole."""
    return np.divide(part, whole, out=np.zeros_like(np.asarray(part, dtype=np.float64)), where=np.asarray(whole) > 0)
