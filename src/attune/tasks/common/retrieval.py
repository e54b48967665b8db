"""Queries with the texts that belong to them: how rows of such pairs are read, and how what is found is scored."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import xxhash
from numpy.typing import NDArray

from attune.core.records import Alternative, Prediction, Scores
from attune.core.texts import FIRST

Floats = NDArray[np.float64]
Similar = Callable[[int, int], NDArray[Any]]
"""Similarities `(B, C)` of the queries from one number to another with all C texts that could be found."""

POSITIVE, NEGATIVES = "positive", "negatives"
SHOWN = 10
"""Ranks that NDCG looks at."""
KEPT = 3
"""Texts found first that are kept for a person to read."""
BLOCK = 512
FEW = 8
"""Texts whose places are counted one by one; of more, all are sorted."""


def pair_of(cell: Any, row: Mapping[str, Any], most: int) -> dict[str, Any]:
    """What belongs to a row's text, and what does not.

    Args:
        cell: A text, or an object with `positive` and perhaps `negatives`, also as JSON text.
        row: The row's text.
        most: How many negatives there may be.

    Returns:
        Both as an object; the negatives may be none.

    Raises:
        ValueError: No such thing, an empty text, or one that stands where it cannot.
    """
    found: Any = as_object(cell) if isinstance(cell, str) else cell
    if not isinstance(found, Mapping) or POSITIVE not in found or set(found) - {POSITIVE, NEGATIVES}:
        raise ValueError('neither a text nor an object with "positive" and perhaps "negatives"')
    positive, negatives = found[POSITIVE], found.get(NEGATIVES) or []
    refuse_text(positive, "positive")
    if positive == row[FIRST]:
        raise ValueError("a positive that is the text itself, from which nothing can be learned")
    if not isinstance(negatives, list):
        raise ValueError("negatives that are no list of texts")
    texts: list[Any] = negatives
    for text in texts:
        refuse_text(text, "negative")
        if text in (positive, row[FIRST]):
            raise ValueError(
                f"a negative that is the {'positive' if text == positive else 'text itself'}: {text[:60]!r}"
            )
    if len(texts) > most:
        raise ValueError(f"{len(texts)} negatives where task.most_negatives allows {most}")
    return {POSITIVE: positive, NEGATIVES: list(dict.fromkeys(texts))}


def as_object(cell: str) -> Any:
    """JSON text of an object as that object; any other text is a positive."""
    if cell.lstrip().startswith("{"):
        try:
            return json.loads(cell)
        except ValueError:
            return {POSITIVE: cell}
    return {POSITIVE: cell}


def refuse_text(text: Any, what: str) -> None:
    """Raises ValueError where something is no text that can be read."""
    if not isinstance(text, str):
        raise ValueError(f"a {what} that is no text")
    if not text.strip():
        raise ValueError(f"an empty {what}")
    if "\0" in text:
        raise ValueError(f"a {what} that holds a NUL")


def shortened(vectors: Any, size: int) -> Any:
    """The first features of vectors `(…, D)`, of length one again `(…, size)`."""
    first = np.asarray(vectors, dtype=np.float32)[..., :size]
    return first / np.maximum(np.linalg.norm(first, axis=-1, keepdims=True), np.float32(1e-12))


@dataclass(frozen=True)
class Queries:
    """Queries, and all texts that could be found.

    Attributes:
        queries: N texts.
        texts: C texts, each once, in the order in which rows bring them.
        right: For each query which of them belong to it or to an equal query, sorted.
        itself: For each query which of them it is itself; −1 where it is none.
    """

    queries: Sequence[str]
    texts: list[str]
    right: list[list[int]]
    itself: list[int]


def asked_of(queries: Sequence[str], golds: Sequence[Mapping[str, Any]]) -> Queries:
    """Rows as queries with everything that could be found for them: the positives of all rows."""
    texts = list(dict.fromkeys(gold[POSITIVE] for gold in golds))
    place = {text: at for at, text in enumerate(texts)}
    belong: dict[str, set[int]] = {}
    for query, gold in zip(queries, golds, strict=True):
        belong.setdefault(query, set()).add(place[gold[POSITIVE]])
    return Queries(
        queries, texts, [sorted(belong[query]) for query in queries], [place.get(query, -1) for query in queries]
    )


def found_by(asked: Queries, similar: Similar) -> list[Prediction]:
    """What each query finds.

    Equally similar texts go by a hash of the text, a query never finds itself.

    Args:
        asked: N queries.
        similar: Their similarities with the texts.

    Returns:
        For each query the text found first, the next ones after it, and as `probabilities` the ranks, counted from 1,
        of the texts that belong to it.
    """
    keys = np.array([xxhash.xxh64_intdigest(text.encode()) >> 1 for text in asked.texts], dtype=np.int64)
    found: list[Prediction] = []
    for begin in range(0, len(asked.queries), BLOCK):
        end = min(begin + BLOCK, len(asked.queries))
        block = np.array(similar(begin, end), dtype=np.float64)
        for query, scores in zip(range(begin, end), block, strict=True):
            if asked.itself[query] >= 0:
                scores[asked.itself[query]] = -np.inf
            found.append(of_scores(asked.texts, scores, keys, asked.right[query]))
    return found


def of_scores(texts: Sequence[str], scores: Floats, keys: NDArray[np.int64], right: Sequence[int]) -> Prediction:
    """What one query finds, by its similarities `(C,)`."""
    ranks = ranks_of(scores, keys, right)
    near = np.flatnonzero(scores >= np.partition(scores, -min(KEPT, len(scores)))[-min(KEPT, len(scores))])
    first = near[np.lexsort((keys[near], -scores[near]))][:KEPT]
    best = tuple(Alternative(texts[int(at)], float(scores[at])) for at in first)
    return Prediction(best[0].label, None, best, probabilities=np.array(sorted(ranks), dtype=np.float32))


def ranks_of(scores: Floats, keys: NDArray[np.int64], right: Sequence[int]) -> list[int]:
    """At which place some texts are found, counted from 1; of many at once, after sorting all."""
    if len(right) <= FEW:
        return [
            1 + int((scores > scores[at]).sum() + ((scores == scores[at]) & (keys < keys[at])).sum()) for at in right
        ]
    places = np.empty(len(scores), dtype=np.int64)
    places[np.lexsort((keys, -scores))] = np.arange(1, len(scores) + 1)
    return places[list(right)].tolist()


@dataclass(frozen=True)
class Found:
    """What a query found: the ranks, counted from 1, of the texts that belong to it, and the texts found first."""

    ranks: tuple[int, ...]
    texts: tuple[str, ...]


def result_of(prediction: Prediction) -> Found:
    """A prediction of `found_by` as what is scored."""
    if prediction.probabilities is None:
        raise ValueError("a prediction without ranks")
    return Found(tuple(map(int, prediction.probabilities)), tuple(item.label for item in prediction.alternatives))


@dataclass(frozen=True)
class RetrievalScores(Scores):
    """What queries found among all texts that belong to any query of the set.

    Gold are the rows' pairs, chosen is what each query found.
    """

    names: ClassVar[tuple[str, ...]] = ("mrr", "recall_1", "recall_5", "recall_10", "ndcg_10")
    headline: ClassVar[tuple[str, ...]] = ("mrr", "recall_1", "recall_10")

    def each(self) -> dict[str, Floats]:
        """Every metric of every row, name to `(N,)`."""
        gains = 1 / np.log2(np.arange(2, SHOWN + 2))
        ranks = [np.array(found.ranks) for found in self.chosen]
        counts = np.array([len(row) for row in ranks])
        best = np.cumsum(gains)[np.minimum(counts, SHOWN) - 1]
        return {
            "mrr": np.array([1 / row[0] for row in ranks]),
            **{f"recall_{k}": np.array([(row <= k).sum() for row in ranks]) / counts for k in (1, 5, 10)},
            "ndcg_10": np.array([gains[row[row <= SHOWN] - 1].sum() for row in ranks]) / best,
        }

    def measure(self, weights: Floats) -> dict[str, Floats]:
        """Every metric under each weighting `(R, N)`, a mean over rows: name to `(R,)`."""
        total = weights.sum(1)
        return {name: weights @ values / total for name, values in self.each().items()}

    def right(self) -> NDArray[np.bool_]:
        """In which rows a text that belongs to the query is found first `(N,)`."""
        return np.array([found.ranks[0] == 1 for found in self.chosen])

    def gravity(self) -> Floats:
        """How far down the first text stands that belongs to the query `(N,)`."""
        return np.array([float(found.ranks[0]) for found in self.chosen])

    def words(self, value: Any) -> list[str]:
        """The texts found first, or the text that belongs to the query; the beginning of each."""
        texts = value.texts if isinstance(value, Found) else [value[POSITIVE]]
        return [" ".join(text.split())[:120] for text in texts]
