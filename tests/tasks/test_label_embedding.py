"""Embedding by labels: the loss against its formula, the draws, what is found, and what is refused."""

import json

import numpy as np
import pytest
import torch

from attune.core.packing import ids_of, pieces_of
from attune.errors import DataError, RecipeError
from attune.lifecycle.evaluate import evaluate_bundles
from attune.lifecycle.train import train
from attune.model.assemble import assemble, check, task_of
from attune.model.bundle import load
from attune.tasks.common.kin import KinScores, kin_of
from attune.tasks.common.retrieval import Found
from attune.tasks.common.supcon import supervised_contrast
from attune.tasks.label_embedding import LabelEmbedding
from attune.training.encoded import encode, learned_from, prepare
from support import cells
from support.bundles import FEW_ROWS, recipe

TRAINING = {"epochs": 4, "batch_size": 8, "learning_rate": 3e-3}


def wanted(**tables):
    """A recipe for it."""
    base = {"data": FEW_ROWS, "task": {"name": "label_embedding"}, "method": {"name": "full"}, "training": TRAINING}
    return recipe(**{name: {**base.get(name, {}), **tables.get(name, {})} for name in {*base, *tables}})


def by_hand(vectors, texts, labels, scale):
    """Equation 2 of Khosla et al. (2020) for each text, in loops."""
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    each = []
    for i in range(len(unit)):
        among = [a for a in range(len(unit)) if texts[a] != texts[i]]
        right = [p for p in among if labels[p] == labels[i]]
        whole = np.log(sum(np.exp(scale * unit[i] @ unit[a]) for a in among)) if among else 0.0
        each.append(np.mean([whole - scale * unit[i] @ unit[p] for p in right]) if right else None)
    return each


def test_the_loss_is_that_of_the_formula_and_equal_texts_are_not_compared():
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(4, 2, 6))
    texts, labels = np.asarray([[1, 2], [3, 1], [4, 0], [5, 6]]), np.asarray([[7, 7], [7, 7], [8, 8], [9, 9]])
    total, weight = supervised_contrast(*map(torch.from_numpy, (vectors, texts, labels)), 5.0, ())
    there = texts.ravel() != 0
    each = iter(by_hand(vectors.reshape(8, 6)[there], texts.ravel()[there], labels.ravel()[there], 5.0))
    rows = [[next(each) if key else None for key in line] for line in texts]
    expected = [np.mean([one for one in row if one is not None] or [0.0]) for row in rows]
    np.testing.assert_allclose(total, expected, rtol=1e-6)
    assert weight.tolist() == [1, 1, 0, 1]


def test_a_batch_in_which_nothing_is_right_has_no_loss_and_no_broken_gradient():
    vectors = torch.randn(2, 2, 4, requires_grad=True)
    texts = torch.tensor([[1, 0], [1, 0]])
    total, _ = supervised_contrast(vectors, texts, torch.tensor([[5, 5], [5, 5]]), 20.0, (2, 4))
    total.sum().backward()
    assert total.tolist() == [0, 0] and torch.isfinite(vectors.grad).all()


def test_each_row_is_drawn_another_text_of_its_label_by_seed_step_and_row(workshop, tmp_path):
    asked = wanted()
    table = cells.Table(24, longest=8)
    table.texts[4], table.golds[4] = table.texts[1], table.golds[1]
    table.golds[0] = "alone"
    model = assemble(asked, check(asked, workshop.root), task_of(asked).labels(table.golds))
    rows = encode(model, table, tmp_path / "ids")
    prepare(model, rows)
    ids, targets = learned_from(model, rows, range(24), (0, 1))
    key = {int(line[0]): int(line[1]) for line in rows.targets}
    assert targets[0, 2] == 0 and len(pieces_of(ids[0])) == 1, "there is no other text of that label"
    for row, line in zip(ids[1:], targets[1:].tolist(), strict=True):
        assert key[line[2]] == line[1] and line[2] != line[0] and len(pieces_of(row)) == 2
    other = next(number for number in range(24) if int(rows.targets[number, 0]) == int(targets[5, 2]))
    assert ids_of(pieces_of(ids[5])[1]).tolist() == ids_of(rows.row(other)).tolist()
    again, same = learned_from(model, rows, [5, 3], (0, 1))
    assert again[0].tolist() == ids[5].tolist() and same.tolist() == targets[[5, 3]].tolist()
    assert (learned_from(model, rows, range(24), (0, 2))[1] != targets).any()


def test_figures_are_of_rows_for_which_there_is_something_to_find():
    asked = kin_of(["a", "b", "c", "a"], ["x", "x", "y", "x"])
    assert asked.texts == ["a", "b", "c"] and asked.right == [[1], [0], [], [1]] and asked.itself == [0, 1, 2, 0]
    scores = KinScores("it", ["x"] * 3, [Found((1, 4), ("b",)), Found((), ("a",)), Found((6,), ("c",))], None)
    found = scores.measure(np.asarray([[1.0, 1.0, 1.0], [0.0, 1.0, 2.0]]))
    assert found["found_1"].tolist() == [0.5, 0] and found["found_10"].tolist() == [1, 1]
    np.testing.assert_allclose(found["mrr"], [(1 + 1 / 6) / 2, 1 / 6])
    np.testing.assert_allclose(found["average_rank_precision"], [((1 + 2 / 4) / 2 + 1 / 6) / 2, 1 / 6])
    assert scores.right().tolist() == [True, True, False] and scores.gravity().tolist() == [1, 0, 6]


def test_texts_of_a_label_find_each_other_after_training(workshop, tmp_path):
    asked = wanted(evaluation={"baselines": ["tfidf", "bm25", "zero_shot"]})
    bundle = train(asked, workshop.root, tmp_path / "run")
    evaluation = json.loads((bundle.path / "evaluation.json").read_text())
    named = {found["name"]: found["metrics"]["found_1"]["value"] for found in evaluation["baselines"]}
    assert set(named) == {"tfidf", "bm25", "cosine"}
    assert evaluation["metrics"]["found_1"]["value"] > max(0.9, named["cosine"])
    assert "Found at 1" in (bundle.path / "report.html").read_text()
    vectors = load(bundle.path, root=workshop.root).embed(["where is my parcel", "i want a refund"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    (found,) = bundle.predict(["where is my parcel"])
    np.testing.assert_allclose(found.answer, vectors[0], atol=1e-5)
    again = evaluate_bundles([bundle], str(workshop.root / "rows.jsonl"))
    assert again.evaluations[0].metrics["found_1"].value > 0.9


def test_a_single_row_a_step_one_label_and_bad_sizes_are_refused(workshop, tmp_path):
    with pytest.raises(RecipeError, match="there is nothing to contrast"):
        train(wanted(training={"batch_size": 1}), workshop.root, tmp_path / "run")
    task = LabelEmbedding(LabelEmbedding.Options())
    with pytest.raises(DataError, match="the most frequent has 1 row"):
        task.labels(["a", "b"])
    with pytest.raises(RecipeError, match="none of sizes"):
        wanted(task={"sizes": [8], "size": 4})
