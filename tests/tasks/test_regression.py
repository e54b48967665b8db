"""A number a row, of one text or two, through every command."""

import csv
import json
import random
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import pipeline

from attune.compression.export import to_transformers
from attune.core.recipe import parse
from attune.core.texts import joined
from attune.errors import DataError, RecipeError, UnsupportedError
from attune.lifecycle.evaluate import evaluate_bundles
from attune.lifecycle.train import train
from attune.model.assemble import AXES, check
from attune.model.bundle import load
from attune.tasks.common.aids import Aids
from attune.tasks.common.numbers import NumberScores
from attune.tasks.common.reader import Reader
from attune.tasks.common.ridge import line, ridge
from attune.tasks.regression import Regression, RegressionOptions
from support.bundles import FILLER, recipe, write_recipe, write_rows

ENCODERS = ("single", "cross", "bi", "cosine")


def made_up(count=120, seed=0):
    """Two texts of six words: the number is how many of the second's are the first's, and 20 of them is the unit."""
    draw = random.Random(seed)
    rows = {}
    while len(rows) < count:
        shared = len(rows) % 7
        first = draw.sample(FILLER, 6)
        second = first[:shared] + draw.choices("parcel refund broken wrong late order".split(), k=6 - shared)
        key = (" ".join([*first, *["refund"] * shared]), " ".join(second))
        rows.setdefault(key, {"text": key[0], "text_pair": key[1], "label": 100 + 20 * shared})
    return list(rows.values())


ROWS = [{"text": row["text"], "text_pair": row["text_pair"]} for row in made_up(20, seed=5)]


def asked(bundle):
    """Rows as a bundle reads them."""
    return ROWS if len(bundle.model.task.fields) > 1 else [row["text"] for row in ROWS]


@pytest.fixture(scope="module")
def numbers(workshop):
    """Bundles by encoder and pooling, each trained once."""
    write_rows(workshop.root / "numbers.jsonl", made_up())
    made = {}

    def bundle(encoder="single", pooling="mean"):
        if (encoder, pooling) not in made:
            wanted = recipe(
                data={"train": "numbers.jsonl"}, backbone={"pooling": pooling},
                task={"name": "regression", "encoder": encoder}, training={"probe_l2": None},
                evaluation={"resamples": 100, "baselines": ["majority", "tfidf", "zero_shot"]},
            )  # fmt: skip
            made[encoder, pooling] = train(wanted, workshop.root, workshop.root / f"number-{encoder}-{pooling}")
        return made[encoder, pooling]

    return bundle


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_bundle_answers_with_numbers_in_their_own_units(workshop, numbers, encoder):
    bundle = load(numbers(encoder).path, root=workshop.root)
    assert (bundle.manifest.task, bundle.labels) == ("regression", [])
    found = bundle.predict(asked(bundle))
    assert all(isinstance(row.answer, float) and row.confidence is None for row in found)
    gold = [row["label"] for row in made_up(20, seed=5)]
    assert np.corrcoef(gold, [row.answer for row in found])[0, 1] > (0.2 if encoder == "cosine" else 0.5)
    assert 60 < np.mean([row.answer for row in found]) < 260
    head = bundle.model.head
    np.testing.assert_allclose([row.answer for row in found], [
        float(head.mean + head.spread * row.probabilities[0]) for row in found
    ], rtol=1e-6)  # fmt: skip
    assert bundle.model.temperature == 1.0, "a temperature means nothing for numbers"


def test_answers_stand_beside_the_mean_tfidf_and_untuned_cosines(numbers):
    evaluation = json.loads((numbers("cosine").path / "evaluation.json").read_text(encoding="utf-8"))
    assert evaluation["headline"] == ["spearman", "pearson"]
    named = {found["name"]: found["metrics"] for found in evaluation["baselines"]}
    assert set(named) == {"mean", "tfidf", "cosine"}
    assert named["mean"]["spearman"]["value"] == 0.0
    assert abs(named["mean"]["r2"]["value"]) < 0.2
    assert named["tfidf"]["spearman"]["value"] > 0.5, "the words say the number"
    one = json.loads((numbers("single").path / "evaluation.json").read_text(encoding="utf-8"))
    assert [found["name"] for found in one["baselines"]] == ["mean", "tfidf"]
    assert "zero_shot left out: an untuned backbone knows no number of one text" in one["notices"]
    report = (numbers("cosine").path / "report.html").read_text(encoding="utf-8")
    assert "Spearman" in report and "Errors, the gravest first" in report and "cosines of untuned vectors" in report
    card = (numbers("cosine").path / "card.md").read_text(encoding="utf-8")
    assert "Answers with a number; those of the training rows lie from 100 to 220" in card


def test_two_bundles_are_compared_on_the_same_rows(workshop, numbers):
    found = evaluate_bundles(
        [numbers("cosine"), numbers("bi")], str(workshop.root / "numbers.jsonl"), root=workshop.root
    )
    assert found.comparisons[0].differences["spearman"].test == "approximate randomisation"
    assert "Spearman" in found.page()
    with pytest.raises(DataError, match="one text and some two"):
        evaluate_bundles([numbers("cosine"), numbers("single")], str(workshop.root / "numbers.jsonl"))
    with pytest.raises(DataError, match="different questions"):
        evaluate_bundles([numbers("single"), workshop.bundle()], str(workshop.root / "numbers.jsonl"))


def test_predict_prints_and_writes_numbers(run, numbers, tmp_path):
    expected = [found.answer for found in numbers().predict(asked(numbers()))]
    outcome = run("predict", numbers().path, ROWS[0]["text"])
    assert outcome.code == 0 and outcome.out.startswith(f"{expected[0]}   {ROWS[0]['text']}")
    found = run("predict", numbers().path, "--json", ROWS[0]["text"]).lines
    assert found[0]["answer"] == expected[0] and found[0]["confidence"] is None and found[0]["alternatives"] == []
    write_rows(tmp_path / "here" / "in.jsonl", ROWS)
    for kind in ("csv", "parquet"):
        assert run("predict", numbers().path, "--file", "in.jsonl", "--out", f"out.{kind}").code == 0
    with (tmp_path / "here" / "out.csv").open(encoding="utf-8", newline="") as stream:
        assert [float(row["answer"]) for row in csv.DictReader(stream)] == pytest.approx(expected, rel=1e-6)
    table = pq.read_table(tmp_path / "here" / "out.parquet").to_pylist()
    assert [row["answer"] for row in table] == pytest.approx(expected, rel=1e-6)


def test_the_service_answers_with_numbers(numbers):
    testclient = pytest.importorskip("fastapi.testclient")
    from attune.apps.http.service import service
    from attune.serving.engine import Engine

    client = testclient.TestClient(service(Engine(numbers("cosine")), "secret"))
    reply = client.post("/v1/predict", json={"rows": ROWS}, headers={"Authorization": "Bearer secret"})
    assert reply.json()["predictions"] == [found.as_dict() for found in numbers("cosine").predict(ROWS)]


@pytest.mark.parametrize(
    "encoder", [pytest.param(name, marks=[pytest.mark.slow] * (name in ("single", "cross"))) for name in ENCODERS]
)
def test_mean_pooling_is_exported_as_a_script_that_prints_numbers(numbers, tmp_path, encoder):
    bundle = numbers(encoder)
    to_transformers(bundle, tmp_path / "out")
    lines = "\n".join(json.dumps(row) if isinstance(row, dict) else row for row in asked(bundle))
    blocked = "import sys, runpy; sys.modules['attune'] = None; runpy.run_path(sys.argv[1], run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-I", "-c", blocked, str(tmp_path / "out" / "predict.py")],
        input=lines, capture_output=True, text=True, check=True, cwd=tmp_path, timeout=200,
    )  # fmt: skip
    found = [json.loads(line) for line in done.stdout.splitlines()]
    np.testing.assert_allclose(found, [row.answer for row in bundle.predict(asked(bundle))], rtol=1e-4)


def test_first_token_pooling_is_a_plain_regression_model(numbers, tmp_path):
    bundle = numbers("single", "first")
    to_transformers(bundle, tmp_path / "out")
    plain = pipeline("text-classification", model=str(tmp_path / "out"), device="cpu")
    found = [plain(row)[0]["score"] for row in asked(bundle)]
    np.testing.assert_allclose(found, [row.answer for row in bundle.predict(asked(bundle))], atol=0.2)
    with pytest.raises(UnsupportedError, match="no stock class"):
        to_transformers(numbers("cosine", "first"), tmp_path / "none")


def test_numbers_as_text_and_every_bad_one_by_its_line(workshop, tmp_path):
    good = "text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in made_up(40))
    (workshop.root / "good.csv").write_text(good, encoding="utf-8")
    wanted = {"task": {"name": "regression"}, "evaluation": {"baselines": ["majority", "tfidf"]}}
    bundle = train(recipe(data={"train": "good.csv"}, **wanted), workshop.root, tmp_path / "run")
    assert set(bundle.manifest.metrics) == set(NumberScores.names)
    bad = good + 'a word,high\nnot a number,nan\nendless,inf\nnothing,\ncomma,"2,5"\n'
    (workshop.root / "bad.csv").write_text(bad, encoding="utf-8")
    with pytest.raises(DataError, match="5 bad rows") as caught:
        train(recipe(data={"train": "bad.csv"}, **wanted), workshop.root, tmp_path / "bad")
    told = [(problem.where, problem.found) for problem in caught.value.problems]
    assert [where for where, _ in told] == [f"bad.csv:{line}" for line in range(42, 47)]
    assert [found.split(" where")[0] for _, found in told[:3]] == ["'high'", "'nan'", "'inf'"]
    assert "write decimals with a point" in told[4][1]
    assert "a number in 'label'" in caught.value.expected
    assert not (tmp_path / "bad").exists()


def test_equal_numbers_are_refused(workshop, tmp_path):
    write_rows(workshop.root / "equal.jsonl", [row | {"label": 3.5} for row in made_up(30)])
    with pytest.raises(DataError, match=r"have the number 3\.5"):
        train(recipe(data={"train": "equal.jsonl"}, task={"name": "regression"}), workshop.root, tmp_path / "out")


def test_the_second_text_wants_an_encoder(workshop):
    with pytest.raises(RecipeError, match="the task regression reads one") as caught:
        check(recipe(data={"text_pair": "other"}, task={"name": "regression"}), workshop.root)
    assert "task.encoder" in caught.value.remedy
    with pytest.raises(RecipeError, match="multi_label"):
        parse({"task": {"name": "regression", "multi_label": True}}, AXES)
    with pytest.raises(RecipeError, match="no metric 'spearmann'"):
        Regression(RegressionOptions()).metric("spearmann")
    assert Regression(RegressionOptions()).metric("mean_absolute_error") == ("mean_absolute_error", False)
    assert Regression(RegressionOptions()).metric("") == ("spearman", True)


def test_the_audit_knows_no_labels_of_numbers(run, workshop):
    path = write_recipe(
        workshop.root / "numbers.toml", data={"train": "numbers.jsonl"},
        task={"name": "regression", "encoder": "cosine"},
    )  # fmt: skip
    write_rows(workshop.root / "numbers.jsonl", made_up())
    outcome = run("audit", path, "--json")
    kinds = {finding["kind"] for finding in outcome.json["findings"]}
    assert outcome.code == 0 and not kinds & {"rare_classes", "contradictory_labels", "unseen_classes"}
    plan = run("train", path, "--plan", "--json")
    assert plan.code == 0 and plan.json["combination"].startswith("text × regression × linear")


def test_vectors_of_texts_give_the_cosine_that_the_number_comes_from(numbers):
    bundle = numbers("cosine")
    first, second = (bundle.embed([row[name] for row in ROWS]) for name in ("text", "text_pair"))
    assert first.shape == (20, bundle.model.backbone.width) and first.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, rtol=1e-5)
    weight, bias = (value.item() for value in bundle.model.task.affine(bundle.model.head, 1.0))
    np.testing.assert_allclose(
        weight * (first * second).sum(1) + bias, [row.answer for row in bundle.predict(ROWS)], rtol=1e-4
    )
    with pytest.raises(DataError, match="1 of 2 rows"):
        bundle.embed(["a text", " "])
    with pytest.raises(UnsupportedError, match="two texts as one sequence"):
        numbers("cross").embed(["a text"])


def test_the_solved_start_is_ridge_regression(workshop, numbers):
    model = numbers("single").model
    rows = made_up()
    features = model.features(model.encode(rows).ids)
    gold = np.asarray([row["label"] for row in rows], dtype=np.float64)
    l2 = numbers("single").recipe.training.probe_l2
    labels = model.task.labels(gold)
    head = model.task.head(model.backbone.width, labels, 0.0)
    targets = model.task.targets(gold, labels)
    head.fit(features, targets, lambda out, goal: model.task.loss(out, goal, labels), l2)
    spread = np.maximum(features.std(0), 1e-3 * features.std(0).max())
    scaled = (features - features.mean(0)) / spread
    exact = np.linalg.solve(
        scaled.T @ scaled + len(rows) * l2 / 2 * np.eye(scaled.shape[1]), scaled.T @ targets.numpy()
    )
    with torch.inference_mode():
        found = head(torch.from_numpy(features))[:, 0].numpy()
    np.testing.assert_allclose(found, scaled @ exact, atol=0.02)


def test_two_vectors_become_one_number():
    pooled = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert Reader("cosine").join(pooled).tolist() == [[1.0], [0.0]]
    assert Reader("cosine").width(32) == 1 and Reader("bi").width(32) == 128 and Reader("single").width(32) == 32


class Rows(list):
    """Rows as a table gives them."""

    def texts(self):
        return [joined([row["text"], row["text_pair"]]) for row in self]

    def golds(self):
        return [row["label"] for row in self]


def test_untuned_cosines_are_scaled_to_the_numbers():
    def embed(texts):
        counts = np.array([[text.split().count(word) for word in FILLER] for text in texts], dtype=np.float32)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-6)

    task = Regression(RegressionOptions(encoder="cosine"))
    train, asked = Rows(made_up(100)), Rows(made_up(40, seed=9))
    found = task.baseline("zero_shot", train, asked, task.labels(train.golds()), Aids(embed, list, 0))
    scores = task.metrics(task.judged("cosine", found, asked.golds(), task.labels(train.golds())))
    assert scores["spearman"] > 0.9 and scores["r2"] > 0.8
    with pytest.raises(ValueError, match="not asked for"):
        task.baseline("zero_shot", train, asked, task.labels(train.golds()), Aids(None, list, 0))


def test_a_line_through_cosines_and_ridge_on_words():
    known = np.array([0.0, 1.0, 2.0])
    np.testing.assert_allclose(line(known, 3 * known + 1, np.array([5.0])), [16.0])
    np.testing.assert_allclose(line(np.ones(3), known, np.array([5.0])), [1.0])
    from attune.evaluation.tfidf import vectoriser

    texts = [row["text"] for row in made_up(80)]
    gold = np.asarray([row["label"] for row in made_up(80)], dtype=np.float64)
    found = ridge(texts[:60], gold[:60], texts[60:], Aids(None, vectoriser, 0))
    assert np.corrcoef(found, gold[60:])[0, 1] > 0.9
