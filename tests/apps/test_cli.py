"""The commands, as a person or a script uses them."""

import json
import tomllib

import pytest

from attune.apps.cli.train import free
from attune.core.files import read_json
from support.bundles import made_up, write_rows


def test_every_command_has_json(run):
    for name in ("init", "audit", "train", "evaluate", "predict", "export", "serve", "show"):
        outcome = run(name, "--help")
        assert outcome.code == 0
        assert "--json" in outcome.out, name


def test_help_lists_every_command(run):
    told = run("--help").out
    for name in ("init", "audit", "train", "evaluate", "predict", "export", "serve", "show"):
        assert f"  {name} " in told


@pytest.mark.parametrize(
    "argv", [["nonsense"], ["show"], ["train", "--nonsense"], ["export", "x", "--format", "onnx", "--out", "y"]]
)
def test_wrong_usage_is_status_2(run, argv):
    outcome = run(*argv)
    assert outcome.code == 2
    assert outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("what", ["matrix", "methods", "tasks", "schema"])
def test_show(run, what):
    assert run("show", what).code == 0
    assert run("show", what, "--json").json


def test_show_matrix(run):
    found = run("show", "matrix", "--json").json
    assert {"full", "frozen", "lora", "none", "adapter", "prefix"} <= {cell["method"] for cell in found}
    usual = [cell for cell in found if cell["objective"] == "supervised"]
    refused = {(cell["task"], cell["head"], cell["method"]) for cell in usual if not cell["works"]}
    assert ("classification", "linear", "none") in refused
    assert ("classification", "descriptions", "none") not in refused
    of_labels = [cell for cell in usual if (cell["task"], cell["head"]) == ("classification", "linear")]
    assert all(cell["works"] for cell in of_labels if cell["method"] != "none")
    assert all(cell["works"] != bool(cell["reason"]) for cell in found)
    plain = run("show", "matrix").out
    assert f"{sum(cell['works'] for cell in found)} of {len(found)} combinations work" in plain


def test_show_methods_names_every_option(run):
    found = run("show", "methods", "--json").json
    told = {row["key"] for row in found["lora"]["options"]}
    assert told == {"name", "rank", "alpha", "dropout", "targets", "rslora", "dora", "init"}
    plain = run("show", "methods").out
    assert "trainable_layers" in plain
    assert "rank" in plain


def test_show_what_is_not_there(run):
    outcome = run("show", "nonsense")
    assert (outcome.code, "matrix" in outcome.err) == (2, True)


def test_show_a_bundle(run, workshop):
    bundle = workshop.bundle("lora")
    found = run("show", bundle.path, "--json").json
    assert found["digest"] == bundle.digest
    assert found["verified"] is True
    assert found["labels"] == ["account", "delivery", "refund"]
    assert bundle.digest in run("show", bundle.path).out.replace("\n", "")


def test_a_plan_writes_nothing(run, workshop, tmp_path):
    before = set(workshop.root.rglob("*"))
    outcome = run("train", workshop.root / "recipe.toml", "--plan", "--json", "--set", "method.trainable_layers=1")
    assert outcome.code == 0
    assert (
        outcome.json["rows"] == {"train": 63, "validation": 9, "test": 18} or sum(outcome.json["rows"].values()) == 90
    )
    assert outcome.json["labels"] == 3
    assert outcome.json["steps"] > 0
    assert outcome.json["moved parameters"] <= outcome.json["parameters"]
    assert run("train", workshop.root / "recipe.toml", "--plan").code == 0
    assert set(workshop.root.rglob("*")) == before
    assert list((tmp_path / "here").iterdir()) == []


def test_folders_are_numbered(run, tmp_path):
    here = tmp_path / "here"
    assert free("a").as_posix() == "runs/a"
    (here / "runs" / "a").mkdir(parents=True)
    assert free("a").as_posix() == "runs/a-2"
    (here / "runs" / "a-2").mkdir()
    assert free("a").as_posix() == "runs/a-3"
    assert free("b").as_posix() == "runs/b"


def test_train_says_where_everything_is(run, workshop, tmp_path):
    first = run("train", workshop.root / "recipe.toml")
    assert first.code == 0
    for said in (
        "accuracy",
        "majority",
        "bundle  runs/recipe/bundle",
        "report  runs/recipe/bundle/report.html",
        "attune predict",
    ):
        assert said in first.out
    second = run("train", workshop.root / "recipe.toml", "--json").json
    assert second["bundle"] == "runs/recipe-2/bundle"
    assert second["digest"] == workshop.bundle().digest
    assert second["evaluation"]["rows"] > 0
    run_folder = tmp_path / "here" / "runs" / "recipe-2"
    events = [json.loads(line)["event"] for line in (run_folder / "events.jsonl").read_text().splitlines()]
    assert events[0] == "audit"
    assert events[-1] == "packed"
    assert str(workshop.root) not in (run_folder / "recipe.toml").read_text()


def test_a_finished_run_resumes_to_its_bundle(run, workshop):
    assert run("train", "--resume", workshop.bundle().path.parent, "--json").json["digest"] == workshop.bundle().digest


def test_init_writes_a_recipe_that_runs(run, workshop, tmp_path):
    here = tmp_path / "here"
    (here / "data").mkdir()
    write_rows(here / "data" / "train.jsonl", made_up())
    outcome = run("init", "data/train.jsonl", "--json")
    assert outcome.code == 0
    assert outcome.json["recipe"] == "data/recipe.toml"
    assert outcome.json["reasons"]
    document = tomllib.loads((here / "data" / "recipe.toml").read_text())
    assert document["data"]["train"] == "train.jsonl"
    assert (document["data"]["text"], document["data"]["label"]) == ("text", "label")
    trained = run(
        "train", "data/recipe.toml", "--out", "run", "--json", "--set", f"backbone.name={workshop.root / 'tiny'}",
        "--set", "training.epochs=1", "--set", "training.threads=1", "--set", "evaluation.resamples=100",
    )  # fmt: skip
    assert trained.code == 0, trained.err


def test_init_elsewhere_keeps_names_relative(run, tmp_path):
    here = tmp_path / "here"
    (here / "data").mkdir()
    write_rows(here / "data" / "train.jsonl", made_up())
    write_rows(here / "data" / "test.jsonl", made_up(30, seed=1))
    outcome = run("init", "data/train.jsonl", "--out", "recipes/first.toml")
    assert outcome.code == 0
    document = tomllib.loads((here / "recipes" / "first.toml").read_text())
    assert document["data"]["train"] == "../data/train.jsonl"
    assert document["data"]["test"] == "../data/test.jsonl"
    again = run("init", "data/train.jsonl", "--out", "recipes/first.toml")
    assert (again.code, "is there already" in again.err) == (2, True)


def test_init_sees_several_labels(run, tmp_path):
    write_rows(tmp_path / "here" / "multi.jsonl", made_up(multi_label=True))
    assert run("init", "multi.jsonl").code == 0
    assert tomllib.loads((tmp_path / "here" / "recipe.toml").read_text())["task"]["multi_label"] is True


def test_evaluate_one_and_two(run, workshop, tmp_path):
    one, two = workshop.bundle("frozen").path, workshop.bundle("full").path
    data = workshop.root / "fresh.jsonl"
    found = run("evaluate", one, "--data", data, "--json", "--report", "one.html").json
    assert found["evaluations"][0]["rows"] == 40
    assert found["comparisons"] == []
    both = run("evaluate", one, two, "--data", data, "--json", "--report", "two.html").json
    assert len(both["evaluations"]) == 2
    comparison = both["comparisons"][0]
    right = comparison["both"] + comparison["neither"] + len(comparison["only_a"]) + len(comparison["only_b"])
    assert right == 40
    assert comparison["a"] != comparison["b"]
    for name in ("one.html", "two.html"):
        assert "</html>" in (tmp_path / "here" / name).read_text()
    told = run("evaluate", one, two, "--data", data).out
    assert "both right" in told
    assert "difference" in told


def test_evaluate_finds_the_bundle_s_own_figures(run, workshop):
    bundle = workshop.bundle("full")
    written = read_json(bundle.path / "evaluation.json")
    assert {name: round(found["value"], 6) for name, found in written["metrics"].items()} == {
        name: found["value"] for name, found in bundle.manifest.metrics.items()
    }


def test_bundles_of_two_kinds_are_not_compared(run, workshop):
    outcome = run(
        "evaluate",
        workshop.bundle().path,
        workshop.bundle(multi_label=True).path,
        "--data",
        workshop.root / "fresh.jsonl",
    )
    assert (outcome.code, "multi-label" in outcome.err) == (2, True)


def test_audit(run, workshop, tmp_path):
    found = run("audit", workshop.root / "recipe.toml", "--json", "--html", "page.html", "--fix", "clean")
    assert found.code == 0, found.err
    assert {"findings", "tables", "sampled", "changes"} <= set(found.json)
    assert "</html>" in (tmp_path / "here" / "page.html").read_text()
    assert (tmp_path / "here" / "clean").is_dir()
    assert run("audit", workshop.root / "recipe.toml").code == 0


@pytest.mark.parametrize("kind", ["transformers", "peft"])
def test_export(run, workshop, tmp_path, kind):
    found = run("export", workshop.bundle("lora").path, "--format", kind, "--out", "out", "--json").json
    assert found["what"]
    assert (tmp_path / "here" / "out").is_dir()


def test_export_of_what_has_no_adapter(run, workshop, tmp_path):
    outcome = run("export", workshop.bundle("full").path, "--format", "peft", "--out", "out")
    assert (outcome.code, "no PEFT layout" in outcome.err) == (2, True)
    assert list((tmp_path / "here").iterdir()) == []
