"""Labels, targets, losses and answers of classification."""

import numpy as np
import pytest
import torch

from attune.errors import DataError, RecipeError
from attune.tasks.classification import Classification, ClassificationOptions, Labels


def task(**options):
    return Classification(ClassificationOptions(**options))


ABC = Labels(("a", "b", "c"), (6, 3, 1))


def test_labels_are_sorted_and_counted():
    assert task().labels(["b", "a", "b"]) == Labels(("a", "b"), (1, 2))
    assert task(multi_label=True).labels([["b", "a"], [], ["b"]]) == Labels(("a", "b"), (1, 2))


@pytest.mark.parametrize("golds", [["a", "a"], []])
def test_one_label_leaves_nothing_to_learn(golds):
    with pytest.raises(DataError, match="at least two labels"):
        task().labels(golds)


def test_targets():
    assert task().targets(["c", "a"], ABC).tolist() == [2, 0]
    assert task(multi_label=True).targets([["c", "a"], []], ABC).tolist() == [[1, 0, 1], [0, 0, 0]]


def test_plain_losses_are_torch_s():
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 1, 2, 0])
    total, weight = task().loss(logits, targets, ABC)
    torch.testing.assert_close(total.sum() / weight.sum(), torch.nn.functional.cross_entropy(logits, targets))
    balanced, weights = task(class_weights="balanced").loss(logits, targets, ABC)
    wanted = torch.nn.functional.cross_entropy(logits, targets, weight=10 / (3 * torch.tensor([6.0, 3.0, 1.0])))
    torch.testing.assert_close(balanced.sum() / weights.sum(), wanted)


def test_answers_of_one_label():
    found = task().decode(np.asarray([[0.2, 0.7, 0.1]], np.float32), ABC, [("note",)])[0]
    assert (found.answer, [one.label for one in found.alternatives]) == ("b", ["b", "a", "c"])
    assert found.confidence == pytest.approx(0.7)
    assert found.notices == ("note",)


def test_answers_of_several_labels():
    chances = np.asarray([[0.6, 0.9, 0.1], [0.2, 0.3, 0.1]], np.float32)
    some, none = task(multi_label=True).decode(chances, ABC, [(), ()])
    assert (some.answer, some.confidence) == (["b", "a"], pytest.approx(0.6))
    assert (none.answer, none.confidence) == ([], pytest.approx(0.7))


def test_the_threshold_is_chosen_where_macro_f1_is_highest():
    chances = np.asarray([[0.45, 0.2, 0.1], [0.1, 0.35, 0.2], [0.2, 0.1, 0.4], [0.2, 0.25, 0.1]], np.float32)
    rows = task(multi_label=True).decode(chances, ABC, [()] * 4)
    golds = [["a"], ["b", "never learned"], ["c"], []]
    found = task(multi_label=True).settle(lambda: rows, golds, ABC)
    assert found == {"threshold": 0.34}  # 0.25 to 0.34 are equals, all labels right; the nearest to a half
    assert task(multi_label=True, **found).decode(chances, ABC, [()] * 4)[1].answer == ["b"]


def test_a_label_that_no_validation_row_has_costs_where_it_is_given():
    chances = np.asarray([[0.6, 0.2, 0.0], [0.15, 0.2, 0.0]], np.float32)
    rows = task(multi_label=True).decode(chances, ABC, [()] * 2)
    found = task(multi_label=True).settle(lambda: rows, [["a"], ["a"]], ABC)
    assert found == {"threshold": 0.5}  # below 0.15 both a's are found, and b is given twice for nothing


@pytest.mark.parametrize("options", [{}, {"multi_label": True, "threshold": 0.4}])
def test_nothing_is_answered_where_no_threshold_is_to_choose(options):
    assert task(**options).settle(lambda: pytest.fail("asked"), [], ABC) == {}


def test_unseen_labels_count_as_wrong():
    found = task().answers("x", np.asarray([[0.5, 0.3, 0.2]] * 2, np.float32), ["a", "z"], ABC)
    assert found.labels == ("a", "b", "c", "z")
    assert found.gold.tolist() == [0, 3]
    assert found.probabilities[:, 3].tolist() == [0, 0]


def test_metrics_have_names():
    assert task().metric("") == ("accuracy", True)
    assert task().metric("loss") == ("loss", False)
    with pytest.raises(RecipeError, match="accuracy"):
        task().metric("acuracy")
