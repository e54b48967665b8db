"""Candidates as cells, and rankings as scores."""

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from attune.tasks.common.candidates import RankingScores, candidates_of, ranked, right_of

TEXTS = ["one", "two", "3", "four"]


def test_a_list_or_its_json():
    assert candidates_of(TEXTS, 4) == TEXTS
    assert candidates_of('["one", "zwei"]', 4) == ["one", "zwei"]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("one", "no list of texts"), (["one", 2], "no list of texts"), (7, "no list of texts"),
        (["one"], "1 candidate where from 2 to task.candidates = 4"), ([], "0 candidates where"),
        ([*TEXTS, "five"], "5 candidates where from 2 to task.candidates = 4"),
        (["one", " "], "a candidate that is empty"), (["one", "a\0b"], "a candidate that is empty or holds a NUL"),
        (["one", "two", "one"], "'one' stands there twice"),
    ],
)  # fmt: skip
def test_what_is_no_list_of_candidates(cell, said):
    with pytest.raises(ValueError, match=r"candidate|list") as caught:
        candidates_of(cell, 4)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("cell", "right"),
    [("two", [1]), (1, [1]), ("1", [1]), ([3, 0], [0, 3]), ("[0, 3]", [0, 3]), (["four", "one"], [0, 3]), ("3", [2]),
     ('["one"]', [0]), ([1, "two"], [1])],
)  # fmt: skip
def test_right_ones_by_text_or_position(cell, right):
    assert right_of(cell, TEXTS) == right


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("five", "'five' is none of the row's 4"), (4, "position 4, and the row's candidates are counted from 0 to 3"),
        (-1, "position -1"), ([], "no candidate is right"), ([0, 1, 2, 3], "every candidate is right"),
        (1.0, "a float where"), (True, "a bool where"), ([None], "a NoneType where"), ("", "'' is none of"),
    ],
)  # fmt: skip
def test_what_names_no_right_candidate(cell, said):
    with pytest.raises(ValueError, match="candidate") as caught:
        right_of(cell, TEXTS)
    assert said in str(caught.value)


def test_equal_scores_do_not_go_by_position():
    first = sum(ranked([f"right {row}", f"wrong {row}", f"other {row}"], [0, 0, 0])[0] == 0 for row in range(300))
    assert 60 < first < 140, "a third of the candidates that stand first"
    assert ranked(TEXTS, [0.1, 0.5, 0.2, 0.3]) == [1, 3, 2, 0]


def test_figures_are_those_of_their_definitions():
    draw = np.random.default_rng(0)
    golds = [sorted(draw.choice(15, draw.integers(1, 4), replace=False).tolist()) for _ in range(40)]
    orders = [draw.permutation(15).tolist() for _ in range(40)]
    scores = RankingScores("mine", golds, orders, None)
    found = scores.each()
    for row, (gold, order) in enumerate(zip(golds, orders, strict=True)):
        relevance, given = np.zeros((1, 15)), np.zeros((1, 15))
        relevance[0, gold] = 1
        given[0, order] = -np.arange(15)
        assert found["ndcg_10"][row] == pytest.approx(ndcg_score(relevance, given, k=10))
        assert found["mrr"][row] == pytest.approx(1 / (1 + min(order.index(place) for place in gold)))
        assert found["recall_5"][row] == pytest.approx(len({*order[:5]} & {*gold}) / len(gold))
    weights = draw.integers(0, 3, (5, 40)).astype(float)
    for name, values in scores.measure(weights).items():
        expected = [np.repeat(found[name], line.astype(int)).mean() for line in weights]
        np.testing.assert_allclose(values, expected)
    assert scores.right().tolist() == [order[0] in gold for gold, order in zip(golds, orders, strict=True)]
    few = RankingScores("few", [[1]], [[1, 0]], None)
    assert {name: values[0] for name, values in few.each().items()} == dict.fromkeys(scores.names, 1.0)
