"""Texts with what belongs to them, through every command: vectors, what they find, and how they are tuned."""

import csv
import json
import random

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import attune
from attune.compression.export import to_transformers
from attune.core.packing import marks_of, pieces_of
from attune.errors import DataError, InterruptedRunError, RecipeError, UnsupportedError
from attune.lifecycle.evaluate import evaluate_bundles
from attune.lifecycle.train import Surroundings, resume, train
from attune.model.assemble import AXES, check
from attune.model.bundle import load
from attune.tasks.embedding import Embedding, EmbeddingOptions
from support.bundles import FILLER, TOPICS, recipe, write_rows

TOLD = sorted(word for words in TOPICS.values() for word in words.split())


def made_up(count=60, seed=0):
    """Questions of three words, each with an answer that shares two of them; every seventh with a negative."""
    draw = random.Random(seed)
    rows = {}
    while len(rows) < count:
        words = draw.sample(TOLD, 3)
        positive = " ".join([words[0], draw.choice(FILLER), words[1]])
        label = (
            {"positive": positive, "negatives": [" ".join(draw.sample(FILLER, 3))]} if len(rows) % 7 == 0 else positive
        )
        rows.setdefault(" ".join(words), {"text": " ".join(words), "label": label})
    return list(rows.values())


TEXTS = [row["text"] for row in made_up(20, seed=5)]
TRAINING = {"epochs": 2, "learning_rate": 2e-3, "batch_size": 8, "start": "random"}


def wanted(**tables):
    """A recipe for pairs."""
    tables["task"] = {"name": "embedding", **tables.get("task", {})}
    tables["training"] = {**TRAINING, **tables.get("training", {})}
    return recipe(**{"data": {"train": "pairs.jsonl"}, "method": {"name": "full"}, **tables})


@pytest.fixture(scope="module")
def pairs(workshop):
    """Bundles by variant, each trained once."""
    write_rows(workshop.root / "pairs.jsonl", made_up())
    made = {}
    every = {"resamples": 100, "baselines": ["majority", "tfidf", "bm25", "zero_shot"]}
    kinds = {
        "plain": {"evaluation": every},
        "sizes": {"task": {"sizes": [8, 16], "symmetric": True}},
        "none": {"method": {"name": "none"}},
        "last": {"data": {"train": "pairs.jsonl", "validation_share": 0.0}, "training": {"epochs": 6}},
    }

    def bundle(kind="plain"):
        if kind not in made:
            made[kind] = train(wanted(**kinds[kind]), workshop.root, workshop.root / f"embedding-{kind}")
        return made[kind]

    return bundle


@pytest.mark.parametrize(("kind", "size"), [("plain", 32), ("sizes", 16), ("none", 32)])
def test_a_bundle_answers_with_vectors_of_length_one(workshop, pairs, kind, size):
    bundle = load(pairs(kind).path, root=workshop.root)
    assert (bundle.manifest.task, bundle.labels) == ("embedding", [])
    found = np.array([answer.answer for answer in bundle.predict(TEXTS)])
    assert found.shape == (20, size)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-4)
    np.testing.assert_allclose(found, bundle.embed(TEXTS), atol=2e-6)
    assert bundle.predict(TEXTS[:1])[0].confidence is None
    kept = json.loads((bundle.path / "witness.json").read_text(encoding="utf-8"))["rows"]
    assert {"text", "answer", "probabilities"} == set(kept[0])


def test_what_is_found_stands_beside_counts_words_and_untuned_cosines(pairs):
    evaluation = json.loads((pairs().path / "evaluation.json").read_text(encoding="utf-8"))
    assert evaluation["headline"] == ["mrr", "recall_1", "recall_10"]
    named = {found["name"]: found["metrics"] for found in evaluation["baselines"]}
    assert set(named) == {"often right", "tfidf", "bm25", "cosine"}
    assert min(named[lexical]["mrr"]["value"] for lexical in ("tfidf", "bm25")) > 0.8, "two words are shared"
    assert evaluation["metrics"]["mrr"]["value"] > named["often right"]["mrr"]["value"]
    card = (pairs().path / "card.md").read_text(encoding="utf-8")
    assert "Answers with a vector of length one" in card
    assert "Recall at 1" in (pairs().path / "report.html").read_text(encoding="utf-8")
    untuned = (pairs("none").path / "card.md").read_text(encoding="utf-8")
    assert "Nothing was trained: vectors are the backbone's own." in untuned
    assert "Answers with a vector of 16 numbers of length one; its first 8, 16 are vectors too" in (
        pairs("sizes").path / "card.md"
    ).read_text(encoding="utf-8")


def test_tuning_brings_together_what_belongs_together(workshop, pairs):
    """On the rows that were learned from: the loss that falls is the one that ranks."""
    found = evaluate_bundles([pairs("last"), pairs("none")], str(workshop.root / "pairs.jsonl"), root=workshop.root)
    tuned, untuned = (one.metrics["mrr"].value for one in found.evaluations)
    assert tuned > untuned + 0.05
    assert set(found.comparisons[0].differences) == {"mrr", "recall_1", "recall_5", "recall_10", "ndcg_10"}


def test_predict_writes_vectors_into_every_format(run, pairs, tmp_path):
    expected = [found.answer for found in pairs().predict(TEXTS)]
    lines = "\n".join(TEXTS).encode()
    assert [row["answer"] for row in run("predict", pairs().path, stdin=lines).lines] == expected
    told = run("predict", pairs().path, TEXTS[0]).out
    assert told.startswith(f"{expected[0][0]:.3f}, ") and "(32 numbers)" in told
    for name in ("out.csv", "out.parquet"):
        assert run("predict", pairs().path, "--out", name, stdin=lines).code == 0
    with (tmp_path / "here" / "out.csv").open(encoding="utf-8", newline="") as stream:
        assert [[float(value) for value in row["answer"].split("|")] for row in csv.DictReader(stream)] == expected
    assert pq.read_table(tmp_path / "here" / "out.parquet")["answer"].to_pylist() == expected


def test_the_service_gives_vectors(pairs):
    testclient = pytest.importorskip("fastapi.testclient")
    from attune.apps.http.service import service
    from attune.serving.engine import Engine

    client = testclient.TestClient(service(Engine(pairs()), "secret"))
    reply = client.post("/v1/predict", json={"rows": TEXTS[:3]}, headers={"Authorization": "Bearer secret"})
    assert reply.json()["predictions"] == [found.as_dict() for found in pairs().predict(TEXTS[:3])]


def test_every_bad_row_is_named_by_its_line(workshop, tmp_path):
    good = made_up(30)
    text = good[0]["text"]
    bad = [" ", text, {"positive": "a", "negatives": ["a"]}, {"positive": "a", "negatives": list("bcdef")}, 3]
    write_rows(workshop.root / "bad.jsonl", [*good, *({"text": text, "label": label} for label in bad)])
    with pytest.raises(DataError, match="5 bad rows") as caught:
        train(wanted(data={"train": "bad.jsonl"}), workshop.root, tmp_path / "out")
    told = [(problem.where, problem.found) for problem in caught.value.problems]
    assert [where for where, _ in told] == [f"bad.jsonl:{line}" for line in range(31, 36)]
    for (_, found), said in zip(
        told, ["empty positive", "the text itself", "is the positive", "allows 4", "neither a text"], strict=True
    ):
        assert said in found
    assert "with negatives, in 'label'" in caught.value.expected
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("tables", "kind", "told"),
    [
        ({"task": {"sizes": [8, 64]}}, UnsupportedError, "task.sizes asks for 64 features, and the backbone has 32"),
        ({"method": {"name": "frozen"}}, UnsupportedError, "another method, or none to take the backbone as it is"),
        ({"task": {"head": "linear"}}, UnsupportedError, "answers with the vector itself, and head linear does not"),
        ({"training": {"batch_size": 1}}, RecipeError, "there is nothing to contrast"),
    ],
)  # fmt: skip
def test_what_cannot_be_tuned_is_refused(workshop, pairs, tmp_path, tables, kind, told):
    assert pairs()
    with pytest.raises(kind, match=told):
        train(wanted(**tables), workshop.root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"sizes": [8, 8]}, "each once"),
        ({"sizes": [0]}, "whole numbers above 0"),
        ({"sizes": [8, 16], "size": 12}, "size = 12 is none of sizes"),
        ({"size": 12}, "size = 12 is none of sizes"),
        ({"window": [5, 2]}, "holds no rank"),
        ({"window": [0, 2]}, "holds no rank"),
        ({"scale": 0}, "greater than 0"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, told):
    with pytest.raises(RecipeError, match=told):
        wanted(task=options)


def test_one_positive_for_all_rows_teaches_nothing(workshop, tmp_path):
    rows = [{"text": row["text"], "label": "the same"} for row in made_up(20)]
    write_rows(workshop.root / "same.jsonl", rows)
    with pytest.raises(DataError, match="all training rows have one and the same positive"):
        train(wanted(data={"train": "same.jsonl"}), workshop.root, tmp_path / "out")


def test_a_row_is_read_with_what_belongs_to_it_only_where_that_is_told(workshop):
    task = Embedding(EmbeddingOptions(most_negatives=2))
    backbone = AXES["backbone"].get("text")(check(recipe(), workshop.root), recipe().backbone)
    rows = [{"text": "where is it"}, {"text": "refund"}]
    golds = [{"positive": "late", "negatives": ["red", "blue"]}, {"positive": "size", "negatives": []}]
    for told, counts in ((rows, [1, 1]), (task.with_gold(rows, golds), [4, 2])):
        encoding = task.read(backbone, told)
        assert [len(pieces_of(row)) for row in encoding.ids] == counts
        assert [marks_of(row).tolist().count(1) for row in encoding.ids] == [1, 1]
        inputs = backbone.collate(encoding.ids)
        pooled = torch.arange(float(len(inputs["marks"]) * 2)).view(-1, 2) + 1
        joined = task.join(pooled, inputs)
        assert joined.shape == (2, 4, 2)
        assert [int(row.any(-1).sum()) for row in joined] == counts


def test_no_plain_folder_gives_vectors(pairs, tmp_path):
    with pytest.raises(UnsupportedError, match="is no affine map of what is read of a row"):
        to_transformers(pairs(), tmp_path / "out")
    with pytest.raises(RecipeError, match="no metric 'mmr'"):
        Embedding(EmbeddingOptions()).metric("mmr")


def test_rows_are_audited_and_planned_by_their_texts(workshop, pairs, run):
    assert pairs()
    path = workshop.root / "pairs.toml"
    path.write_text(wanted().toml(), encoding="utf-8")
    assert attune.audit(path).tables["rows"] == {"train": 43, "validation": 5, "test": 12}
    told = run("train", path, "--plan").out
    assert "text × embedding × vector × full × supervised" in told and "steps" in told


def test_one_text_with_two_that_belong_to_it_is_no_duplicate(workshop, pairs):
    rows = made_up(30)
    several = [{"text": row["text"], "label": f"{row['text']} again"} for row in rows[:6]]
    write_rows(workshop.root / "several.jsonl", [*rows, *several, rows[0]])
    path = workshop.root / "several.toml"
    path.write_text(wanted(data={"train": "several.jsonl"}).toml(), encoding="utf-8")
    found = {finding.kind: finding.count for finding in attune.audit(path).findings}
    assert found["duplicates"] == 1 and "contradictory_labels" not in found


def stop_after(steps):
    """Surroundings of a run that is stopped after so many steps."""
    seen = []

    def listen(event):
        if event["event"] == "step":
            seen.append(event["step"])

    return Surroundings(listeners=(listen,), stopping=lambda: "the test" if len(seen) == steps else "")


def test_a_stopped_run_with_mined_negatives_ends_like_one_never_stopped(workshop, pairs, tmp_path):
    assert pairs()
    asked = wanted(
        task={"negatives": 2, "window": (2, 20)}, training={"dropout": 0.1, "accumulation": 2, "batch_size": 4}
    )
    whole = train(asked, workshop.root, tmp_path / "whole")
    lines = (tmp_path / "whole" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    found = next(event for event in map(json.loads, lines) if event["event"] == "mined")
    assert found["negatives"] > 20 and found["fewer"] < found["rows"]
    assert "have fewer mined negatives than asked for" in (whole.path / "card.md").read_text(encoding="utf-8")
    with pytest.raises(InterruptedRunError):
        train(asked, workshop.root, tmp_path / "stopped", stop_after(5))
    (tmp_path / "stopped" / "negatives.safetensors").stat()
    again = resume(tmp_path / "stopped")
    assert again.digest == whole.digest
    assert attune.load(again.path, data_root=workshop.root).digest == whole.digest
