"""Choosing a backbone on the training rows, through whole runs of the command line."""

import json
import shutil
import signal
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomlkit
import torch
from transformers import AutoModel

from attune.core.files import read_json
from attune.core.recipe import parse, parse_toml
from attune.core.registry import Registry
from attune.data.parts import draw_parts
from attune.data.table import Table
from attune.errors import InterruptedRunError, UnsupportedError
from attune.lifecycle import candidates, resolve
from attune.lifecycle.choosing import Choosing, untuned
from attune.lifecycle.train import Surroundings, resume, train
from attune.model.assemble import AXES, assemble, check
from attune.tasks.common.labelled import Labels
from attune.tasks.heads.linear import LinearHead
from support import tiny
from support.bundles import document, made_up, recipe, write_recipe, write_rows
from support.processes import attune, events, log_of, stop_at

BOTH = ["bert", "distilbert"]


@pytest.fixture(scope="module")
def place(workshop, tmp_path_factory):
    """A data root with two sound backbones, one that knows no word, one that is broken, and a recipe that names all."""
    root = tmp_path_factory.mktemp("candidates")
    for kind in BOTH:
        shutil.copytree(workshop.root / kind, root / kind)
    write_rows(root / "rows.jsonl", made_up())
    shutil.copytree(root / "bert", root / "ignorant")
    path = root / "ignorant" / "tokenizer.json"
    known = json.loads(path.read_text(encoding="utf-8"))
    known["model"]["vocab"] = {word: at for word, at in known["model"]["vocab"].items() if word in (*tiny.SPECIAL, "x")}
    path.write_text(json.dumps(known), encoding="utf-8")
    shutil.copytree(root / "bert", root / "broken")
    (root / "broken" / "model.safetensors").write_bytes(b"no tensors")
    wanted(root / "recipe.toml", [*BOTH, "ignorant", "broken", "./missing"])
    return root


def wanted(path, names, **tables):
    tables = {**tables, "backbone": {"name": names[0], "candidates": names}}
    return write_recipe(path, **tables)


@pytest.fixture(scope="module")
def compared(place, tmp_path_factory):
    """A whole run that compared five."""
    folder = tmp_path_factory.mktemp("runs") / "compared"
    parsed = parse_toml((place / "recipe.toml").read_text(encoding="utf-8"), AXES, where="recipe.toml")
    return folder, train(parsed, place, folder)


def test_the_best_is_written_into_the_recipe_and_trains_to_the_same_digest(place, compared, tmp_path):
    folder, bundle = compared
    choice = read_json(bundle.path / "run.json")["backbones"]
    scores = [each["score"]["value"] for each in choice["candidates"] if each["score"]]
    assert len(scores) == 2 and scores == sorted(scores, reverse=True)
    assert choice["chosen"] == choice["candidates"][0]["name"] == bundle.manifest.backbone.name
    written = tomllib.loads((folder / "recipe.toml").read_text(encoding="utf-8"))["backbone"]
    assert "candidates" not in written
    assert written["name"] == choice["chosen"]
    assert written["sha256"] == choice["candidates"][0]["sha256"] == bundle.manifest.backbone.sha256
    text = (bundle.path / "recipe.toml").read_text(encoding="utf-8")
    again = train(parse_toml(text, AXES, where="recipe.toml"), place, tmp_path / "again")
    assert again.digest == bundle.digest
    assert read_json(again.path / "run.json")["backbones"] is None


def test_those_that_cannot_be_used_are_listed_with_the_reason_and_stop_nothing(compared):
    folder, bundle = compared
    choice = read_json(bundle.path / "run.json")["backbones"]
    reasons = {each["name"]: each["reason"] for each in choice["candidates"] if not each["score"]}
    assert list(reasons) == ["ignorant", "broken", "./missing"]
    assert "of the rows' tokens are unknown to it, and backbone.max_unknown allows 5.0%" in reasons["ignorant"]
    assert "cannot be read as a text encoder" in reasons["broken"]
    assert "no such folder" in reasons["./missing"]
    told = [event for event in events(folder) if event["event"] == "candidate"]
    assert [event["name"] for event in told] == [*BOTH, "ignorant", "broken", "./missing"]
    assert [event["name"] for event in told if event["rows_per_second"]] == BOTH
    by_name = {event["name"]: event for event in told}
    assert by_name["ignorant"]["unknown"] > 0.9 and by_name["bert"]["unknown"] == 0
    assert 0 < by_name["bert"]["mebibytes"] < 1
    assert by_name["bert"]["parameters"] == parameters(folder, "bert")


def parameters(folder, name):
    root = read_json(folder / "start.json")["data_root"]
    return sum(parameter.numel() for parameter in AutoModel.from_pretrained(f"{root}/{name}").parameters())


def test_the_report_the_card_and_the_events_show_the_comparison(compared):
    folder, bundle = compared
    html = (bundle.path / "report.html").read_text(encoding="utf-8")
    assert "Backbones compared" in html and "no such folder" in html
    (told,) = [event for event in events(folder) if event["event"] == "chosen"]
    assert told["sample"] == "all 64 rows" or told["sample"].startswith("all ")
    run = read_json(bundle.path / "run.json")
    assert {key: told[key] for key in run["backbones"]} == run["backbones"]
    evaluation = read_json(bundle.path / "evaluation.json")
    assert "candidates" not in evaluation
    assert not [notice for notice in evaluation["notices"] if "told apart" in notice], "it would change the digest"


def test_a_score_is_that_of_probes_that_have_not_seen_their_rows(place, compared):
    """Computed again, one head a part, by `LinearHead.fit`."""
    folder, bundle = compared
    choice = read_json(bundle.path / "run.json")["backbones"]
    table = Table(folder / "data" / "train.arrow")
    sample = draw_parts(table, 2000, 0)
    names = tuple(sorted(set(sample.golds)))
    labels = Labels(names, tuple(sample.golds.count(name) for name in names))
    for candidate in choice["candidates"][:2]:
        wish = untuned(recipe(), candidate["name"])
        model = assemble(wish, check(wish, place), labels)
        features = model.features(model.encode(sample.rows).ids)
        targets = model.task.targets(sample.golds, labels)
        right = 0
        for part in range(5):
            held = torch.from_numpy(sample.part == part)
            head = LinearHead(features.shape[1], 3)
            head.fit(features[sample.part != part], targets[~held], resolve.task_loss(model), 0.001)
            with torch.inference_mode():
                chosen = head(torch.from_numpy(features[sample.part == part])).argmax(1)
            right += int((chosen == targets[held]).sum())
        assert candidate["score"]["value"] == pytest.approx(right / len(sample.rows))
        assert candidate["score"]["low"] <= candidate["score"]["value"] <= candidate["score"]["high"]


def test_neither_validation_nor_test_rows_have_a_say(place, tmp_path):
    scores = []
    for seed in (1, 2):
        root = tmp_path / str(seed)
        root.mkdir()
        for kind in BOTH:
            (root / kind).symlink_to(place / kind)
        write_rows(root / "rows.jsonl", made_up(60))
        for name, other in (("validation", seed), ("test", seed + 10)):
            write_rows(root / f"{name}.jsonl", made_up(30, seed=other))
        files = {"validation": "validation.jsonl", "test": "test.jsonl"}
        path = wanted(root / "recipe.toml", BOTH, data=files)
        bundle = train(parse_toml(path.read_text(encoding="utf-8"), AXES, where="r"), root, root / "out")
        found = read_json(bundle.path / "run.json")["backbones"]
        assert found["sample"] == "all 60 rows"
        scores.append([(each["name"], each["score"]) for each in found["candidates"]])
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        ({"multi_label": True}, "macro_f1"),
        ({"name": "pair", "encoder": "bi"}, "accuracy"),
        ({"name": "pair", "encoder": "cross", "multi_label": True}, "macro_f1"),
        ({"head": "descriptions"}, "accuracy"),
    ],
)
def test_every_task_with_labels_is_compared_by_its_first_metric(place, tmp_path, task, metric):
    rows = made_up(60, multi_label=task.get("multi_label", False))
    if task.get("name") == "pair":
        rows = [{**row, "text_pair": other["text"]} for row, other in zip(rows, rows[1:] + rows[:1], strict=True)]
    write_rows(place / "asked.jsonl", rows)
    method = {"name": "none"} if "head" in task else {"name": "frozen"}
    tables = {"data": {"train": "asked.jsonl"}, "task": task, "method": method}
    path = wanted(place / "asked.toml", BOTH, **tables)
    bundle = train(parse_toml(path.read_text(encoding="utf-8"), AXES, where="r"), place, tmp_path / "out")
    found = read_json(bundle.path / "run.json")["backbones"]
    assert found["metric"] == metric
    assert all(0.4 < each["score"]["value"] <= 1 for each in found["candidates"])


def test_the_plan_names_the_candidates_and_those_that_cannot_be_used(run, place):
    planned = run("train", place / "recipe.toml", "--plan", "--json").json
    assert planned["backbone"].startswith("the best of 5 candidates, by a linear probe cross-validated on ")
    assert list(planned["candidates"]) == [*BOTH, "ignorant"]
    assert planned["not usable"].keys() == {"broken", "./missing"}


def test_the_plan_of_sound_candidates_tells_what_would_move_in_each(run, place):
    path = wanted(place / "two.toml", BOTH, method={"name": "full"})
    planned = run("train", path, "--plan", "--json").json
    assert planned["parameters"].keys() == planned["moved parameters"].keys() == set(BOTH)
    assert planned["parameters"]["bert"] > planned["parameters"]["distilbert"]
    assert planned["steps"] > 0 and "not usable" not in planned
    plain = run("train", path, "--plan")
    assert plain.code == 0 and "the best of 2 candidates" in plain.out.replace("\n", " ")
    trained = run("train", path, "--out", "out")
    assert trained.code == 0, trained.err
    for said in ("candidate bert: accuracy ", "candidate distilbert: accuracy ", "rows/s", "chosen: "):
        assert said in " ".join(trained.err.split())


def test_an_audit_reads_with_the_first_that_can_be_used(run, place):
    path = wanted(place / "audit.toml", ["./missing", "bert"])
    outcome = run("audit", path, "--json")
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize(
    ("backbone", "said"),
    [
        ({"candidates": []}, "the list is empty"),
        ({"candidates": ["bert", "distilbert", "bert"]}, "'bert' is listed twice"),
        ({"candidates": ["bert", "./bert"]}, "'bert' and './bert' are one checkpoint"),
        ({"candidates": BOTH, "name": "tiny"}, "name = 'tiny' says which one already"),
        ({"candidates": BOTH, "name": "distilbert"}, "put the name among the candidates if it is one"),
        ({"candidates": BOTH, "sha256": "ab"}, "sha256 is that of one checkpoint"),
        ({"candidates": ["bert", " "]}, "at least 1 character"),
        ({"candidates": "bert"}, "tuple"),
        ({"candidates": ["./missing", "./absent"]}, "none of the 2 candidates can be used"),
    ],
)
def test_candidates_that_cannot_be_meant_are_refused_before_data_is_read(run, place, tmp_path, backbone, said):
    tables = document(data={"train": "nowhere.jsonl"})
    tables["backbone"] = backbone
    (place / "bad.toml").write_text(tomlkit.dumps(tables), encoding="utf-8")
    outcome = run("train", place / "bad.toml", "--out", "out")
    assert outcome.code == 2
    message = " ".join(outcome.err.split())
    assert said in message and "what to do: " in message and "Traceback" not in message
    assert not (tmp_path / "here" / "out").exists()


def test_none_that_reads_the_rows_is_refused_with_every_reason(run, place, tmp_path):
    wanted(place / "none.toml", ["ignorant", "broken", "./missing"])
    outcome = run("train", place / "none.toml", "--out", "out")
    message = " ".join(outcome.err.split())
    assert outcome.code == 2
    assert "none of the 3 candidates can be used" in message
    for said in ("ignorant: ", "tokens are unknown to it", "broken: ", "./missing: "):
        assert said in message
    assert not (tmp_path / "here" / "out").exists()


def test_a_task_without_labels_is_refused(place, tmp_path, monkeypatch):
    registry = Registry("task", {"classification": f"{__name__}:Unlabelled"}, "attune.nothing")
    monkeypatch.setattr(candidates, "TASKS", registry)
    with pytest.raises(
        UnsupportedError, match="compared by a linear probe of labels, and task classification has none"
    ):
        train(parse(document(backbone={"name": "bert", "candidates": BOTH}), AXES), place, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_combination_that_cannot_work_is_refused_as_with_one_backbone(place, tmp_path):
    tables = document(backbone={"name": "bert", "candidates": BOTH}, method={"name": "none"})
    with pytest.raises(UnsupportedError, match="head linear cannot answer before it is trained"):
        train(parse(tables, AXES), place, tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Unlabelled:
    """A task that is not about labels."""

    Options = AXES["task"].get("classification").Options


def test_a_run_stopped_between_candidates_goes_on_where_it_was(place, tmp_path, monkeypatch):
    wish = parse_toml(wanted(place / "two.toml", BOTH).read_text(encoding="utf-8"), AXES, where="two.toml")
    whole = train(wish, place, tmp_path / "whole")
    folder, asked = tmp_path / "stopped", iter(["", "SIGINT"])
    with pytest.raises(InterruptedRunError, match="stopped by SIGINT after 1 of 2 candidates"):
        train(wish, place, folder, Surroundings(stopping=lambda: next(asked)))
    assert (folder / "candidates" / "0" / "facts.json").is_file() and not (folder / "recipe.toml").exists()
    measured = []
    original = Choosing._measured

    def noted(self, name, checkpoint):
        measured.append(name)
        return original(self, name, checkpoint)

    monkeypatch.setattr(Choosing, "_measured", noted)
    bundle = resume(folder)
    assert measured == ["distilbert"]
    assert bundle.digest == whole.digest
    assert untimed(bundle) == untimed(whole)
    assert [event["name"] for event in events(folder) if event["event"] == "candidate"] == BOTH


def untimed(bundle):
    """The comparison without what the clock says; a notice may hang on it."""
    found = read_json(bundle.path / "run.json")["backbones"]
    timeless = [{**each, "seconds": 0, "rows_per_second": 0} for each in found["candidates"]]
    return {**found, "candidates": timeless, "notices": []}


def test_weights_that_changed_since_are_measured_again(place, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    for kind in BOTH:
        shutil.copytree(place / kind, root / kind)
    write_rows(root / "rows.jsonl", made_up())
    wish = parse_toml(wanted(root / "recipe.toml", BOTH).read_text(encoding="utf-8"), AXES, where="r")
    asked = iter(["", "SIGINT"])
    with pytest.raises(InterruptedRunError):
        train(wish, root, tmp_path / "out", Surroundings(stopping=lambda: next(asked)))
    before = read_json(tmp_path / "out" / "candidates" / "0" / "facts.json")
    torch.manual_seed(5)
    AutoModel.from_config(AutoModel.from_pretrained(root / "bert").config).save_pretrained(root / "bert")
    resume(tmp_path / "out")
    after = read_json(tmp_path / "out" / "candidates" / "0" / "facts.json")
    assert after["candidate"]["sha256"] != before["candidate"]["sha256"]


def test_a_run_resumed_after_the_choice_takes_the_resolved_recipe_and_still_tells_of_it(place, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    for kind in BOTH:
        shutil.copytree(place / kind, root / kind)
    write_rows(root / "rows.jsonl", made_up())
    path = wanted(root / "recipe.toml", BOTH, method={"name": "full"}, training={"epochs": 2})
    wish = parse_toml(path.read_text(encoding="utf-8"), AXES, where="r")
    whole = train(wish, root, tmp_path / "whole")
    asked = iter(["", "", "", "a test"])
    with pytest.raises(InterruptedRunError, match="stopped by a test at step 2"):
        train(wish, root, tmp_path / "out", Surroundings(stopping=lambda: next(asked)))
    chosen = read_json(tmp_path / "out" / "candidates" / "choice.json")["chosen"]
    (other,) = set(BOTH) - {chosen}
    shutil.rmtree(root / other)
    bundle = resume(tmp_path / "out")
    assert bundle.digest == whole.digest
    assert untimed(bundle) == untimed(whole)
    assert "Backbones compared" in (bundle.path / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def never_killed(place):
    """A recipe, and the run of it that nothing stopped."""
    path = wanted(place / "killed.toml", BOTH, method={"name": "full"}, training={"epochs": 2})
    whole = place / "whole"
    assert attune(log_of(whole), "train", str(path), "--out", str(whole)).wait(120) == 0
    return path, whole


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["candidate", "chosen", "resolved", "step"])
def test_killed_during_and_after_the_comparison_and_equal_in_the_end(never_killed, tmp_path, moment):
    path, whole = never_killed
    folder = tmp_path / "killed"
    process = attune(log_of(folder), "train", str(path), "--out", str(folder))

    def reached():
        return any(event["event"] == moment for event in events(folder))

    assert stop_at(process, reached, signal.SIGKILL) == -signal.SIGKILL
    assert attune(log_of(folder), "train", "--resume", str(folder)).wait(120) == 0
    manifests = [read_json(run / "bundle" / "manifest.json") for run in (folder, whole)]
    assert manifests[0] == manifests[1]


@pytest.mark.slow
def test_the_embedded_backbone_beats_random_ones_on_real_rows(place, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    rows = Path(__file__).parents[2] / "examples" / "support_desk" / "en.train.jsonl"
    shutil.copy(rows, root / "rows.jsonl")
    texts = [json.loads(line)["text"] for line in rows.read_text(encoding="utf-8").splitlines()]
    for kind in BOTH:
        tiny.backbone(root / kind, kind, texts)
    path = wanted(root / "recipe.toml", ["bert", "all-MiniLM-L6-v2", "distilbert"], data={"id": "id"})
    bundle = train(parse_toml(path.read_text(encoding="utf-8"), AXES, where="r"), root, tmp_path / "out")
    found = read_json(bundle.path / "run.json")["backbones"]
    assert found["chosen"] == "all-MiniLM-L6-v2"
    scores = np.asarray([each["score"]["value"] for each in found["candidates"]])
    assert scores[0] > scores[1] + 0.2
    assert found["notices"] == [], "neither random one is as good"
    assert found["candidates"][0]["parameters"] == 22_713_216
