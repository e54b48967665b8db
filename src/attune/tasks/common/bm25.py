"""BM25: texts found by the words that they share with a query (Robertson & Zaragoza 2009)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from attune.tasks.common.answers import HAN

K1, B = 1.2, 0.75
"""How soon a word that recurs stops counting, and how much a long text is discounted; the usual values."""
RUN = re.compile(rf"([{HAN}]+)|([^\W{HAN}]+)")


def terms(text: str) -> list[str]:
    """The words of a text in lower case; of Chinese writing, which has no spaces, its characters two by two."""
    found: list[str] = []
    for run in RUN.finditer(text.lower()):
        han, word = run.groups()
        found += [han[at : at + 2] for at in range(max(1, len(han) - 1))] if han else [word]
    return found


class Bm25:
    """Texts that can be found, with what each word of them counts.

    The weight of a rare word is log(1 + (N − n + ½) / (n + ½)), which is never below zero, as Lucene has it.

    Args:
        texts: N texts, which the frequencies of words are counted in.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        bags = [Counter(terms(text)) for text in texts]
        self.places = {word: at for at, word in enumerate(sorted({word for bag in bags for word in bag}))}
        counts = self.counted(bags)
        occurs = np.bincount(counts.indices, minlength=counts.shape[1])
        rare = np.log1p((len(texts) - occurs + 0.5) / (occurs + 0.5))
        lengths = np.asarray([bag.total() for bag in bags], dtype=np.float64)
        long = K1 * (1 - B + B * lengths / max(float(lengths.mean()) if len(texts) else 0.0, 1.0))
        often = counts.data * (K1 + 1) / (counts.data + np.repeat(long, np.diff(counts.indptr)))
        self.weights: Any = csr_matrix((often * rare[counts.indices], counts.indices, counts.indptr), counts.shape)

    def counted(self, bags: Sequence[Counter[str]]) -> Any:
        """How often each known word is in each bag, a sparse matrix `(B, V)`."""
        known = [
            sorted((self.places[word], count) for word, count in bag.items() if word in self.places) for bag in bags
        ]
        starts = np.cumsum([0, *map(len, known)])
        flat = np.asarray([pair for bag in known for pair in bag], dtype=np.int64).reshape(-1, 2)
        return csr_matrix((flat[:, 1].astype(np.float64), flat[:, 0], starts), (len(bags), max(1, len(self.places))))

    def scores(self, queries: Sequence[str]) -> NDArray[np.float64]:
        """Scores `(Q, N)` of all texts for each query; a word counts as often as the query has it."""
        return np.asarray((self.counted([Counter(terms(text)) for text in queries]) @ self.weights.T).todense())
