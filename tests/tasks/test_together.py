"""Several tasks at once: recipes, missing gold, evaluation, bundles and every command; what cannot share is refused."""

import csv
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import attune
from attune.compression.export import to_transformers
from attune.core.recipe import override, parse, parse_toml, schema
from attune.errors import BundleError, DataError, RecipeError, UnsupportedError
from attune.evaluation.result import Evaluation
from attune.lifecycle.train import plan, resume, train
from attune.model.assemble import AXES
from attune.model.bundle import load
from attune.serving.engine import Engine
from attune.tasks.common.parts import Parts, Targets
from attune.tasks.heads.linear import LinearHead
from attune.tasks.together import Heads
from support.bundles import document, write_rows
from tasks.test_tagging import made_up as cities

INTENT = {"name": "intent", "type": "classification", "weight": 2.0}
SLOTS = {"name": "slots", "type": "tagging", "head": "crf", "label": "spans"}
SIZE = {"name": "size", "type": "regression", "label": "length"}
TOPICS = ("account", "delivery", "refund")


def made_up(count=120, seed=0):
    """Rows with a topic, cities and a number; every eighth lacks the topic, every fifth the cities."""
    rows = []
    for number, row in enumerate(cities(count, seed)):
        topic = TOPICS[number % 3]
        spans = [{**span, "start": span["start"] + len(topic) + 1, "end": span["end"] + len(topic) + 1}
                 for span in row["label"]]  # fmt: skip
        rows.append({
            "text": f"{topic} {row['text']}", "intent": topic if number % 8 else None,
            "spans": spans if number % 5 else None, "length": float(len(spans)),
        })  # fmt: skip
    return rows


def asked(*tasks, **tables):
    """A small recipe of several tasks."""
    base = document(data={"train": "several.jsonl"}, backbone={"max_unknown": 0.5})
    base["training"].pop("probe_l2")
    for name, values in tables.items():
        base[name] = {**base[name], **values}
    return {**base, "task": list(tasks)}


@pytest.fixture(scope="module")
def made(workshop, tmp_path_factory):
    """A bundle of three tasks, and its run's folder."""
    write_rows(workshop.root / "several.jsonl", made_up())
    out = tmp_path_factory.mktemp("several") / "run"
    recipe = parse(
        asked(INTENT, SLOTS, SIZE, method={"name": "full"}, training={"epochs": 4, "learning_rate": 3e-3}), AXES
    )
    return train(recipe, workshop.root, out), out, workshop.root


def test_a_recipe_of_several_tasks_is_written_and_read_back():
    recipe = parse(asked(INTENT, {**SLOTS, "probe_l2": 0.1}), AXES)
    text = recipe.toml()
    assert text.count("[[task]]") == 2 and 'type = "tagging"' in text and "weight = 2.0" in text
    assert parse_toml(text, AXES, where="here") == recipe
    changed = parse(override(asked(INTENT, SLOTS), ["task.slots.head=linear", "task.intent.weight=0.5"]), AXES)
    assert (changed.task.parts[1].task.head, changed.task.parts[0].weight) == ("linear", 0.5)
    assert parse(asked(INTENT, SLOTS), AXES).task.parts[0].label == "intent", "the column is called as the task is"


def test_the_schema_knows_several_tasks():
    branches = schema(AXES)["properties"]["task"]["anyOf"]
    assert any(branch.get("type") == "array" for branch in branches)


@pytest.mark.parametrize(
    ("tasks", "told"),
    [
        ([INTENT, {**SLOTS, "name": "Intent"}], "two tasks are called 'intent'"),
        ([INTENT, {**SLOTS, "weight": 0}], "task.slots.weight = 0: input should be greater than 0"),
        ([INTENT, {**SLOTS, "weight": -1.5}], "task.slots.weight = -1.5"),
        ([INTENT, {**SLOTS, "label": "intent"}], "two tasks have the column 'intent'"),
        ([INTENT, {**SLOTS, "label": "text"}], "the column 'text' is read as what is right for slots and as something"),
        ([INTENT], "1 table(s) [[task]]"),
        ([INTENT, {"name": "slots"}], "no type is named"),
        ([INTENT, {**SLOTS, "type": "taging"}], "did you mean 'tagging'"),
        ([INTENT, {**SLOTS, "schema": "bio"}], "unknown key 'schema' in [task.slots]"),
        ([INTENT, {**SLOTS, "name": "../slots"}], "task.../slots.name = '../slots'"),
    ],
)
def test_a_wrong_recipe_is_told_what_is_wrong(tasks, told):
    with pytest.raises(RecipeError) as caught:
        parse(asked(*tasks), AXES)
    assert told in str(caught.value)


def test_what_is_said_once_of_several_tasks_is_refused(workshop, tmp_path):
    with pytest.raises(RecipeError, match="each of several tasks has a column of its own"):
        parse(asked(INTENT, SLOTS, data={"label": "topic"}), AXES)
    with pytest.raises(RecipeError, match=r"no task is called 'slot'.*\n.*\n.*did you mean 'slots'"):
        override(asked(INTENT, SLOTS), ["task.slot.head=linear"])
    with pytest.raises(RecipeError, match=r"task\.head is said of several tasks"):
        override(asked(INTENT, SLOTS), ["task.head=linear"])
    for training, told in (
        ({"probe_l2": 0.1}, "set probe_l2 in each"),
        ({"metric": "macro_f1"}, "Known: all_right"),
        ({"metric": "slots.macro_f1"}, "the task has no metric 'macro_f1'"),
    ):
        with pytest.raises(RecipeError) as caught:
            train(parse(asked(INTENT, SLOTS, training=training), AXES), workshop.root, tmp_path / "out")
        assert told in str(caught.value)


@pytest.mark.parametrize(
    ("tasks", "tables", "told"),
    [
        ([INTENT, {"name": "same", "type": "pair"}], {}, "intent (classification) reads one text, same (pair)"),
        ([INTENT, {"name": "between", "type": "relation"}], {}, "between (relation) reads entities of a row besides"),
        ([INTENT, {"name": "best", "type": "ranking"}], {}, "best (ranking) reads candidates of a row besides"),
        ([INTENT, {"name": "where", "type": "question_answering"}], {}, "does not read a row's text as it stands"),
        ([SLOTS, {"name": "parts", "type": "tagging", "units": "token"}], {}, "parts (tagging) parts it by token"),
        ([{**INTENT, "head": "descriptions"}, SLOTS], {}, "intent: head descriptions begins from what the labels'"),
        ([INTENT, SLOTS], {"method": {"name": "none"}}, "intent: head linear cannot answer before it is trained"),
        ([{**INTENT, "head": "crf"}, SLOTS], {}, "intent: head crf does not answer from one vector a row"),
        ([INTENT, SLOTS], {"backbone": {"name": "", "candidates": ["tiny", "other"]}}, "compare them for one of the"),
    ],
)  # fmt: skip
def test_tasks_that_cannot_share_are_refused_before_data_is_read(tasks, tables, told, workshop, tmp_path):
    wrong = asked(*tasks, **{"data": {"train": "nowhere.jsonl"}, **tables})
    if not wrong["backbone"]["name"]:
        del wrong["backbone"]["name"]
    with pytest.raises(UnsupportedError) as caught:
        train(parse(wrong, AXES), workshop.root, tmp_path / "out")
    assert told in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            [{**row, "spans": None, "intent": row["text"].split()[0]} for row in made_up(30)],
            "no training row has gold for slots: the column 'spans'",
        ),
        ([{**row, "intent": "same"} for row in made_up(30)], "intent: the training rows have 1 label(s): same"),
        ([{**row, "spans": None, "intent": ""} for row in made_up(30)], "nothing for any of the tasks"),
        ([{**row, "spans": [{"start": 0, "end": 999, "label": "x"}]} for row in made_up(3)], "slots: the span 0–999"),
        ([{"text": row["text"], "intent": row["intent"]} for row in made_up(30)], "unknown column 'spans'"),
    ],
)
def test_bad_rows_are_told(rows, told, workshop, tmp_path):
    write_rows(workshop.root / "bad.jsonl", rows)
    with pytest.raises(DataError) as caught:
        train(parse(asked(INTENT, SLOTS, data={"train": "bad.jsonl"}), AXES), workshop.root, tmp_path / "out")
    assert told in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_task_that_no_validation_row_knows_chooses_no_epoch(workshop, tmp_path):
    """Nor is anything measured of it, which is said; the others are."""
    rows, fresh = ([row for row in made_up(80, seed) if row["intent"]] for seed in (0, 1))
    write_rows(workshop.root / "known.jsonl", rows)
    write_rows(workshop.root / "part.jsonl", [{**row, "spans": None} for row in fresh][:12])
    data = {"train": "known.jsonl", "validation": "part.jsonl", "test_share": 0.0}
    wrong = asked(INTENT, SLOTS, data=data, training={"metric": "slots.entity_f1"})
    with pytest.raises(DataError, match="no validation row has gold for slots, and epochs are chosen by slots"):
        train(parse(wrong, AXES), workshop.root, tmp_path / "wrong")
    made = train(parse(asked(INTENT, SLOTS, data=data), AXES), workshop.root, tmp_path / "out")
    found = Evaluation.from_dict(json.loads((made.path / "evaluation.json").read_text()))
    assert set(found.parts) == {"intent"}
    assert any("12 of 12 of these rows have no gold for slots" in notice for notice in found.notices)


def test_each_task_is_measured_on_the_rows_whose_gold_it_has(made):
    bundle, out, _ = made
    found = Evaluation.from_dict(json.loads((bundle.path / "evaluation.json").read_text()))
    assert set(found.parts) == {"intent", "slots", "size"}
    assert found.headline == [
        "all_right", "intent.accuracy", "intent.macro_f1", "slots.entity_f1", "slots.macro_entity_f1", "size.spearman",
        "size.pearson",
    ]  # fmt: skip
    assert 0 < found.parts["intent"].rows < found.rows == found.parts["size"].rows
    assert {other["name"] for part in found.parts.values() for other in part.baselines} == {
        "majority",
        "lookup",
        "mean",
    }
    assert bundle.manifest.metrics["intent.accuracy"]["value"] == round(
        found.parts["intent"].metrics["accuracy"].value, 6
    )
    assert any("of these rows have no gold for intent" in notice for notice in found.notices)
    assert any("training rows have no gold for slots and teach only the other tasks" in n for n in found.notices)
    page = (bundle.path / "report.html").read_text()
    assert 'id="task-slots"' in page and "slots: Entity F1" in page and "most frequent tag" in page
    card = (bundle.path / "card.md").read_text()
    assert "Answers 3 tasks of each row. intent: Answers with one of 3 labels; slots: Marks spans" in card
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    seen = next(event for event in events if event["event"] == "validation")
    assert {"validation_mean", "validation_all_right", "validation_slots.entity_f1", "validation_loss"} <= set(seen)


def test_the_bundle_keeps_a_head_a_task_and_says_what_each_learned(made):
    bundle, _, root = made
    assert {name for name in bundle.manifest.files if name.startswith("heads/")} == {
        f"heads/{name}.safetensors" for name in ("intent", "slots", "size")
    }
    assert bundle.manifest.format == 2
    assert bundle.manifest.tasks["intent"].labels == list(TOPICS) and bundle.manifest.tasks["size"].labels == []
    again = load(bundle.path, root=root)
    texts = [row["text"] for row in made_up(20, seed=5)]
    assert [one.as_dict() for one in again.predict(texts)] == [one.as_dict() for one in bundle.predict(texts)]
    temperatures = json.loads((bundle.path / "calibration.json").read_text())["temperature"]
    assert set(temperatures) == {"intent", "slots", "size"} and temperatures["size"] == temperatures["slots"] == 1.0
    recipe = parse_toml((bundle.path / "recipe.toml").read_text(), AXES, where="the bundle")
    assert recipe.training.metric == "mean" and all(part.probe_l2 for part in recipe.task.parts)


def test_a_changed_head_of_one_task_is_noticed(made):
    bundle, _, _ = made
    witness = json.loads((bundle.path / "witness.json").read_text())
    assert set(witness["rows"][0]["tasks"]) == {"intent", "slots", "size"}
    from attune.model import witness as witnesses

    with torch.no_grad():
        bias = bundle.model.head.of("intent").linear.bias
        bias.add_(torch.tensor([9.0, 0.0, 0.0]))
    try:
        with pytest.raises(BundleError, match="answers its witness rows differently"):
            witnesses.replay(bundle.model, witness, "here")
    finally:
        with torch.no_grad():
            bias.sub_(torch.tensor([9.0, 0.0, 0.0]))


def test_training_again_gives_the_same_bundle(made, tmp_path):
    bundle, _, root = made
    recipe = parse_toml((bundle.path / "recipe.toml").read_text(), AXES, where="the bundle")
    assert train(recipe, root, tmp_path / "again").digest == bundle.digest
    shutil.rmtree(tmp_path / "again" / "bundle")
    assert resume(tmp_path / "again").digest == bundle.digest


def test_a_plan_names_all_tasks(made):
    _, _, root = made
    told = plan(parse(asked(INTENT, SLOTS, SIZE), AXES), root)
    tasks = "intent (classification) + slots (tagging) + size (regression)"
    assert told["combination"] == f"text × {tasks} × linear + crf + linear × frozen × supervised"


def test_python_command_line_and_service_give_all_answers(made, run, tmp_path, monkeypatch):
    bundle, _, root = made
    texts = [row["text"] for row in made_up(12, seed=3)]
    expected = [found.as_dict() for found in bundle.predict(texts)]
    assert expected[0]["answer"]["intent"] == expected[0]["tasks"]["intent"]["answer"]
    assert any(found["tasks"]["slots"]["spans"] for found in expected)
    lines = run("predict", bundle.path, *texts, "--json", "--data-root", root).lines
    assert [line["answer"] for line in lines] == [found["answer"] for found in expected]
    plain = run("predict", bundle.path, texts[0], "--data-root", root).out
    assert plain.startswith(texts[0]) and "intent" in plain and "slots" in plain
    alone = run("predict", bundle.path, texts[0], "--task", "intent", "--json", "--data-root", root).lines
    assert alone[0]["answer"] == expected[0]["answer"]["intent"] and "tasks" not in alone[0]
    wrong = run("predict", bundle.path, texts[0], "--task", "slot", "--data-root", root)
    assert wrong.code != 0 and "the bundle has no task 'slot'" in wrong.err and "slots" in wrong.err
    testclient = pytest.importorskip("fastapi.testclient")
    from attune.apps.http.service import service

    client = testclient.TestClient(service(Engine(bundle), "secret"))
    reply = client.post("/v1/predict", json={"rows": texts}, headers={"Authorization": "Bearer secret"})
    assert reply.json()["predictions"] == expected


def test_a_bundle_of_one_task_has_no_task_to_choose(workshop, run):
    wrong = run("predict", workshop.bundle().path, "hello", "--task", "intent")
    assert wrong.code != 0 and "answers one task, which has no name" in wrong.err


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_answers_go_to_files(made, run, tmp_path, kind):
    bundle, _, root = made
    write_rows(tmp_path / "in.jsonl", made_up(9, seed=3))
    target = tmp_path / f"out.{kind}"
    done = run("predict", bundle.path, "--file", tmp_path / "in.jsonl", "--out", target, "--data-root", root)
    assert done.code == 0, done.err
    if kind == "csv":
        rows = list(csv.DictReader(target.read_text(encoding="utf-8").splitlines()))
    elif kind == "parquet":
        rows = pq.read_table(target).to_pylist()
    else:
        rows = [json.loads(line) for line in target.read_text().splitlines()]
    answer = rows[0]["answer"] if kind == "jsonl" else json.loads(rows[0]["answer"])
    assert set(answer) == {"intent", "slots", "size"} and len(rows) == 9


def test_two_bundles_are_compared_task_by_task(made, tmp_path):
    bundle, _, root = made
    write_rows(tmp_path / "rows.jsonl", made_up(40, seed=8))
    found = attune.evaluate(bundle, bundle.path, data=tmp_path / "rows.jsonl", data_root=root)
    assert len(found.evaluations) == 2 and set(found.evaluations[0].parts) == {"intent", "slots", "size"}
    headlines = [comparison.headline[0] for comparison in found.comparisons]
    assert headlines == ["all_right", "accuracy", "entity_f1", "spearman"]
    assert all(d.value == 0 for comparison in found.comparisons for d in comparison.differences.values())
    assert "Rows all right" in found.page()


def test_what_is_made_for_one_task_is_refused(made, tmp_path):
    bundle, _, root = made
    with pytest.raises(UnsupportedError, match="no plain folder answers several tasks"):
        to_transformers(bundle, tmp_path / "export")
    with pytest.raises(UnsupportedError):
        attune.compose([bundle.path, bundle.path], out=tmp_path / "sum", data_root=root)


def test_long_rows_are_cut_for_one_task_and_read_in_windows_for_the_other(made):
    bundle, _, _ = made
    long = "refund " + "please help me now " * 40 + "card"
    found = bundle.predict([long])[0]
    assert found.notices == ("only the first 64 tokens were read for intent, size",)
    short = " ".join(long.split()[: bundle.model.backbone.max_length - 2])
    assert found.parts["intent"].confidence == pytest.approx(
        bundle.predict([short])[0].parts["intent"].confidence, abs=1e-5
    ), "the first window is what the task would read alone"


def test_the_loss_is_the_weighted_sum_of_what_is_known():
    """By hand: two rows of one label each and of three tags; the second row has no label."""

    class Label:
        features = "pooled"

        def loss(self, outputs, targets, labels):
            return outputs.squeeze(-1), torch.full_like(outputs.squeeze(-1), 0.5)

    class Tags:
        features = "tokens"

        def loss(self, outputs, targets, labels):
            return outputs.sum((1, 2)), torch.tensor([2.0, 1.0, 0.0])

    none = LinearHead(2, 1)
    heads = Heads({"a": Label(), "b": Tags()}, {"a": none, "b": none}, {"a": None, "b": None}, {"a": 3.0, "b": 2.0})
    outputs = Parts({"a": torch.tensor([[1.0], [7.0]]), "b": torch.tensor([[[4.0]], [[2.0]], [[5.0]]])})
    there = Parts({"a": torch.tensor([True, False]), "b": torch.tensor([True, True])})
    targets = Targets(Parts({"a": torch.zeros(2), "b": torch.zeros(3, 1)}), there, torch.tensor([0, 0, 1]))
    total, weight = heads.loss(outputs, targets)
    np.testing.assert_allclose(total, [3 * 1.0 + 2 * (4 + 2) / 3, 2 * 5.0 / 1])
    np.testing.assert_allclose(weight, [3 * 0.5 + 2 * 1.0, 0.0])
