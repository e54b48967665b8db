"""Labels with parents: paths, loss, answers at every level, figures, what is refused, and a run through commands."""

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from fastapi.testclient import TestClient
from torch.nn import functional as F

from attune.apps.http.service import service
from attune.core.recipe import parse
from attune.errors import DataError, RecipeError
from attune.lifecycle.train import train
from attune.model.assemble import AXES
from attune.serving.engine import Engine
from attune.tasks.classification import Classification, ClassificationOptions, Labels
from attune.tasks.common.hierarchy import parent_logits
from attune.tasks.common.paths import path, upper_levels
from attune.tasks.metrics import classification_metrics
from support.bundles import made_up, recipe, write_rows

NAMES = ("order/cancel", "order/track", "pay/refund/late", "pay/refund/lost", "pay/card")
LABELS = Labels(NAMES, (5, 4, 3, 2, 1))


def task(**options):
    return Classification(ClassificationOptions(**{"hierarchy": "/", **options}))


def test_a_name_is_a_path():
    assert path("pay/refund/late", "/") == ("pay", "pay/refund", "pay/refund/late")
    top, middle = upper_levels(NAMES, "/")
    assert top.nodes == ("order", "pay")
    assert top.of.tolist() == [0, 0, 1, 1, 1]
    assert middle.nodes == ("order/cancel", "order/track", "pay/card", "pay/refund"), "a leaf above stands for itself"
    assert middle.of.tolist() == [0, 1, 3, 3, 2]


def test_a_parent_has_what_its_labels_have():
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)) * 40
    for level in upper_levels(NAMES, "/"):
        wanted = logits.softmax(-1) @ torch.from_numpy(level.members)
        torch.testing.assert_close(parent_logits(logits, level).softmax(-1), wanted)


def test_logits_far_apart_have_a_finite_loss_and_gradient():
    logits = torch.tensor([[300.0, -300.0, 0.0, 5.0, -300.0]], requires_grad=True)
    total, _ = task().loss(logits, torch.tensor([4]), LABELS)
    total.sum().backward()
    assert torch.isfinite(total).all() and torch.isfinite(logits.grad).all()
    assert logits.grad[0, 4] < 0


def test_the_loss_adds_the_parents():
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    targets = torch.tensor([0, 1, 2, 4])
    leaf = F.cross_entropy(logits, targets, reduction="none")
    shares = logits.softmax(-1)
    parents = [torch.from_numpy(level.members[:, level.of[targets]]).T for level in upper_levels(NAMES, "/")]
    above = sum(-(shares * members).sum(-1).log() for members in parents) / 2
    total, _ = task(parent_weight=0.7).loss(logits, targets, LABELS)
    torch.testing.assert_close(total, leaf + 0.7 * above)
    torch.testing.assert_close(task(parent_weight=0.0).loss(logits, targets, LABELS)[0], leaf)


def test_a_wrong_parent_costs_more_than_a_wrong_child():
    logits = torch.tensor([[0.0, 6.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 6.0]])
    sibling, stranger = task().loss(logits, torch.tensor([0, 0]), LABELS)[0].tolist()
    assert stranger > sibling + 1


def test_answers_have_every_level():
    chances = np.asarray([[0.3, 0.05, 0.25, 0.2, 0.2]], np.float32)
    found = task().decode(chances, LABELS, [()])[0]
    assert (found.answer, found.confidence) == ("order/cancel", pytest.approx(0.3))
    top, middle = found.levels
    assert [(one.label, round(one.confidence, 4)) for one in top] == [("pay", 0.65), ("order", 0.35)]
    assert middle[0].label == "pay/refund"
    assert found.as_dict()["levels"][0][0] == {"label": "pay", "confidence": 0.65}


def test_figures_by_hand():
    chances = np.eye(5, dtype=np.float32)[[0, 1, 3, 4]]
    golds = ["order/cancel", "order/cancel", "pay/refund/late", "pay/refund/late"]
    found = classification_metrics(task().answers("m", chances, golds, LABELS))
    assert found["accuracy"] == 0.25
    assert (found["level_1_accuracy"], found["level_2_accuracy"]) == (1.0, 0.5)
    # shared: 2 of 2 and 2, 1 of 2 and 2, 2 of 3 and 3, 1 of 3 and 2
    assert found["hierarchical_f1"] == pytest.approx(2 * (2 + 1 + 2 + 1) / (2 + 2 + 3 + 3 + 2 + 2 + 3 + 2))


def test_a_leaf_never_learned_still_has_a_parent():
    answers = task().answers("m", np.eye(5, dtype=np.float32)[[0]], ["order/new"], LABELS)
    found = classification_metrics(answers)
    assert (found["accuracy"], found["level_1_accuracy"]) == (0, 1)


def test_metrics_to_choose_on():
    assert task().metric("") == ("accuracy", True)
    assert task().metric("hierarchical_f1") == ("hierarchical_f1", True)
    with pytest.raises(RecipeError, match="no metric 'level_7_accuracy'"):
        task().metric("level_7_accuracy")


@pytest.mark.parametrize(
    ("golds", "said"),
    [
        (["order/cancel", "refund", "track"], "label 'refund' has no '/', so no parent; label 'track' has no '/'"),
        (["order/cancel", "order/"], "'order/' has an empty part"),
        (["order/cancel", "order /track"], "a space beside a separator"),
        (["order/cancel", "order/cancel/now"], "'order/cancel' is also the parent of others"),
        (["order/cancel", "/".join("abcdefghi")], "9 parts, and at most 8"),
    ],
)
def test_names_that_are_no_paths(golds, said):
    with pytest.raises(DataError, match=said) as caught:
        task().labels(golds)
    assert "ORDER/cancel_order" in caught.value.remedy
    with pytest.raises(DataError, match=said):
        task().check(golds, "data.test")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hierarchy": "/", "multi_label": True}, "rows with one label"),
        ({"hierarchy": " "}, "neither letter nor figure"),
        ({"hierarchy": "and"}, "neither letter nor figure"),
        ({"hierarchy": "/", "parent_weight": -1}, "greater than or equal to 0"),
        ({"parent_weight": 2.0}, "set task.hierarchy"),
    ],
)
def test_options_that_make_no_sense(options, said):
    with pytest.raises(RecipeError, match=said):
        parse({"task": options}, AXES)


PATHS = {"account": "person/account", "delivery": "order/delivery", "refund": "order/refund"}


@pytest.fixture(scope="module")
def bundle(workshop):
    """A bundle of labels with parents."""
    write_rows(workshop.root / "paths.jsonl", [row | {"label": PATHS[row["label"]]} for row in made_up()])
    wanted = recipe(data={"train": "paths.jsonl"}, task={"hierarchy": "/"})
    return train(wanted, workshop.root, workshop.root / "runs" / "paths")


def test_a_bundle_knows_figures_of_every_level(bundle):
    assert {"level_1_accuracy", "hierarchical_f1"} <= bundle.manifest.metrics.keys()
    report = (bundle.path / "report.html").read_text(encoding="utf-8")
    assert "Accuracy, level 1" in report and "Hierarchical F1" in report
    found = bundle.predict(["my parcel is late"])[0]
    assert sum(one.confidence for one in found.levels[0]) == pytest.approx(1, abs=1e-5)


def test_levels_leave_through_every_door(run, bundle, workshop, tmp_path):
    rows = workshop.root / "fresh.jsonl"
    for name in ("out.jsonl", "out.csv", "out.parquet"):
        assert run("predict", bundle.path, "--file", rows, "--out", tmp_path / name).code == 0
    first = json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert {one["label"] for one in first["levels"][0]} == {"person", "order"}
    with (tmp_path / "out.csv").open(encoding="utf-8") as stream:
        assert json.loads(next(csv.DictReader(stream))["levels"]) == first["levels"]
    assert pq.read_table(tmp_path / "out.parquet").to_pylist()[0]["levels"] == first["levels"]
    assert "above: " in run("predict", bundle.path, "my parcel is late").out
    client = TestClient(service(Engine(bundle), "key"))
    reply = client.post("/v1/predict", json={"rows": [first["text"]]}, headers={"Authorization": "Bearer key"}).json()
    assert [[one["label"] for one in level] for level in reply["predictions"][0]["levels"]] == [
        [one["label"] for one in level] for level in first["levels"]
    ]


def test_answers_without_parents_have_no_levels(run, workshop, tmp_path):
    plain = workshop.bundle()
    client = TestClient(service(Engine(plain), "key"))
    reply = client.post("/v1/predict", json={"rows": ["my parcel"]}, headers={"Authorization": "Bearer key"}).json()
    assert set(reply["predictions"][0]) == {"answer", "confidence", "alternatives", "notices", "spans"}
    assert run("predict", plain.path, "--file", workshop.root / "fresh.jsonl", "--out", tmp_path / "a.csv").code == 0
    with (tmp_path / "a.csv").open(encoding="utf-8") as stream:
        assert next(csv.reader(stream)) == ["line", "text", "answer", "confidence", "alternatives", "notices", "spans"]
