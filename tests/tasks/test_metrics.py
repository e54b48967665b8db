from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as sk

from answers import multi, single
from attune.core.records import Answers
from attune.errors import DataError
from attune.evaluation.words import MEANINGS, TITLES
from attune.tasks.metrics import (
    DIRECTED,
    HEADLINE,
    HIGHER_IS_BETTER,
    LEVELLED,
    NAMES,
    ORDERED,
    classification_metrics,
    reliability,
)


def test_single_label_figures_are_scikit_learns():
    answers = single()
    found = classification_metrics(answers)
    gold, chosen = answers.gold, answers.chosen
    assert tuple(found) == NAMES[False]
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(gold, chosen))
    assert found["macro_f1"] == pytest.approx(sk.f1_score(gold, chosen, average="macro"))
    assert found["micro_f1"] == pytest.approx(found["accuracy"])
    assert found["weighted_f1"] == pytest.approx(sk.f1_score(gold, chosen, average="weighted"))
    assert found["mcc"] == pytest.approx(sk.matthews_corrcoef(gold, chosen))
    assert found["log_loss"] == pytest.approx(sk.log_loss(gold, answers.probabilities))


def test_multi_label_figures_are_scikit_learns():
    answers = multi()
    found = classification_metrics(answers)
    gold, chosen, scores = answers.gold, answers.chosen, answers.probabilities
    assert tuple(found) == NAMES[True]
    assert found["subset_accuracy"] == pytest.approx(sk.accuracy_score(gold, chosen))
    for average in ("micro", "macro", "weighted"):
        assert found[f"{average}_f1"] == pytest.approx(sk.f1_score(gold, chosen, average=average))
    assert found["average_precision"] == pytest.approx(sk.average_precision_score(gold, scores, average="macro"))
    assert found["micro_average_precision"] == pytest.approx(sk.average_precision_score(gold, scores, average="micro"))
    per_label = [sk.log_loss(gold[:, k], scores[:, k]) for k in range(gold.shape[1])]
    assert found["log_loss"] == pytest.approx(np.mean(per_label))


def test_labels_that_never_occur_do_not_count():
    answers = single()
    wide = np.hstack([answers.probabilities, np.zeros((len(answers.gold), 2))])
    longer = replace(answers, labels=(*answers.labels, "never", "nowhere"), probabilities=wide)
    assert classification_metrics(longer)["macro_f1"] == classification_metrics(answers)["macro_f1"]

    some = multi()
    empty = np.zeros((len(some.gold), 1))
    longer = replace(
        some,
        labels=(*some.labels, "never"),
        gold=np.hstack([some.gold, empty.astype(bool)]),
        chosen=np.hstack([some.chosen, empty.astype(bool)]),
        probabilities=np.hstack([some.probabilities, empty]),
    )
    assert classification_metrics(longer)["macro_f1"] == classification_metrics(some)["macro_f1"]
    assert classification_metrics(longer)["average_precision"] == classification_metrics(some)["average_precision"]


def test_calibration_error_by_hand():
    gold = np.array([0, 0, 1, 1])
    first = np.array([0.9, 0.9, 0.9, 0.7])
    answers = Answers("m", ("a", "b"), gold, np.stack([first, 1 - first], axis=1), np.zeros(4, dtype=np.int64))
    # three rows at 0.9 of which two are right, one at 0.7 that is wrong
    expected = 3 / 4 * abs(2 / 3 - 0.9) + 1 / 4 * 0.7
    assert classification_metrics(answers)["ece"] == pytest.approx(expected)
    assert sum(bin.count for bin in reliability(answers)) == 4


def test_log_loss_of_a_label_never_learned_is_clipped():
    answers = Answers("m", ("a", "b"), np.array([1]), np.array([[1.0, 0.0]]), np.array([0]))
    assert classification_metrics(answers)["log_loss"] == pytest.approx(-np.log(1e-15))


def test_answers_without_any_label_have_figures():
    nothing = np.zeros((4, 3), dtype=bool)
    found = classification_metrics(Answers("m", ("a", "b", "c"), nothing, np.full((4, 3), 0.1), nothing))
    assert found["subset_accuracy"] == 1
    assert found["macro_f1"] == found["average_precision"] == found["micro_average_precision"] == 0


def test_no_rows_and_wrong_shapes_are_refused():
    answers = single(10)
    with pytest.raises(DataError, match="no rows"):
        classification_metrics(
            replace(answers, gold=answers.gold[:0], chosen=answers.chosen[:0], probabilities=answers.probabilities[:0])
        )
    with pytest.raises(DataError, match="do not fit"):
        classification_metrics(replace(answers, chosen=answers.chosen[:5]))


def test_headlines_are_metrics_with_a_direction():
    for kind, names in HEADLINE.items():
        assert set(names) <= set(NAMES[kind])
    graded = {*ORDERED, *LEVELLED, "hierarchical_f1", DIRECTED}
    assert set(HIGHER_IS_BETTER) == {*NAMES[False], *NAMES[True], *graded}
    assert set(HIGHER_IS_BETTER) <= set(TITLES) == set(MEANINGS)
    assert not HIGHER_IS_BETTER["log_loss"]
    assert not HIGHER_IS_BETTER["mae_steps"]
    assert HIGHER_IS_BETTER["macro_f1"]
