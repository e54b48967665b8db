"""Two texts with a label, through every command: read as one sequence, or each on its own."""

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
from attune.core.packing import as_pieces, ids_of, pieces_of, types_of, with_types
from attune.core.recipe import parse
from attune.core.records import Input
from attune.errors import DataError, RecipeError, UnsupportedError
from attune.lifecycle.evaluate import evaluate_bundles
from attune.lifecycle.train import train
from attune.model.assemble import AXES, check
from attune.model.bundle import load
from attune.tasks.pair import Pair, PairOptions
from support.bundles import FILLER, TOPICS, recipe, write_recipe, write_rows

WORDS = [word for words in TOPICS.values() for word in words.split()] + FILLER


def made_up(count=96, seed=0):
    """Pairs of two words each: `same` where the second repeats the first with others, `other` where it does not."""
    draw = random.Random(seed)
    rows = {}
    while len(rows) < count:
        first = " ".join(draw.sample(WORDS, 3))
        same = len(rows) % 2 == 0
        second = f"{first} {draw.choice(FILLER)}" if same else " ".join(draw.sample(FILLER, 4))
        rows.setdefault((first, second), {"text": first, "text_pair": second, "label": "same" if same else "other"})
    return list(rows.values())


ROWS = made_up(20, seed=5)


@pytest.fixture(scope="module")
def pairs(workshop):
    """Bundles of pairs by encoder and pooling, each trained once."""
    write_rows(workshop.root / "pairs.jsonl", made_up())
    made = {}

    def bundle(encoder="cross", pooling="mean"):
        if (encoder, pooling) not in made:
            wanted = recipe(
                data={"train": "pairs.jsonl"}, backbone={"pooling": pooling}, task={"name": "pair", "encoder": encoder},
                evaluation={"resamples": 100, "baselines": ["majority", "tfidf", "zero_shot"]},
            )  # fmt: skip
            made[encoder, pooling] = train(wanted, workshop.root, workshop.root / f"pair-{encoder}-{pooling}")
        return made[encoder, pooling]

    return bundle


@pytest.mark.parametrize(("encoder", "pooling"), [("cross", "mean"), ("cross", "first"), ("bi", "mean")])
def test_a_bundle_of_pairs_answers_as_it_was_evaluated(workshop, pairs, encoder, pooling):
    bundle = load(pairs(encoder, pooling).path, root=workshop.root)
    assert bundle.manifest.task == "pair"
    assert bundle.recipe.data.text_pair == "text_pair"
    assert bundle.labels == ["other", "same"]
    kept = json.loads((bundle.path / "witness.json").read_text(encoding="utf-8"))["rows"]
    assert {"text", "text_pair", "answer", "probabilities"} == set(kept[0])
    swapped = [{"text": row["text_pair"], "text_pair": row["text"]} for row in ROWS]
    one, other = (np.stack([found.probabilities for found in bundle.predict(rows)]) for rows in (ROWS, swapped))
    assert np.abs(one - other).max() > 1e-4, "which text comes first makes no difference"


def test_zero_shot_is_left_out_with_the_reason(pairs):
    evaluation = json.loads((pairs().path / "evaluation.json").read_text(encoding="utf-8"))
    assert [found["name"] for found in evaluation["baselines"]] == ["majority", "tfidf"]
    assert [told for told in evaluation["notices"] if told.startswith("zero_shot left out: the label of a pair")]
    tfidf = next(found for found in evaluation["baselines"] if found["name"] == "tfidf")
    assert tfidf["metrics"]["accuracy"]["value"] > 0.8, "the overlap of the texts gives the label away"


def test_the_report_shows_both_texts_of_an_error(pairs):
    evaluation = json.loads((pairs("bi").path / "evaluation.json").read_text(encoding="utf-8"))
    rows = {f"{row['text']} ‖ {row['text_pair']}" for row in made_up()}
    assert all(row["text"] in rows for row in evaluation["worst"])
    found = evaluate_bundles([pairs().path], str(pairs().path.parents[1] / "pairs.jsonl"), root=pairs().path.parents[1])
    assert found.evaluations[0].rows == 96


def test_predict_reads_pairs_from_files_and_standard_input(run, pairs, tmp_path):
    expected = [found.answer for found in pairs().predict(ROWS)]
    lines = "\n".join(json.dumps({"text": row["text"], "text_pair": row["text_pair"]}) for row in ROWS)
    found = run("predict", pairs().path, stdin=lines.encode()).lines
    assert [row["answer"] for row in found] == expected
    assert [(row["text"], row["text_pair"]) for row in found] == [(row["text"], row["text_pair"]) for row in ROWS]
    named = [{"a": row["text"], "b": row["text_pair"]} for row in ROWS]
    write_rows(tmp_path / "here" / "in.jsonl", named)
    options = ("--file", "in.jsonl", "--column", "a", "--column-pair", "b")
    for kind in ("csv", "parquet"):
        assert run("predict", pairs().path, *options, "--out", f"out.{kind}").code == 0
    with (tmp_path / "here" / "out.csv").open(encoding="utf-8", newline="") as stream:
        flat = list(csv.DictReader(stream))
    columns = pq.read_table(tmp_path / "here" / "out.parquet").to_pylist()
    for rows in (flat, columns):
        assert [(row["text_pair"], row["answer"]) for row in rows] == [
            (row["b"], answer) for row, answer in zip(named, expected, strict=True)
        ]


def test_predict_refuses_one_text_where_two_are_read(run, pairs, tmp_path):
    outcome = run("predict", pairs().path, "only one")
    assert outcome.code == 2
    assert "reads two texts a row" in outcome.err and "--file" in outcome.err and "standard input" in outcome.err
    bad = b'plain text\n{"text": "a", "text_pair": "b"}\n{"text": "a"}\n{"text": "a", "text_pair": " "}\n'
    outcome = run("predict", pairs().path, stdin=bad)
    assert (outcome.code, len(outcome.lines)) == (1, 1)
    assert "is one text where text and text_pair were expected" in outcome.err
    assert "has no text_pair" in outcome.err and "its text_pair is empty" in outcome.err
    write_rows(tmp_path / "here" / "in.jsonl", [{"text": "a", "second": "b"}])
    assert "no column 'text_pair'" in run("predict", pairs().path, "--file", "in.jsonl").err


def test_the_service_answers_pairs(pairs):
    testclient = pytest.importorskip("fastapi.testclient")
    from attune.apps.http.service import service
    from attune.serving.engine import Engine

    client = testclient.TestClient(service(Engine(pairs()), "secret"))
    rows = [{"text": row["text"], "text_pair": row["text_pair"]} for row in ROWS]
    reply = client.post("/v1/predict", json={"rows": rows}, headers={"Authorization": "Bearer secret"})
    assert reply.json()["predictions"] == [found.as_dict() for found in pairs().predict(ROWS)]
    refused = client.post(
        "/v1/predict", json={"rows": ["one", rows[0], {"text": "a"}]}, headers={"Authorization": "Bearer secret"}
    )
    assert refused.status_code == 422
    assert [(found["where"], found["field"]) for found in refused.json()["problems"]] == [
        ("row 1", "text"),
        ("row 3", "text_pair"),
    ]


def test_first_token_pooling_is_a_plain_pipeline(pairs, tmp_path):
    told = to_transformers(pairs("cross", "first"), tmp_path / "out")
    assert "text_pair" in told
    plain = pipeline("text-classification", model=str(tmp_path / "out"), device="cpu")
    asked = [{"text": row["text"], "text_pair": row["text_pair"]} for row in ROWS]
    for row, mine in zip(asked, pairs("cross", "first").predict(ROWS), strict=True):
        chances = {one["label"]: one["score"] for one in plain(row, top_k=None)}
        np.testing.assert_allclose([chances[name] for name in ("other", "same")], mine.probabilities, atol=5e-4)


@pytest.mark.parametrize("encoder", ["cross", "bi"])
def test_mean_pooling_has_a_script_for_two_texts(pairs, tmp_path, encoder):
    to_transformers(pairs(encoder), tmp_path / "out")
    lines = "\n".join(json.dumps({"text": row["text"], "text_pair": row["text_pair"]}) for row in ROWS)
    blocked = "import sys, runpy; sys.modules['attune'] = None; runpy.run_path(sys.argv[1], run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-I", "-c", blocked, str(tmp_path / "out" / "predict.py")],
        input=lines, capture_output=True, text=True, check=True, cwd=tmp_path, timeout=200,
    )  # fmt: skip
    assert [json.loads(line) for line in done.stdout.splitlines()] == [[p.answer] for p in pairs(encoder).predict(ROWS)]


def test_two_texts_read_apart_have_no_stock_class(pairs, tmp_path):
    with pytest.raises(UnsupportedError, match="no stock class") as caught:
        to_transformers(pairs("bi", "first"), tmp_path / "out")
    assert 'task.encoder = "cross"' in caught.value.expected
    assert not (tmp_path / "out").exists()


def test_bundles_of_one_and_of_two_texts_are_not_compared(workshop, pairs):
    with pytest.raises(DataError, match="some bundles read one text and some two"):
        evaluate_bundles([pairs(), workshop.bundle()], str(workshop.root / "pairs.jsonl"))


def test_init_finds_the_second_text(run, tmp_path):
    rows = [{"premise": row["text"], "hypothesis": row["text_pair"], "gold": row["label"]} for row in made_up(40)]
    write_rows(tmp_path / "here" / "nli.jsonl", rows)
    outcome = run("init", "nli.jsonl")
    assert outcome.code == 0
    assert 'text = "premise"' in outcome.out and 'text_pair = "hypothesis"' in outcome.out
    assert 'name = "pair"' in outcome.out
    assert "'premise' and 'hypothesis' are two texts with a label between them" in outcome.err


def test_the_audit_looks_at_the_pair(run, workshop, tmp_path):
    rows = made_up(60)
    rows[3] = rows[1] | {"text_pair": rows[1]["text_pair"].upper()}  # a duplicate
    rows[5] = rows[1] | {"text_pair": rows[3]["text_pair"], "label": "same"}  # a contradiction
    rows[7] = rows[1] | {"text_pair": "another second text, which is no repetition at all"}
    rows[9]["text_pair"] += " write to jane.doe@example.com"
    rows[11]["text_pair"] = " "
    write_rows(workshop.root / "flawed.jsonl", rows)
    path = write_recipe(workshop.root / "flawed.toml", data={"train": "flawed.jsonl"}, task={"name": "pair"})
    found = run("audit", path, "--fix", tmp_path / "fixed", "--json").json
    counts = {finding["kind"]: finding["count"] for finding in found["findings"]}
    assert counts["duplicates"] == 1
    assert counts["contradictory_labels"] == 3
    assert counts["personal_data"] == 1
    assert counts["empty"] == 1
    finding = next(finding for finding in found["findings"] if finding["kind"] == "duplicates")
    assert " ‖ " in finding["rows"][0]["text"]
    cleaned = [json.loads(line) for line in (tmp_path / "fixed" / "train.jsonl").read_text().splitlines()]
    assert all(row["text_pair"].strip() for row in cleaned)


def test_a_second_text_is_refused_where_one_is_read(workshop):
    with pytest.raises(RecipeError, match="the task classification reads one") as caught:
        check(recipe(data={"text_pair": "other"}), workshop.root)
    assert 'task.name = "pair"' in caught.value.remedy


def test_a_missing_column_is_named(workshop, tmp_path):
    with pytest.raises(DataError, match="unknown column 'text_pair'") as caught:
        train(recipe(task={"name": "pair"}), workshop.root, tmp_path / "out")
    assert "data.text_pair" in caught.value.where


def test_a_tokenizer_that_runs_two_texts_together_is_refused(workshop, monkeypatch):
    monkeypatch.setattr("attune.model.assemble.reads_pairs", lambda folder: False)
    with pytest.raises(UnsupportedError, match="puts nothing between two texts") as caught:
        check(recipe(task={"name": "pair"}), workshop.root)
    assert 'task.encoder = "bi"' in caught.value.remedy
    assert check(recipe(task={"name": "pair", "encoder": "bi"}), workshop.root).name == "tiny"


def test_the_second_text_has_type_one_and_the_longer_is_cut(workshop):
    model = AXES["backbone"].get("text")(check(recipe(), workshop.root), recipe().backbone)
    inputs = [Input("my parcel", pair="is late"), Input("late " * 40, pair="red"), Input("late " * 9, pair="red " * 9)]
    encoding = model.encode(inputs, max_length=16)
    special = model.tokenizer.sep_token_id
    for row in encoding.ids:
        ids, types = ids_of(row).tolist(), types_of(row).tolist()
        boundary = ids.index(special) + 1
        assert types == [0] * boundary + [1] * (len(ids) - boundary)
        assert ids.count(special) == 2
    assert encoding.truncated.tolist() == [False, True, True]
    assert ids_of(encoding.ids[1]).tolist()[-2] == model.encode([Input("red")]).ids[0][1], "the short text is whole"
    batch = model.collate(encoding.ids)
    assert batch["token_type_ids"].shape == batch["input_ids"].shape == (3, 16)
    assert "token_type_ids" not in model.collate(model.encode([Input("my parcel")]).ids)
    network = model.network.eval()
    with torch.inference_mode():
        typed = network(**batch).last_hidden_state
        untyped = network(**{name: batch[name] for name in ("input_ids", "attention_mask")}).last_hidden_state
    assert (typed - untyped).abs().max() > 1e-3


def test_tokens_are_packed_and_unpacked():
    first, second = np.array([101, 7, 102], np.int64), np.array([101, 8, 9, 102], np.int64)
    typed = with_types(first, [0, 1, 1])
    assert ids_of(typed).tolist() == [101, 7, 102] and types_of(typed).tolist() == [0, 1, 1]
    row = as_pieces([typed, second])
    assert row.dtype == np.int64 and len(row) == 7
    assert [ids_of(piece).tolist() for piece in pieces_of(row)] == [[101, 7, 102], [101, 8, 9, 102]]
    assert [types_of(piece).tolist() for piece in pieces_of(row)] == [[0, 1, 1], [0, 0, 0, 0]]
    assert [piece.tolist() for piece in pieces_of(first)] == [[101, 7, 102]]


def test_two_vectors_are_joined_as_in_sentence_bert():
    pooled = torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.0, 1.0], [1.0, 1.0]])
    joined = Pair(PairOptions(encoder="bi")).join(pooled, {})
    assert joined.tolist() == [[1, 2, 3, -1, 2, 3, 3, -2], [0, 1, 1, 1, 1, 0, 0, 1]]
    assert Pair(PairOptions()).join(pooled, {}) is pooled


def test_unknown_encoder():
    with pytest.raises(RecipeError, match="encoder"):
        parse({"task": {"name": "pair", "encoder": "both"}}, AXES)
