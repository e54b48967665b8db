"""Candidates of a row: how they and the right ones among them are read, and how rankings are scored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import xxhash
from numpy.typing import NDArray

from attune.core.records import Scores

Floats = NDArray[np.float64]
SHOWN = 10
"""Ranks that NDCG looks at."""


def candidates_of(cell: Any, most: int) -> list[str]:
    """The candidates of a row.

    Args:
        cell: A list of texts, or JSON text that is one.
        most: How many there may be.

    Returns:
        The texts as they are.

    Raises:
        ValueError: It is no such list, is too short or too long, or holds an empty text or one twice.
    """
    found: Any = decoded(cell) if isinstance(cell, str) else cell
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise ValueError("no list of texts (in a flat file: a JSON list)")
    texts: list[str] = found
    if not 2 <= len(texts) <= most:
        allowed = f"from 2 to task.candidates = {most}"
        raise ValueError(f"{len(texts)} candidate{'s' * (len(texts) != 1)} where {allowed} are expected")
    if any(not text.strip() or "\0" in text for text in texts):
        raise ValueError("a candidate that is empty or holds a NUL")
    if len(set(texts)) < len(texts):
        twice = next(text for text in texts if texts.count(text) > 1)
        raise ValueError(f"the candidate {twice[:60]!r} stands there twice")
    return texts


def right_of(cell: Any, candidates: Sequence[str]) -> list[int]:
    """Which candidates are right.

    Args:
        cell: The text of one of them or its position counted from 0, or a list of either; also as JSON text.
        candidates: The row's candidates.

    Returns:
        Positions, sorted.

    Raises:
        ValueError: Something else, a candidate that is not there, none, or all of them.
    """
    if isinstance(cell, str) and cell not in candidates:
        cell = decoded(cell, otherwise=cell)
    items: list[Any] = cell if isinstance(cell, list) else [cell]
    found = sorted({position(item, candidates) for item in items})
    if not found:
        raise ValueError("no candidate is right")
    if len(found) == len(candidates):
        raise ValueError("every candidate is right, and nothing can be learned from that")
    return found


def position(item: Any, candidates: Sequence[str]) -> int:
    """Where a right candidate stands, told by its text or by its position."""
    if isinstance(item, str):
        if item in candidates:
            return list(candidates).index(item)
        raise ValueError(f"{item[:60]!r} is none of the row's {len(candidates)} candidates")
    if isinstance(item, bool) or not isinstance(item, int):
        raise ValueError(f"a {type(item).__name__} where the text or the position of a candidate was expected")
    if not 0 <= item < len(candidates):
        raise ValueError(f"position {item}, and the row's candidates are counted from 0 to {len(candidates) - 1}")
    return item


def decoded(cell: str, otherwise: Any = None) -> Any:
    """JSON text as its value; `otherwise` where it is none."""
    try:
        return json.loads(cell)
    except ValueError:
        return otherwise


def ranked(candidates: Sequence[str], scores: Sequence[float] | NDArray[Any]) -> list[int]:
    """Positions of candidates, the best first.

    Equal scores go by a hash of the text: by position, data whose right candidate always stands first would give it
    away to whoever knows nothing.
    """
    keys = [xxhash.xxh64_intdigest(text.encode()) for text in candidates]
    return sorted(range(len(candidates)), key=lambda place: (-float(scores[place]), keys[place]))


@dataclass(frozen=True)
class RankingScores(Scores):
    """Rankings beside the candidates that are right.

    Gold are the positions of the right candidates, chosen are all positions, the best first.
    """

    names: ClassVar[tuple[str, ...]] = ("mrr", "accuracy", "ndcg_10", "recall_5", "recall_10")
    headline: ClassVar[tuple[str, ...]] = ("mrr", "accuracy")

    def each(self) -> dict[str, Floats]:
        """Every metric of every row, name to `(N,)`."""
        hits = [np.isin(order, gold) for order, gold in zip(self.chosen, self.gold, strict=True)]
        first = np.array([int(hit.argmax()) for hit in hits])
        counts = np.array([len(gold) for gold in self.gold])
        discount = 1 / np.log2(np.arange(2, SHOWN + 2))
        gains = np.array([hit[:SHOWN] @ discount[: len(hit[:SHOWN])] for hit in hits])
        best = np.cumsum(discount)[np.minimum(counts, SHOWN) - 1]
        return {
            "mrr": 1 / (first + 1),
            "accuracy": (first == 0).astype(np.float64),
            "ndcg_10": gains / best,
            **{f"recall_{k}": np.array([hit[:k].sum() for hit in hits]) / counts for k in (5, 10)},
        }

    def measure(self, weights: Floats) -> dict[str, Floats]:
        """Every metric under each weighting `(R, N)`, a mean over rows: name to `(R,)`."""
        total = weights.sum(1)
        return {name: weights @ values / total for name, values in self.each().items()}

    def right(self) -> NDArray[np.bool_]:
        """In which rows a right candidate stands first `(N,)`."""
        return self.each()["accuracy"] > 0

    def words(self, value: Any) -> list[str]:
        """The first few candidates by their number, counted from 1."""
        return [f"candidate {place + 1}" for place in value[:3]]
