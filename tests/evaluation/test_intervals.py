from dataclasses import replace

import numpy as np
import pytest

from answers import multi, single
from attune.core.records import Answers
from attune.errors import DataError
from attune.evaluation.alignment import align, relabelled
from attune.evaluation.intervals import COUNTED, MCNEMAR, RANDOMISATION, intervals, mcnemar_p, paired
from attune.evaluation.resampling import Resampler, bootstrap_weights, swap_weights
from attune.tasks.metrics import NAMES, classification_metrics

LEVEL = {"confidence": 0.95, "resamples": 200, "seed": 0}


@pytest.mark.parametrize("make", [single, multi])
def test_a_resample_is_measured_as_its_rows_would_be(make):
    answers = make(80)
    # ties, and labels that only some resamples hold
    answers = replace(answers, probabilities=np.round(answers.probabilities, 1))
    names = NAMES[answers.multi_label]
    weights = next(bootstrap_weights(80, 5, 5, seed=3))
    found = Resampler(answers, names)(weights)
    for place, counts in enumerate(weights.astype(int)):
        rows = np.repeat(np.arange(80), counts)
        drawn = replace(
            answers,
            gold=answers.gold[rows],
            chosen=answers.chosen[rows],
            probabilities=answers.probabilities[rows],
        )
        expected = classification_metrics(drawn)
        assert {name: found[name][place] for name in names} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("make", [single, multi])
def test_average_precision_in_blocks_is_the_same(make, monkeypatch):
    answers = make(60)
    whole = intervals(answers, NAMES[answers.multi_label], **LEVEL)
    monkeypatch.setattr("attune.evaluation.resampling.CELLS", 400)
    assert intervals(answers, NAMES[answers.multi_label], **LEVEL) == whole


def test_intervals_hold_the_value_and_depend_on_the_seed_only():
    answers = single()
    found = intervals(answers, NAMES[False], **LEVEL)
    for name, interval in found.items():
        assert interval.low < interval.high
        if name != "ece":  # a mean of absolute gaps is biased upwards in a resample
            assert interval.low <= interval.value <= interval.high
    assert intervals(answers, NAMES[False], **LEVEL) == found
    assert intervals(answers, NAMES[False], **{**LEVEL, "seed": 1}) != found


def test_weights_are_resamples_of_all_rows():
    weights = np.concatenate(list(bootstrap_weights(10, 7, 3, seed=0)))
    assert weights.shape == (7, 10)
    assert (weights.sum(axis=1) == 10).all()
    assert (weights == np.concatenate(list(bootstrap_weights(10, 7, 7, seed=0)))).all()
    assert set(np.unique(next(swap_weights(50, 4, 4, seed=0)))) == {0.0, 1.0}


def test_a_95_percent_interval_covers_about_as_often_as_it_says():
    generator = np.random.default_rng(1)
    covered = 0
    for trial in range(200):
        right = generator.random(120) < 0.8
        gold = np.zeros(120, dtype=np.int64)
        chosen = np.where(right, 0, 1)
        probabilities = np.full((120, 2), 0.5)
        interval = intervals(
            Answers("m", ("a", "b"), gold, probabilities, chosen),
            ["accuracy"],
            confidence=0.95,
            resamples=200,
            seed=trial,
        )["accuracy"]
        covered += interval.low <= 0.8 <= interval.high
    assert 0.88 <= covered / 200 <= 0.99


def counted(a_right: list[int], b_right: list[int]) -> tuple[Answers, Answers]:
    gold = np.zeros(len(a_right), dtype=np.int64)
    flat = np.full((len(a_right), 2), 0.5)
    return (
        Answers("a", ("x", "y"), gold, flat, 1 - np.array(a_right)),
        Answers("b", ("x", "y"), gold, flat, 1 - np.array(b_right)),
    )


def test_mcnemar_by_hand():
    # 8 rows only a gets right, 2 only b: two-sided binomial, 2 · (1 + 10 + 45) / 2**10
    a, b = counted([1] * 8 + [0] * 2 + [1] * 20 + [0] * 5, [0] * 8 + [1] * 2 + [1] * 20 + [0] * 5)
    assert mcnemar_p(a, b) == pytest.approx(2 * (1 + 10 + 45) / 2**10)
    assert paired(a, b, ["accuracy"], **LEVEL)["accuracy"].value == pytest.approx(6 / 35)
    assert mcnemar_p(a, a) == 1


@pytest.mark.parametrize("make", [single, multi])
def test_paired_differences_are_symmetric(make):
    a, b = make(120, seed=1), make(120, seed=2, noise=2.5)
    names = NAMES[a.multi_label]
    there, back = paired(a, b, names, **LEVEL), paired(b, a, names, **LEVEL)
    for name in names:
        assert there[name].value == pytest.approx(-back[name].value)
        assert there[name].low == pytest.approx(-back[name].high)
        assert there[name].p == back[name].p
        assert there[name].test == (MCNEMAR if name in COUNTED[a.multi_label] else RANDOMISATION)


def test_a_clear_difference_is_told_from_none():
    good, bad = single(400, seed=1, noise=0.8), single(400, seed=2, noise=3)
    found = paired(good, bad, ["accuracy", "macro_f1"], **LEVEL)
    assert all(difference.low > 0 and difference.p < 0.01 for difference in found.values())
    same = paired(good, replace(good, name="twin"), ["accuracy", "macro_f1"], **LEVEL)
    assert all(difference.value == 0 and difference.p == 1 for difference in same.values())


def test_the_randomisation_test_is_seldom_wrong_when_both_are_alike():
    found = [
        paired(single(80, seed=2 * t), single(80, seed=2 * t + 1), ["macro_f1"], **{**LEVEL, "resamples": 100})
        for t in range(60)
    ]
    assert sum(difference["macro_f1"].p < 0.05 for difference in found) <= 8


def test_labels_are_aligned_before_comparing():
    a = single(60)
    order = (*reversed(a.labels), "new")
    turned = relabelled(a, order)
    assert paired(a, turned, ["accuracy", "macro_f1", "log_loss"], **LEVEL)["macro_f1"].value == pytest.approx(0)
    aligned, other = align(a, turned)
    assert aligned.labels == other.labels == (*a.labels, "new")
    assert not other.probabilities[:, -1].any()


def test_other_rows_are_refused():
    a = single(60)
    with pytest.raises(DataError, match="60 rows against 50"):
        align(a, single(50))
    gold = a.gold.copy()
    gold[7] = (gold[7] + 1) % 5
    with pytest.raises(DataError, match="first is row 8"):
        align(a, replace(a, gold=gold))
    with pytest.raises(DataError, match="multi-label"):
        align(a, multi(60))
