"""Rows of a preferred text and another: how they are read, what is measured of them, and what is refused."""

import json

import numpy as np
import pytest

from attune.core.conversation import as_text
from attune.core.recipe import parse
from attune.errors import DataError, RecipeError
from attune.lifecycle.evaluate import evaluate_bundles
from attune.lifecycle.train import plan, train
from attune.model.assemble import AXES
from attune.model.bundle import load
from attune.tasks.common.preference_scores import TIE, scores
from attune.tasks.generation import Generation, GenerationOptions
from support.bundles import write_rows

TALK = [{"role": "user", "content": "where is it"}, {"role": "assistant", "content": "it is late"}]
WORDS = "where is my order parcel card refund please cancel late broken wrong size".split()


def right(chosen, rejected, text="a b", **options):
    task = Generation(GenerationOptions(**options)).in_pairs()
    return task.right({"chosen": chosen, "rejected": rejected}, {"text": text})


@pytest.mark.parametrize(
    ("chosen", "rejected", "said"),
    [
        ("good", " good\n", "chosen and rejected are one and the same text"),
        ("good", "", "rejected: an empty target"),
        (" ", "bad", "chosen: an empty target"),
        ("good", None, "no rejected text"),
        (None, "bad", "no chosen text"),
        ("good", 3, "rejected: a int where a text"),
        (["good", "better"], "bad", "chosen: 2 texts where one was expected"),
    ],
)
def test_rows_that_prefer_nothing_are_refused(chosen, rejected, said):
    with pytest.raises(ValueError, match=said):
        right(chosen, rejected)


def test_a_conversation_is_answered_in_two_ways():
    asked = as_text(TALK[:1])
    other = [TALK[0], {"role": "assistant", "content": "no idea"}]
    found = right(TALK, other, asked, preset="dialogue")
    assert found == {"chosen": "it is late", "rejected": "no idea"}
    assert right("it is late", "no idea", asked, preset="dialogue") == found
    spaced = [{"role": "user", "content": " where is it\n"}]
    for text in (asked, " where is it\n"):
        assert right([*spaced, TALK[1]], [*spaced, other[1]], text, preset="dialogue") == found
    with pytest.raises(ValueError, match="rejected: the messages before its last are not those"):
        right(TALK, [{"role": "user", "content": "hi"}, other[1]], asked, preset="dialogue")


def test_figures_are_those_of_the_pairs_and_a_tie_is_half_a_preference():
    golds = [
        {"chosen": "long text", "rejected": "a"},
        {"chosen": "b", "rejected": "longer"},
        {"chosen": "c", "rejected": "d"},
    ]
    told = np.array([[[2.0, 2], [3.0, 1]], [[4.0, 1], [1.0, 3]], [[5.0, 1], [6.0, 1]]])
    reference = np.array([[2.5, 2.0], [4.5, 2.0], [5.0, 6.0]])
    found = scores("x", golds, np.array([2.0, -1.0, TIE / 2]), told=told, reference=reference, gains=True)
    figures = {name: float(value[0]) for name, value in found.measure(np.ones((1, 3))).items()}
    assert figures["preference_accuracy"] == 0.5 and figures["preference_margin"] == pytest.approx(1 / 3, abs=1e-3)
    assert figures["chosen_likelier"] == pytest.approx(2 / 3)
    assert figures["perplexity"] == pytest.approx(np.exp(11 / 4))
    assert found.right().tolist() == [True, False, False] and list(found.chosen) == ["long text", "longer", "d"]
    longer, likelier = found.beside_it(("majority", "zero_shot", "tfidf"), golds[:1])
    assert (longer.name, likelier.name) == ("longer", "likelier")
    assert longer.measure(np.ones((1, 3))) == {"preference_accuracy": [0.5]}
    assert likelier.measure(np.ones((1, 3)))["preference_accuracy"][0] == pytest.approx(1 / 3)
    twice = found.beside(found).take(np.array([3, 4]))
    assert twice.margins.tolist() == [2.0, -1.0] and twice.told.shape == (2, 2, 2)


def test_metrics_to_choose_by():
    task = Generation(GenerationOptions()).in_pairs()
    assert task.metric("") == ("loss", False)
    assert task.metric("preference_accuracy") == ("preference_accuracy", True)
    with pytest.raises(RecipeError, match="no metric 'bleu'"):
        task.metric("bleu")


def rows(count, seed=0):
    """Words; preferred are they turned round, the other text lacks one of them."""
    draw = np.random.default_rng(seed)
    found = []
    for number in range(count):
        words = [str(word) for word in draw.choice(WORDS, 4)]
        told = words[::-1]
        found.append({
            "id": str(number), "source": " ".join(words), "target": " ".join(told), "chosen": " ".join(told),
            "worse": " ".join(["wrong", *told[1:]]) if told[0] != "wrong" else " ".join(["late", *told[1:]]),
        })  # fmt: skip
    return found


def recipe(family="causal", *, data=None, task=None, **tables):
    columns = {"text": "source", "id": "id", "columns": {"rejected": "worse"}, "test_share": 0.1}
    document = {
        "data": {"train": "rows.jsonl", **columns, **(data or {})},
        "backbone": {
            "family": family, "name": "scratch", "scratch": {"layers": 1, "width": 32, "heads": 2, "positions": 64},
            "tokenizer": {"vocabulary": 340},
        },
        "task": {"name": "generation", "max_target": 24, **(task or {})},
        "objective": {"name": "preference", "supervised_weight": 0.2},
        "training": {
            "epochs": 3, "batch_size": 8, "threads": 1, "precision": "float32", "attention": "sdpa",
            "learning_rate": 1e-3,
        },
        "evaluation": {"resamples": 100},
        **tables,
    }  # fmt: skip
    return parse(document, AXES)


def test_long_texts_are_read_in_segments_as_without_preferences(monkeypatch):
    task = Generation(GenerationOptions(preset="summarisation", segments=True))
    monkeypatch.setattr(task, "condensed", lambda rows: [{**row, "text": "short"} for row in rows])
    assert task.in_pairs().condensed([{"text": "long"}]) == [{"text": "short"}]


def test_bad_rows_are_told_by_line(tmp_path):
    good = rows(20)
    write_rows(tmp_path / "rows.jsonl", [*good, {**good[0], "id": "a", "worse": good[0]["chosen"]},
                                         {"id": "b", "source": "x", "chosen": "y"}])  # fmt: skip
    with pytest.raises(DataError) as error:
        train(recipe(), tmp_path, tmp_path / "run")
    told = str(error.value)
    assert "rows.jsonl:21" in told and "one and the same text" in told
    assert "rows.jsonl:22" in told and "no rejected text" in told and not (tmp_path / "run").exists()
    assert "a preferred text and another" in told
    with pytest.raises(DataError, match="unknown column 'rejected'") as error:
        train(recipe(data={"columns": {}}), tmp_path, tmp_path / "run")
    assert "data.columns.rejected" in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["causal", "seq2seq"])
def test_a_bundle_is_tuned_on_by_preferences_from_end_to_end(tmp_path, family, run):
    write_rows(tmp_path / "rows.jsonl", rows(200))
    plain = {"label": "target", "columns": {}}
    first = train(recipe(family, data=plain, objective={"name": "supervised"}), tmp_path, tmp_path / "first")
    wanted = recipe(family, backbone={"family": family, "name": "first/bundle"})
    shown = plan(wanted, tmp_path)["first row, ⟦what is learned⟧"]
    assert shown.startswith("chosen: ") and "\nrejected: " in shown and shown.count("⟦") == 2
    bundle = train(wanted, tmp_path, tmp_path / "run")
    assert bundle.manifest.lineage["parent"] == first.digest
    found = bundle.manifest.metrics
    assert found["preference_accuracy"]["value"] > 0.9 and found["preference_margin"]["low"] > 0
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    measured = [event for event in events if event["event"] == "validation"]
    assert measured[0]["validation_preference_accuracy"] == 0.5, "nothing is preferred before the first step"
    assert measured[0]["validation_loss"] > measured[-1]["validation_loss"]
    again = load(bundle.path, root=tmp_path)
    asked = [row["source"] for row in rows(4, seed=3)]
    answers = [told.answer for told in bundle.predict(asked)]
    assert [told.answer for told in again.predict(asked)] == answers
    assert [row["answer"] for row in run("predict", bundle.path, "--json", *asked).lines] == answers
    write_rows(tmp_path / "test.jsonl", rows(40, seed=9))
    evaluation = evaluate_bundles([again], str(tmp_path / "test.jsonl")).evaluations[0]
    assert evaluation.metrics["preference_accuracy"].value > 0.75
    document = json.loads((bundle.path / "evaluation.json").read_text(encoding="utf-8"))
    assert {one["name"] for one in document["baselines"]} <= {"longer", "shorter", "likelier"}
    assert len(document["baselines"]) == 2
    files = {path.name for path in bundle.path.rglob("*") if path.is_file()}
    assert not [name for name in files if "reference" in name], "a bundle keeps no reference"
    assert "tuned by which of two is preferred" in (bundle.path / "card.md").read_text(encoding="utf-8")
    with pytest.raises(DataError, match="different questions"):
        evaluate_bundles([first, again], str(tmp_path / "test.jsonl"))
    out = run("export", bundle.path, "--format", "transformers", "--out", tmp_path / "plain")
    assert out.code == 0, out
