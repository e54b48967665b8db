"""Texts that find those of their own label among all texts of a set, themselves left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from attune.core.records import Scores
from attune.tasks.common.retrieval import Floats, Found, Queries

WITHIN = (1, 5, 10)


def kin_of(texts: Sequence[str], golds: Sequence[str]) -> Queries:
    """Rows as queries with everything that could be found for them: the texts of all other rows.

    Args:
        texts: The rows' texts; a text that several rows have is one thing to be found, of the labels of all of them.
        golds: Their labels.

    Returns:
        The queries; of a row whose label no other text has, nothing is right.
    """
    each = list(dict.fromkeys(texts))
    place = {text: at for at, text in enumerate(each)}
    kin: dict[str, set[int]] = {}
    for text, gold in zip(texts, golds, strict=True):
        kin.setdefault(gold, set()).add(place[text])
    right = [sorted(kin[gold] - {place[text]}) for text, gold in zip(texts, golds, strict=True)]
    return Queries(texts, each, right, [place[text] for text in texts])


@dataclass(frozen=True)
class KinScores(Scores):
    """What texts found among all others of the set; rows whose label no other text has count nowhere.

    Gold are the rows' labels, chosen is what each found.
    """

    names: ClassVar[tuple[str, ...]] = ("found_1", "found_5", "found_10", "mrr", "average_rank_precision")
    headline: ClassVar[tuple[str, ...]] = ("found_1", "mrr", "average_rank_precision")

    def each(self) -> dict[str, Floats]:
        """Every metric of every row, name to `(N,)`; zero where nothing is right."""
        best = np.array([found.ranks[0] if found.ranks else np.inf for found in self.chosen])
        return {
            **{f"found_{k}": (best <= k).astype(np.float64) for k in WITHIN},
            "mrr": 1 / best,
            "average_rank_precision": np.array([precision(found.ranks) for found in self.chosen]),
        }

    def counted(self) -> NDArray[np.bool_]:
        """Rows for which there is something to be found `(N,)`."""
        return np.array([bool(found.ranks) for found in self.chosen])

    def measure(self, weights: Floats) -> dict[str, Floats]:
        """Every metric under each weighting `(R, N)`, a mean over the rows that count: name to `(R,)`."""
        kept = weights * self.counted()
        total = np.maximum(kept.sum(1), 1e-12)
        return {name: kept @ values / total for name, values in self.each().items()}

    def right(self) -> NDArray[np.bool_]:
        """In which rows a text of their label is found first, or there is none `(N,)`."""
        return (self.each()["found_1"] > 0) | ~self.counted()

    def gravity(self) -> Floats:
        """How far down the first text of the label stands `(N,)`."""
        return np.array([float(found.ranks[0]) if found.ranks else 0.0 for found in self.chosen])

    def words(self, value: Any) -> list[str]:
        """The texts found first, or the row's label."""
        return [" ".join(text.split())[:120] for text in value.texts] if isinstance(value, Found) else [value]


def precision(ranks: Sequence[int]) -> float:
    """Of the ranks of what is right, in order: the mean share of right ones down to each; zero where none is."""
    return float(np.mean([(at + 1) / rank for at, rank in enumerate(ranks)])) if ranks else 0.0
