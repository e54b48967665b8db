"""Retrieval: ranks against a sort, ties, and figures against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from attune.tasks.common.retrieval import (
    BLOCK,
    Found,
    RetrievalScores,
    asked_of,
    found_by,
    pair_of,
    ranks_of,
    result_of,
)


def golds(*positives):
    return [{"positive": positive, "negatives": []} for positive in positives]


def test_what_belongs_to_a_query_is_what_belongs_to_any_equal_query():
    asked = asked_of(["q", "p", "q", "b"], golds("a", "b", "c", "a"))
    assert (asked.texts, asked.right, asked.itself) == (["a", "b", "c"], [[0, 2], [1], [0, 2], [0]], [-1, -1, -1, 1])


def test_ranks_are_those_of_a_sort_and_blocks_change_nothing():
    draw = np.random.default_rng(0)
    count = BLOCK + 40
    queries, texts = [f"q{n}" for n in range(count)], [f"t{n % 300}" for n in range(count)]
    scores = draw.normal(size=(count, 300))
    found = found_by(asked_of(queries, golds(*texts)), lambda begin, end: scores[begin:end])
    for row, prediction in enumerate(found):
        order = np.argsort(-scores[row]).tolist()
        assert result_of(prediction).ranks == (1 + order.index(row % 300),)
        assert [item.label for item in prediction.alternatives] == [f"t{at}" for at in order[:3]]
        assert prediction.answer == f"t{order[0]}"


def test_equal_scores_say_nothing_of_what_is_right():
    """Where all texts are alike, the right one stands anywhere: the mean rank is that of a draw."""
    count = 200
    names = [f"text {n}" for n in range(count)]
    found = found_by(asked_of([f"q{n}" for n in range(count)], golds(*names)), lambda a, b: np.zeros((b - a, count)))
    ranks = sorted(result_of(prediction).ranks[0] for prediction in found)
    assert ranks == list(range(1, count + 1))


def test_a_query_never_finds_itself():
    found = found_by(asked_of(["a", "b"], golds("b", "a")), lambda begin, end: np.eye(2)[::-1][begin:end])
    assert [prediction.answer for prediction in found] == ["b", "a"]
    assert [result_of(prediction).ranks for prediction in found] == [(1,), (1,)]


def test_figures_are_those_of_their_definitions():
    ranks = [(1,), (3, 12), (2, 4, 6), (40,)]
    scores = RetrievalScores("x", golds(*"abcd"), [Found(row, ("t",)) for row in ranks], None)
    each = scores.each()
    np.testing.assert_allclose(each["mrr"], [1, 1 / 3, 1 / 2, 1 / 40])
    np.testing.assert_allclose(each["recall_1"], [1, 0, 0, 0])
    np.testing.assert_allclose(each["recall_5"], [1, 1 / 2, 2 / 3, 0])
    np.testing.assert_allclose(each["recall_10"], [1, 1 / 2, 1, 0])
    for row, places in enumerate(ranks):
        truth = np.zeros((1, 60))
        truth[0, np.array(places) - 1] = 1
        assert each["ndcg_10"][row] == pytest.approx(ndcg_score(truth, -np.arange(60.0)[None], k=10))
    weighted = scores.measure(np.array([[1.0, 1, 1, 1], [2, 0, 0, 0]]))
    np.testing.assert_allclose(weighted["recall_1"], [0.25, 1.0])
    assert scores.right().tolist() == [True, False, False, False]
    assert scores.take(np.array([2])).chosen == [Found((2, 4, 6), ("t",))]
    assert scores.words(scores.gold[0]) == ["a"]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("", "an empty positive"),
        ("  ", "an empty positive"),
        ("where is it", "a positive that is the text itself"),
        (3, "neither a text nor an object"),
        ({"negatives": ["a"]}, "neither a text nor an object"),
        ({"positive": "a", "negative": ["b"]}, "neither a text nor an object"),
        ({"positive": 5}, "a positive that is no text"),
        ({"positive": "a\0"}, "holds a NUL"),
        ({"positive": "a", "negatives": "b"}, "negatives that are no list"),
        ({"positive": "a", "negatives": [" "]}, "an empty negative"),
        ({"positive": "a", "negatives": ["a"]}, "a negative that is the positive: 'a'"),
        ({"positive": "a", "negatives": ["where is it"]}, "a negative that is the text itself"),
        ({"positive": "a", "negatives": ["b", "c", "d"]}, "3 negatives where task.most_negatives allows 2"),
    ],
)
def test_what_cannot_belong_to_a_text_is_told(cell, said):
    with pytest.raises(ValueError, match=said):
        pair_of(cell, {"text": "where is it"}, 2)


def test_pairs_come_as_text_as_objects_and_as_json():
    row = {"text": "where is it"}
    assert pair_of("here", row, 2) == {"positive": "here", "negatives": []}
    expected = {"positive": "here", "negatives": ["there", "gone"]}
    assert pair_of({"positive": "here", "negatives": ["there", "gone", "there"]}, row, 3) == expected
    assert pair_of('{"positive": "here", "negatives": ["there", "gone"]}', row, 2) == expected
    assert pair_of("{not json", row, 2) == {"positive": "{not json", "negatives": []}
    assert pair_of({"positive": "here", "negatives": None}, row, 2) == {"positive": "here", "negatives": []}


@given(st.lists(st.integers(0, 4), min_size=12, max_size=40), st.integers(0, 2**32 - 1))
def test_many_places_are_the_same_whether_counted_or_sorted(scores, seed):
    keys = np.random.default_rng(seed).permutation(len(scores))
    told, right = np.array(scores, dtype=np.float64), list(range(len(scores)))
    assert ranks_of(told, keys, right) == [ranks_of(told, keys, [at])[0] for at in right]
