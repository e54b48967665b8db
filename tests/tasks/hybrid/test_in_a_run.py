"""Hybrids in a run: trained, packed, loaded, asked everywhere, and shown beside what each source says alone."""

import json

import pytest
from fastapi.testclient import TestClient

from attune.apps.http.service import service
from attune.compression.export import to_transformers
from attune.core.recipe import parse
from attune.errors import DataError, RecipeError, UnsupportedError
from attune.lifecycle.evaluate import evaluate_bundles
from attune.lifecycle.train import train
from attune.model.assemble import AXES
from attune.model.bundle import load
from attune.serving.engine import Engine
from attune.tasks.common.slot_check import exact
from attune.tasks.common.slots import read_meaning, written
from support.bundles import write_rows
from tasks.hybrid.test_hybrid import pairs


def rows(count, seed=0):
    return [{"source": written(meaning), "target": text} for meaning, text in pairs(count, seed)]


def recipe(hybrid=True, **task):
    document = {
        "data": {"train": "rows.jsonl", "text": "source", "label": "target", "test_share": 0.2},
        "backbone": {
            "family": "seq2seq", "name": "scratch", "scratch": {"layers": 1, "width": 32, "heads": 2, "positions": 128},
            "tokenizer": {"vocabulary": 340},
        },
        "task": {
            "name": "generation", "preset": "data_to_text", "max_target": 64, "hybrid": hybrid,
            "decoding": {"beams": 2, "candidates": 2}, **task,
        },
        "method": {"name": "full"},
        "training": {
            "epochs": 2, "batch_size": 8, "threads": 1, "precision": "float32", "attention": "sdpa",
            "learning_rate": 3e-3, "metric": "slot_error_rate",
        },
        "evaluation": {"resamples": 100, "baselines": ["majority"]},
    }  # fmt: skip
    return parse(document, AXES)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hybrid")
    write_rows(folder / "rows.jsonl", rows(160))
    return train(recipe({"draws": 5}), folder, folder / "run")


def test_no_slot_error_leaves_wherever_it_is_asked(bundle, run, tmp_path):
    asked = sorted({row["source"] for row in rows(12, seed=5)})
    asked.append("name[Zizzi], open late[no], food[Thai], seats[40]")
    expected = [found.answer for found in bundle.predict(asked)]
    for text, answer in zip(asked, expected, strict=True):
        assert exact(answer, read_meaning(text), bundle.model.task.voice.lexicon), (text, answer)
    again = load(bundle.path, root=tmp_path)
    assert [found.answer for found in again.predict(asked)] == expected
    alone = [again.predict([text])[0].answer for text in reversed(asked)]
    assert alone[::-1] == expected, "an answer does not depend on the rows beside it"
    assert all(found.notices[-1].startswith("said by ") for found in again.predict(asked))
    assert [row["answer"] for row in run("predict", bundle.path, "--json", *asked).lines] == expected
    client = TestClient(service(Engine(bundle), "key"))
    given = [*asked[:3], {"slots": read_meaning(asked[3])}]
    reply = client.post("/v1/predict", json={"rows": given}, headers={"Authorization": "Bearer key"})
    assert [row["answer"] for row in reply.json()["predictions"]] == expected[:4]


def test_it_stands_beside_each_source_alone(bundle, tmp_path):
    found = json.loads((bundle.path / "evaluation.json").read_text(encoding="utf-8"))
    named = {one["name"]: one["metrics"] for one in found["baselines"]}
    assert list(named) == ["copy", "template", "ngram", "neural"]
    assert found["metrics"]["slot_error_rate"]["value"] == 0 == named["template"]["slot_error_rate"]["value"]
    assert named["ngram"]["slot_error_rate"]["value"] > 0 < named["neural"]["slot_error_rate"]["value"]
    assert all({"bleu", "slot_error_rate"} <= set(figures) for figures in named.values())
    write_rows(tmp_path / "rows.jsonl", rows(12, seed=8))
    again = evaluate_bundles([bundle], str(tmp_path / "rows.jsonl")).evaluations[0]
    assert again.metrics["slot_error_rate"].value == 0
    assert "templates alone" in (bundle.path / "report.html").read_text(encoding="utf-8")


def test_what_cannot_be_said_is_refused_or_left_unsaid(bundle):
    with pytest.raises(DataError) as error:
        bundle.predict(["name[Cotto]", "Where is Cotto?", "name[Cotto], name[Aromi]", "name[none]"])
    assert "3 of 4 rows" in str(error.value) and "the slot name occurs twice" in str(error.value)
    (found,) = bundle.model.predict([{"text": "no slots here"}])
    assert found.answer == "" and "no answer: 'no slots here' where slots" in found.notices[-1]
    (found,) = bundle.predict(["name[Cotto], _[high]"])  # high is two slots' value, and no word tells this one
    assert found.answer == "" and found.notices[-1].startswith("no answer: nothing says these slots without error")


def test_what_does_not_go_together_is_told(bundle, tmp_path):
    for given, said in (
        ({"preset": "translation"}, "hybrid says slots"),
        ({"decoding": {"forbidden": ["x"]}}, "required or forbidden"),
        ({"hybrid": {"templates": ["no place"]}}, "has no place"),
    ):
        with pytest.raises(RecipeError, match=said):
            recipe(**given) if "hybrid" in given else recipe(True, **given)
    assert recipe(False).task.hybrid is None
    with pytest.raises(UnsupportedError, match="templates and n-grams"):
        to_transformers(bundle, tmp_path / "plain")
    write_rows(tmp_path / "rows.jsonl", rows(40))
    with pytest.raises(DataError, match="a place for 'colour'"):
        train(recipe({"templates": ["{name} is {colour}."]}), tmp_path, tmp_path / "run")
    write_rows(tmp_path / "rows.jsonl", [*rows(40), {"source": "a plain text", "target": "x"}])
    with pytest.raises(DataError, match=r"rows\.jsonl:41"):
        train(recipe(), tmp_path, tmp_path / "other")


def test_templates_may_be_given_and_nothing_learned(tmp_path):
    write_rows(tmp_path / "rows.jsonl", rows(60))
    wanted = recipe({"templates": ["Try {food} food at {name}!"], "learn": False, "draws": 0}).having(
        "training", epochs=0
    )
    bundle = train(wanted, tmp_path, tmp_path / "run")
    (found,) = bundle.predict(["name[Cotto], food[Indian]"])
    assert found.answer == "Try Indian food at Cotto!" and found.notices[-1].startswith("said by template: 1 of ")
