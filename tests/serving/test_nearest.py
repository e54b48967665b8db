"""Nearest vectors: against a sort, the same by lists as by comparing all, whatever else is asked."""

import numpy as np
import pytest

from attune.errors import MachineError
from attune.serving import nearest as module
from attune.serving.nearest import Compared, Listed, finder, nearest


def clustered(count, seed=0, width=24, centres=40):
    """Vectors of length one in clusters, as those of texts are, and a few queries near to some."""
    draw = np.random.default_rng(seed)
    middle = draw.normal(size=(centres, width))
    vectors = middle[draw.integers(centres, size=count)] + 0.4 * draw.normal(size=(count, width))
    queries = vectors[:60] + 0.2 * draw.normal(size=(60, width))
    return tuple((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32) for rows in (vectors, queries))


@pytest.mark.parametrize("count", [1, 3, 500])
def test_every_vector_is_compared_below_fifty_thousand(count):
    vectors, queries = clustered(500)
    found = nearest(vectors[:count], finder(vectors[:count]), queries, 7)
    for (places, similar), query in zip(found, queries, strict=True):
        scores = np.array([float(row @ query) for row in vectors[:count]])
        assert places.tolist() == np.argsort(-scores, kind="stable")[:7].tolist()
        np.testing.assert_allclose(similar, scores[places], atol=1e-6)


def test_equally_near_vectors_come_in_their_order():
    vectors = np.tile(np.eye(4, dtype=np.float32)[:1], (50, 1))
    for count in (2, 50):
        (places, _), *_ = nearest(vectors, Compared(vectors), vectors[:1], count)
        assert places.tolist() == list(range(count))


def test_a_query_finds_the_same_alone_as_among_others():
    vectors, queries = clustered(3000)
    for by in (Compared(vectors), Listed(vectors)):
        together = nearest(vectors, by, queries, 5)
        for query, (places, similar) in zip(queries, together, strict=True):
            ((alone, values),) = nearest(vectors, by, query[None], 5)
            assert alone.tolist() == places.tolist() and values.tolist() == similar.tolist()


def test_lists_find_what_comparing_all_finds(monkeypatch):
    """Nine in ten of the ten nearest at least, and where they are found the figures are the very same."""
    vectors, queries = clustered(6000)
    monkeypatch.setattr(module, "COMPARED", 6000)
    by = finder(vectors)
    assert isinstance(by, Listed) and isinstance(finder(vectors[:5999]), Compared)
    whole, some = nearest(vectors, Compared(vectors), queries, 10), nearest(vectors, by, queries, 10)
    shares, same = [], 0
    for (places, similar), (others, values) in zip(whole, some, strict=True):
        shares.append(len({*places.tolist()} & {*others.tolist()}) / 10)
        if shares[-1] == 1:
            same += 1
            assert places.tolist() == others.tolist() and similar.tolist() == values.tolist()
    assert np.mean(shares) > 0.9 and same > 30
    by.lists.nprobe = by.lists.nlist
    for (places, similar), (others, values) in zip(whole, nearest(vectors, by, queries, 10), strict=True):
        assert places.tolist() == others.tolist() and similar.tolist() == values.tolist()


def test_lists_made_again_are_the_same():
    vectors, queries = clustered(4000)
    one, other = (nearest(vectors, Listed(vectors), queries, 5) for _ in range(2))
    assert [row[0].tolist() for row in one] == [row[0].tolist() for row in other]


def test_without_faiss_the_extra_is_named(monkeypatch):
    vectors, _ = clustered(60)
    monkeypatch.setattr("attune.core.extras.find_spec", lambda name: None)
    with pytest.raises(MachineError, match="faiss is not installed") as caught:
        Listed(vectors)
    assert caught.value.remedy == "pip install 'attune[retrieval]'"
