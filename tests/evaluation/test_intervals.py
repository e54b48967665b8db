from dataclasses import replace

import numpy as np
import pytest

from answers import hierarchical, multi, ordinal, single
from attune.core.records import Answers
from attune.errors import DataError
from attune.evaluation.alignment import align, relabelled
from attune.evaluation.intervals import COUNTED, MCNEMAR, RANDOMISATION, intervals, mcnemar_p, paired
from attune.evaluation.resampling import Resampler, bootstrap_weights, swap_weights
from attune.tasks.metrics import NAMES, classification_metrics, names_of

LEVEL = {"confidence": 0.95, "resamples": 200, "seed": 0}


@pytest.mark.parametrize("make", [single, multi, ordinal, hierarchical])
def test_a_resample_is_measured_as_its_rows_would_be(make):
    answers = make(80)
    # ties, and labels that only some resamples hold
    answers = replace(answers, probabilities=np.round(answers.probabilities, 1))
    names = names_of(answers)
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


@pytest.mark.parametrize("make", [single, multi, ordinal, hierarchical])
def test_paired_differences_are_symmetric(make):
    a, b = make(120, seed=1), make(120, seed=2, noise=2.5)
    names = names_of(a)
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


def test_kappa_is_zero_where_a_resample_has_one_label():
    answers = replace(ordinal(4), gold=np.zeros(4, np.int64), chosen=np.array([0, 0, 0, 2]))
    found = Resampler(answers, ["quadratic_kappa", "mae_steps"])(np.array([[2.0, 1, 1, 0], [1, 1, 1, 1]]))
    assert found["quadratic_kappa"].tolist() == [0, 0]
    assert found["mae_steps"].tolist() == [0, 0.5]


def test_what_one_knows_of_the_labels_holds_for_both():
    scale = ordinal(60)
    plain = relabelled(single(60, seed=1), tuple(sorted(scale.labels, reverse=True)))
    for a, b in (align(plain, scale), align(scale, plain)):
        assert a.labels == b.labels == scale.labels
        assert a.ordered and b.ordered
    tree = hierarchical(60)
    a, b = align(replace(tree, separator=""), tree)
    assert a.separator == b.separator == "/"


def test_other_orders_are_refused():
    scale = ordinal(60)
    turned = relabelled(scale, tuple(reversed(scale.labels)))
    with pytest.raises(DataError, match="do not agree on the order"):
        align(scale, turned)
    with pytest.raises(DataError, match="'new' not in the order"):
        align(scale, relabelled(single(60), (*scale.labels, "new")))
    tree = hierarchical(60)
    with pytest.raises(DataError, match="what parts them"):
        align(tree, replace(tree, separator="-", labels=tuple(name.replace("/", "-") for name in tree.labels)))
    with pytest.raises(DataError, match="has no '/'"):
        align(replace(single(60), separator="/"), single(60))


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
