"""The nearest of many vectors: all of them compared, or, of very many, those of the lists that lie near."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from attune.core.extras import require

Vectors = NDArray[np.float32]
Places = NDArray[np.int64]

COMPARED = 50_000
"""So many vectors are compared one by one: a matrix product of them takes some milliseconds, and nothing is missed."""
LISTS = 4.0
"""Lists a square root of the vectors, as faiss advises."""
SHARE = 16
"""One of so many lists is looked at."""
FEWEST = 8
"""Lists looked at at least."""
ROUNDED = 1e-5
"""Cosines that differ by less may do so by how a product was rounded."""
BLOCK = 256
"""Queries at a time."""


class Nearest(Protocol):
    """Finds vectors."""

    def near(self, queries: Vectors, count: int) -> list[Places]:
        """For each query `(Q, D)` at least `count` candidates, of which the nearest are chosen exactly."""
        ...


class Compared:
    """Compares every vector.

    Args:
        vectors: `(N, D)`.
    """

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors

    def near(self, queries: Vectors, count: int) -> list[Places]:
        """The `count` nearest of all, and those that may be as near but for how products are rounded in a batch."""
        found = queries @ self.vectors.T
        if count >= found.shape[1]:
            return [np.arange(found.shape[1])] * len(queries)
        edge = np.partition(found, -count, axis=1)[:, -count] - ROUNDED
        return [np.flatnonzero(row >= least) for row, least in zip(found, edge, strict=True)]


class Listed:
    """Parts the vectors into lists by k-means, and compares those of the lists nearest to a query (faiss, IVF flat).

    Its k-means begins from a fixed seed and runs on one thread, so that equal vectors give equal lists. HNSW, which is
    faster still, depends on the order in which threads insert.

    Args:
        vectors: `(N, D)` of length one.

    Raises:
        MachineError: faiss is not installed.
    """

    def __init__(self, vectors: Vectors) -> None:
        require("faiss", extra="retrieval")
        import faiss

        count, width = vectors.shape
        lists = max(1, int(LISTS * count**0.5))
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        try:
            self.lists: Any = faiss.index_factory(width, f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
            self.lists.train(vectors)
            self.lists.add(vectors)
        finally:
            faiss.omp_set_num_threads(threads)
        self.lists.nprobe = min(lists, max(FEWEST, lists // SHARE))

    def near(self, queries: Vectors, count: int) -> list[Places]:
        """The `count` nearest of the lists looked at; fewer where these hold fewer."""
        _, places = self.lists.search(queries, count)
        return [row[row >= 0].astype(np.int64) for row in places]


def finder(vectors: Vectors) -> Nearest:
    """What finds vectors among so many."""
    return Compared(vectors) if len(vectors) < COMPARED else Listed(vectors)


def nearest(vectors: Vectors, by: Nearest, queries: Vectors, count: int) -> list[tuple[Places, Vectors]]:
    """The nearest vectors of each query, the nearest first; equally near ones in their order.

    Similarities are computed anew for what was found, one pair at a time, so that they and the order depend neither on
    the other queries nor on what found them.

    Args:
        vectors: `(N, D)` of length one.
        by: What finds candidates among them.
        queries: `(Q, D)` of length one.
        count: How many, at most N are found.

    Returns:
        For each query places `(k,)` and similarities `(k,)`.
    """
    found: list[tuple[Places, Vectors]] = []
    for begin in range(0, len(queries), BLOCK):
        block = queries[begin : begin + BLOCK]
        for query, places in zip(block, by.near(block, min(count, len(vectors))), strict=True):
            similar = np.einsum("nd,d->n", vectors[places], query)
            order = np.lexsort((places, -similar))[:count]
            found.append((places[order], similar[order]))
    return found
