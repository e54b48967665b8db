"""Labels in an order: targets, figures, what is refused, and a run from recipe to answers."""

import numpy as np
import pytest
import torch
from sklearn.metrics import cohen_kappa_score, mean_absolute_error

from attune.core.recipe import parse
from attune.errors import DataError, RecipeError
from attune.lifecycle.train import train
from attune.model.assemble import AXES
from attune.model.bundle import load
from attune.tasks.classification import Classification, ClassificationOptions, Labels
from attune.tasks.common.ordinal import soft_targets
from attune.tasks.metrics import classification_metrics
from support.bundles import made_up, recipe, write_rows

ORDER = ["low", "middling", "high", "top"]
LABELS = Labels(tuple(ORDER), (5, 4, 3, 1))


def task(**options):
    return Classification(ClassificationOptions(**{"order": tuple(ORDER), **options}))


def test_labels_are_those_of_the_order_with_or_without_a_row():
    assert task().labels(["top", "low", "low"]) == Labels(tuple(ORDER), (2, 0, 0, 1))


def test_targets_fall_by_a_factor_a_step():
    found = soft_targets(3, 0.5)
    assert found.tolist() == [
        pytest.approx([1 / 1.75, 0.5 / 1.75, 0.25 / 1.75]),
        pytest.approx([0.25, 0.5, 0.25]),
        pytest.approx([0.25 / 1.75, 0.5 / 1.75, 1 / 1.75]),
    ]
    assert soft_targets(3, 0.0).equal(torch.eye(3))


def test_without_softness_the_loss_is_cross_entropy():
    logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 3, 2, 2])
    total, weight = task(order_softness=0.0).loss(logits, targets, LABELS)
    torch.testing.assert_close(total, torch.nn.functional.cross_entropy(logits, targets, reduction="none"))
    assert weight.tolist() == [1] * 4


def test_a_miss_by_more_steps_costs_more():
    logits = torch.eye(4) * 8
    total, _ = task().loss(logits, torch.zeros(4, dtype=torch.long), LABELS)
    assert total.diff().gt(0).all()


def test_smoothing_focus_and_weights_still_count():
    logits, targets = torch.tensor([[2.0, 1.0, 0.0, -1.0]]), torch.tensor([0])
    plain = float(task().loss(logits, targets, LABELS)[0])
    probability = float(logits.softmax(-1)[0, 0])
    assert float(task(focal_gamma=2.0).loss(logits, targets, LABELS)[0]) == pytest.approx(
        plain * (1 - probability) ** 2
    )
    assert float(task(label_smoothing=0.2).loss(logits, targets, LABELS)[0]) > plain
    total, weight = task(class_weights="balanced").loss(logits, targets, LABELS)
    assert float(total) == pytest.approx(plain * float(weight))
    assert float(weight) == pytest.approx(13 / (4 * 5))


def test_figures_are_scikit_learn_s():
    draw = np.random.default_rng(0)
    golds = [ORDER[k] for k in draw.integers(4, size=60)]
    answers = task().answers("m", draw.dirichlet(np.ones(4), 60).astype(np.float32), golds, LABELS)
    found = classification_metrics(answers)
    assert answers.ordered
    assert found["mae_steps"] == pytest.approx(mean_absolute_error(answers.gold, answers.chosen))
    kappa = cohen_kappa_score(answers.gold, answers.chosen, weights="quadratic")
    assert found["quadratic_kappa"] == pytest.approx(kappa)


def test_one_label_everywhere_has_no_kappa():
    answers = task().answers("m", np.asarray([[1, 0, 0, 0]] * 3, np.float32), ["low"] * 3, LABELS)
    assert classification_metrics(answers)["quadratic_kappa"] == 0


def test_the_epoch_is_chosen_on_kappa():
    assert task().metric("") == ("quadratic_kappa", True)
    assert task().metric("mae_steps") == ("mae_steps", False)
    with pytest.raises(RecipeError, match="mae_steps"):
        task().metric("mae_step")
    with pytest.raises(RecipeError, match="no metric 'mae_steps'"):
        Classification(ClassificationOptions()).metric("mae_steps")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"order": ["low", "high", "low"]}, "'low' more than once"),
        ({"order": ["low"]}, "one label has no order"),
        ({"multi_label": True, "order": ["low", "high"]}, "rows with one label"),
        ({"order": ["low", "high"], "hierarchy": "/"}, "not both"),
        ({"order": ["low", "high"], "descriptions": {"low": "l", "hihg": "h"}}, "'high', 'hihg'"),
        ({"order": ["low", "high"], "order_softness": 1.0}, "less than 1"),
        ({"order_softness": 0.1}, "set task.order"),
    ],
)
def test_options_that_make_no_sense(options, said):
    head = {"head": "descriptions"} if "descriptions" in options else {}
    with pytest.raises(RecipeError, match=said) as caught:
        parse({"task": {**head, **options}}, AXES)
    assert f"task.{[*options][-1]}" in str(caught.value)


def test_a_label_outside_the_order_is_one_error():
    with pytest.raises(DataError, match=r"label 'hgih' is not in task\.order; label 'lwo' is not") as caught:
        task().labels(["low", "hgih", "top", "lwo", "lwo"])
    assert (caught.value.where, "low, middling, high, top" in caught.value.remedy) == ("data.train", True)
    with pytest.raises(DataError, match=r"'other' is not in task\.order"):
        task().answers("m", np.ones((1, 4), np.float32), ["other"], LABELS)


def test_a_test_label_outside_the_order_stops_before_training(workshop, tmp_path):
    names = {"account": "low", "delivery": "middling", "refund": "high"}
    rows = [row | {"label": names[row["label"]]} for row in made_up(60)]
    write_rows(workshop.root / "steps.jsonl", rows)
    write_rows(workshop.root / "steps-test.jsonl", [rows[0] | {"text": "hello you", "label": "hgih"}])
    wanted = recipe(data={"train": "steps.jsonl", "test": "steps-test.jsonl"}, task={"order": ORDER})
    with pytest.raises(DataError, match=r"data\.test: label 'hgih' is not in task\.order"):
        train(wanted, workshop.root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_from_recipe_to_report(workshop, tmp_path):
    names = {"account": "low", "delivery": "middling", "refund": "high"}
    write_rows(workshop.root / "scale.jsonl", [row | {"label": names[row["label"]]} for row in made_up()])
    wanted = recipe(data={"train": "scale.jsonl"}, task={"order": ["low", "middling", "high"]})
    bundle = train(wanted, workshop.root, tmp_path / "out")
    assert bundle.labels == ["low", "middling", "high"]
    assert {"quadratic_kappa", "mae_steps", "accuracy"} <= bundle.manifest.metrics.keys()
    assert bundle.recipe.training.metric == "quadratic_kappa"
    found = bundle.predict(["refund broken wrong return size please"])[0]
    assert found.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert "levels" not in found.as_dict()
    report = (bundle.path / "report.html").read_text(encoding="utf-8")
    assert "Quadratic kappa" in report and "Steps off" in report
    again = load(bundle.path, root=workshop.root).predict(["refund broken wrong return size please"])[0]
    assert again.answer == found.answer == "high"
