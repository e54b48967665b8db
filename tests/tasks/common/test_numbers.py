"""Numbers as cells and as scores."""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from attune.core.recipe import EvaluationOptions
from attune.errors import DataError
from attune.evaluation.evaluate import evaluate
from attune.tasks.common.numbers import NumberScores, learned, number, rounded

DRAW = np.random.default_rng(3)
GOLD = DRAW.integers(0, 12, 60) / 2.0
CHOSEN = np.round(GOLD + DRAW.normal(0, 1.5, 60), 1)
SCORES = NumberScores("mine", GOLD.tolist(), CHOSEN.tolist(), None)


def of(gold, chosen):
    return {
        "spearman": spearmanr(gold, chosen)[0],
        "pearson": pearsonr(gold, chosen)[0],
        "r2": r2_score(gold, chosen),
        "mean_absolute_error": mean_absolute_error(gold, chosen),
        "root_mean_squared_error": root_mean_squared_error(gold, chosen),
    }


def test_unweighted_figures_are_those_of_scipy_and_scikit_learn():
    assert len(set(GOLD.tolist())) < 20 < len(GOLD), "there are ties"
    found = SCORES.measure(np.ones((1, 60)))
    assert {name: values[0] for name, values in found.items()} == pytest.approx(of(GOLD, CHOSEN), abs=1e-12)
    assert set(found) == set(SCORES.names)


def test_whole_weights_are_repeated_rows():
    weights = DRAW.integers(0, 4, (25, 60)).astype(float)
    found = SCORES.measure(weights)
    for at, line in enumerate(weights.astype(int)):
        expected = of(np.repeat(GOLD, line), np.repeat(CHOSEN, line))
        assert {name: values[at] for name, values in found.items()} == pytest.approx(expected, abs=1e-10)


def test_numbers_far_from_zero_lose_nothing():
    shifted = NumberScores("far", (GOLD + 1e9).tolist(), (CHOSEN + 1e9).tolist(), None)
    near, far = SCORES.measure(np.ones((1, 60))), shifted.measure(np.ones((1, 60)))
    for name in SCORES.names:
        np.testing.assert_allclose(far[name], near[name], atol=1e-6)


def test_what_does_not_vary_correlates_with_nothing():
    weights = np.ones((2, 60))
    weights[1, np.not_equal(GOLD, GOLD[0])] = 0  # a resample in which all gold is equal
    constant = NumberScores("mean", GOLD.tolist(), [float(GOLD.mean())] * 60, None)
    found = constant.measure(weights)
    assert found["spearman"].tolist() == found["pearson"].tolist() == [0.0, 0.0]
    np.testing.assert_allclose(found["r2"], 0.0, atol=1e-12)
    own = SCORES.measure(weights)
    assert max(abs(own[name][1]) for name in ("spearman", "pearson", "r2")) < 1e-12
    assert own["spearman"][0] > 0.5


def test_an_evaluation_of_numbers_has_intervals_tests_and_the_gravest_errors():
    mean = NumberScores("mean", GOLD.tolist(), [float(GOLD.mean())] * 60, None)
    texts, ids = [f"text {row}" for row in range(60)], [str(row) for row in range(60)]
    found = evaluate(SCORES, texts, ids, baselines=[mean], options=EvaluationOptions(resamples=200))
    spearman = found.metrics["spearman"]
    assert spearman.low < spearman.value < spearman.high
    assert found.baselines[0]["difference"].p < 0.01
    assert found.bins == [] and found.confusion is None
    order = np.argsort(-np.abs(CHOSEN - GOLD), kind="stable")
    assert [row["id"] for row in found.worst] == [str(row) for row in order[: len(found.worst)]]
    assert found.worst[0]["gold"] == [f"{GOLD[order[0]]:.4g}"]


@pytest.mark.parametrize(
    ("cell", "value"), [(3, 3.0), (2.5, 2.5), (" 2.5 ", 2.5), ("-1e-3", -0.001), (".5", 0.5), ("7.", 7.0), ("+4", 4.0)]
)
def test_a_number_or_its_text(cell, value):
    assert number(cell, {}) == value


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("high", "'high' where a number was expected"), ("", "'' where a number was expected"),
        ("1_000", "'1_000' where a number"), ("nan", "'nan' where a number"), ("inf", "'inf' where a number"),
        ("2,5", "write decimals with a point"), (True, "true or false where a number"),
        ([1.0], "a list where a number"),
        (float("nan"), "nan, and nothing can be learned"), (float("-inf"), "-inf, and nothing"),
        ("1e999", "inf, and nothing"), ({"a": 1}, "a dict where a number"),
    ],
)  # fmt: skip
def test_what_is_no_number(cell, said):
    with pytest.raises(ValueError, match="number") as caught:
        number(cell, {})
    assert said in str(caught.value)


def test_equal_numbers_teach_nothing():
    found = learned([1.0, 2.0, 6.0])
    assert (found.mean, found.low, found.high, found.counts, found.names) == (3.0, 1.0, 6.0, (3,), ())
    assert found.spread == pytest.approx(np.std([1, 2, 6]))
    with pytest.raises(DataError, match="all 2 training rows have the number 4"):
        learned([4.0, 4.0])


def test_an_answer_has_seven_digits():
    assert rounded(1234.56789012) == 1234.568
    assert rounded(-0.000123456789) == -0.0001234568
