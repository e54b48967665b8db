"""A query and its candidates, through every command: read as one sequence, or each on its own."""

import csv
import json
import random

import numpy as np
import pytest
import torch

from attune.compression.export import to_transformers
from attune.core.packing import marks_of, pieces_of
from attune.errors import DataError, RecipeError, UnsupportedError
from attune.lifecycle.evaluate import evaluate_bundles
from attune.lifecycle.train import train
from attune.model.assemble import AXES, check
from attune.model.bundle import load
from attune.tasks.ranking import Ranking, RankingOptions
from support.bundles import FILLER, TOPICS, recipe, write_rows

TOLD = sorted(word for words in TOPICS.values() for word in words.split())


def made_up(count=80, seed=0):
    """Queries of two words; the right candidates repeat them, the others are of other words. Two to five candidates."""
    draw = random.Random(seed)
    rows = {}
    while len(rows) < count:
        query = draw.sample(TOLD, 2)
        right = [" ".join([*query, draw.choice(FILLER)]) for _ in range(1 + len(rows) % 2)]
        wrong = [" ".join(draw.sample([w for w in FILLER if w not in query], 3)) for _ in range(1 + len(rows) % 3)]
        texts = list(dict.fromkeys(right)) + wrong
        draw.shuffle(texts)
        rows.setdefault(
            " ".join(query), {"text": " ".join(query), "candidates": texts, "label": [t for t in texts if t in right]}
        )
    return list(rows.values())


ROWS = [{"text": row["text"], "candidates": row["candidates"]} for row in made_up(20, seed=5)]


@pytest.fixture(scope="module")
def rankings(workshop):
    """Bundles by encoder, each trained once."""
    write_rows(workshop.root / "rankings.jsonl", made_up())
    made = {}

    def bundle(encoder="cross"):
        if encoder not in made:
            wanted = recipe(
                data={"train": "rankings.jsonl"}, task={"name": "ranking", "encoder": encoder, "candidates": 8},
                method={"name": "full"}, training={"epochs": 3, "learning_rate": 2e-3, "head_learning_rate": 1e-2},
                evaluation={"resamples": 100, "baselines": ["majority", "tfidf", "bm25", "zero_shot"]},
            )  # fmt: skip
            made[encoder] = train(wanted, workshop.root, workshop.root / f"ranking-{encoder}")
        return made[encoder]

    return bundle


@pytest.mark.parametrize("encoder", ["cross", "bi"])
def test_a_bundle_ranks_the_candidates_of_each_row(workshop, rankings, encoder):
    bundle = load(rankings(encoder).path, root=workshop.root)
    assert (bundle.manifest.task, bundle.labels) == ("ranking", [])
    found = bundle.predict(ROWS)
    for row, answer in zip(ROWS, found, strict=True):
        assert answer.alternatives[0].label == answer.answer
        assert sorted(item.label for item in answer.alternatives) == sorted(row["candidates"])
        assert sum(item.confidence for item in answer.alternatives) == pytest.approx(1.0)
        assert answer.confidence == answer.alternatives[0].confidence
    turned = bundle.predict([{**row, "candidates": row["candidates"][::-1]} for row in ROWS])
    assert [answer.answer for answer in turned] == [answer.answer for answer in found], "the order given matters"
    kept = json.loads((bundle.path / "witness.json").read_text(encoding="utf-8"))["rows"]
    assert {"text", "candidates", "answer", "probabilities"} == set(kept[0])


def test_rankings_stand_beside_counts_words_and_untuned_cosines(rankings):
    evaluation = json.loads((rankings("bi").path / "evaluation.json").read_text(encoding="utf-8"))
    assert evaluation["headline"] == ["mrr", "accuracy"]
    named = {found["name"]: found["metrics"] for found in evaluation["baselines"]}
    assert set(named) == {"often right", "tfidf", "bm25", "cosine"}
    for lexical in ("tfidf", "bm25"):
        assert named[lexical]["accuracy"]["value"] == 1.0, "only the right ones share words with the query"
    assert evaluation["metrics"]["mrr"]["value"] > 0.5
    card = (rankings("bi").path / "card.md").read_text(encoding="utf-8")
    assert "Answers with the best of a row's candidates" in card
    assert "Mean reciprocal rank" in (rankings("bi").path / "report.html").read_text(encoding="utf-8")


def test_two_bundles_are_compared(workshop, rankings):
    found = evaluate_bundles([rankings("bi"), rankings()], str(workshop.root / "rankings.jsonl"), root=workshop.root)
    assert set(found.comparisons[0].differences) == {"mrr", "accuracy", "ndcg_10", "recall_5", "recall_10"}


def test_predict_reads_candidates_from_files_and_lines(run, rankings, tmp_path):
    expected = [found.answer for found in rankings("bi").predict(ROWS)]
    lines = "\n".join(map(json.dumps, ROWS)).encode()
    assert [row["answer"] for row in run("predict", rankings("bi").path, stdin=lines).lines] == expected
    with (tmp_path / "here" / "in.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["text", "candidates"])
        writer.writeheader()
        writer.writerows({**row, "candidates": json.dumps(row["candidates"])} for row in ROWS)
    assert run("predict", rankings("bi").path, "--file", "in.csv", "--out", "out.csv").code == 0
    with (tmp_path / "here" / "out.csv").open(encoding="utf-8", newline="") as stream:
        assert [row["answer"] for row in csv.DictReader(stream)] == expected
    bad = b'{"text": "a"}\n{"text": "a", "candidates": ["b"]}\n{"text": "a", "candidates": ["b", "c"]}\nalone\n'
    outcome = run("predict", rankings("bi").path, stdin=bad)
    assert (outcome.code, len(outcome.lines)) == (1, 1)
    assert "has no candidates" in outcome.err and "its candidates: 1 candidate where" in outcome.err
    assert "is one text where text and candidates were expected" in outcome.err


def test_the_service_ranks(rankings):
    testclient = pytest.importorskip("fastapi.testclient")
    from attune.apps.http.service import service
    from attune.serving.engine import Engine

    client = testclient.TestClient(service(Engine(rankings("bi")), "secret"))
    reply = client.post("/v1/predict", json={"rows": ROWS[:3]}, headers={"Authorization": "Bearer secret"})
    assert reply.json()["predictions"] == [found.as_dict() for found in rankings("bi").predict(ROWS[:3])]


def test_every_bad_row_is_named_by_its_line(workshop, tmp_path):
    good = made_up(30)
    bad = [{"label": "nowhere"}, {"label": 9}, {"candidates": ["one"]}, {"candidates": ["a", "a"]}, {"label": []}]
    write_rows(workshop.root / "bad.jsonl", [*good, *(good[0] | change for change in bad)])
    with pytest.raises(DataError, match="5 bad rows") as caught:
        train(recipe(data={"train": "bad.jsonl"}, task={"name": "ranking"}), workshop.root, tmp_path / "out")
    told = [(problem.where, problem.found) for problem in caught.value.problems]
    assert [where for where, _ in told] == [f"bad.jsonl:{line}" for line in range(31, 36)]
    for (_, found), said in zip(
        told, ["'nowhere' is none", "position 9", "1 candidate where", "stands there twice", "no candidate is right"],
        strict=True,
    ):  # fmt: skip
        assert said in found
    assert "by position counted from 0" in caught.value.expected


def test_no_plain_folder_ranks(rankings, tmp_path):
    with pytest.raises(UnsupportedError, match="no affine map of what is read of a row"):
        to_transformers(rankings("bi"), tmp_path / "out")


def test_a_tokenizer_that_runs_two_texts_together_is_refused(workshop, monkeypatch):
    monkeypatch.setattr("attune.model.assemble.reads_pairs", lambda folder: False)
    with pytest.raises(UnsupportedError, match="puts nothing between two texts"):
        check(recipe(task={"name": "ranking"}), workshop.root)
    assert check(recipe(task={"name": "ranking", "encoder": "bi"}), workshop.root).name == "tiny"
    with pytest.raises(RecipeError, match="does not score candidates"):
        Ranking(RankingOptions(head="descriptions"))
    with pytest.raises(RecipeError, match="no metric 'mmr'"):
        Ranking(RankingOptions()).metric("mmr")


@pytest.mark.parametrize("encoder", ["cross", "bi"])
def test_a_batch_is_parted_into_its_rows(workshop, encoder):
    task = Ranking(RankingOptions(encoder=encoder, candidates=6))
    backbone = AXES["backbone"].get("text")(check(recipe(), workshop.root), recipe().backbone)
    encoding = task.read(backbone, ROWS[:3])
    extra = 0 if encoder == "cross" else 1
    assert [len(pieces_of(row)) for row in encoding.ids] == [len(row["candidates"]) + extra for row in ROWS[:3]]
    assert [marks_of(row).tolist().count(1) for row in encoding.ids] == [1, 1, 1]
    inputs = backbone.collate(encoding.ids)
    pooled = torch.arange(float(len(inputs["marks"]) * 2)).view(-1, 2) + 1
    joined = task.join(pooled, inputs)
    assert joined.shape == (3, 6, 2 if encoder == "cross" else 1)
    at = 0
    for row, values in zip(ROWS, joined, strict=False):
        count = len(row["candidates"])
        assert not values[count:].any()
        own = pooled[at : at + count + extra]
        expected = own if encoder == "cross" else torch.cosine_similarity(own[:1], own[1:]).unsqueeze(-1)
        torch.testing.assert_close(values[:count], expected)
        at += count + extra


def test_the_loss_is_of_all_right_candidates_together():
    task = Ranking(RankingOptions(candidates=4))
    outputs = torch.tensor([[2.0, 1.0, 0.0, 9.0], [0.0, 0.0, 0.0, 0.0]], requires_grad=True)
    targets = torch.tensor([[1, 0, 1, -1], [0, 1, 0, 0]], dtype=torch.int8)
    total, weight = task.loss(outputs, targets, task.labels([[0], [1]]))
    e = np.exp([2.0, 1.0, 0.0])
    np.testing.assert_allclose(total.detach().numpy(), [-np.log((e[0] + e[2]) / e.sum()), np.log(4)], rtol=1e-6)
    assert weight.tolist() == [1, 1]
    total.sum().backward()
    assert torch.isfinite(outputs.grad).all() and outputs.grad[0, 3] == 0
