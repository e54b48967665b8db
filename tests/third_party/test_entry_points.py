"""A task and a method of another package, known by its entry points alone, do all that attune's own do."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import tomlkit
import torch
from safetensors.torch import load_file

import attune
from attune.core.registry import Registry
from attune.errors import BundleError, RecipeError
from attune.methods.lora import Lora
from support.bundles import FEW_ROWS, document, made_up, write_rows
from support.worker import environment

HERE = Path(__file__).parent
EVERY_COMMAND = """
import json, sys
from support.bundles import command
print(json.dumps([vars(command(*argv)) for argv in json.load(sys.stdin)]))
"""
SERVICE = """
import json, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from fastapi.testclient import TestClient
from attune.apps.http.service import service
from attune.model.bundle import load
from attune.serving.engine import Engine

folder, rows = json.load(sys.stdin)
client = TestClient(service(Engine(load(folder, root=Path(folder).parents[1])), "key"))
reply = client.post("/v1/predict", json={"rows": rows}, headers={"Authorization": "Bearer key"})
print(json.dumps([reply.status_code, reply.json()]))
"""
FIRST, OTHER = "please where was my parcel late order", "hello i want refund broken wrong return size"
TEXTS = [f"{FIRST}\n{OTHER}", f"{FIRST}\n{FIRST}", f"{OTHER}\n{FIRST}"]


def install(folder, **points):
    """What an installer leaves of a package: its name, its version and its entry points."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    made = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    made.mkdir(parents=True)
    (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = points or project["entry-points"]
    told = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in named.items()) for group, named in groups.items()]
    (made / "entry_points.txt").write_text("\n".join(told))
    return folder


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Runs code in a new process in which the package is installed."""
    site = install(tmp_path_factory.mktemp("site"))
    there = environment()
    there["PYTHONPATH"] = os.pathsep.join([there["PYTHONPATH"], str(site), str(HERE / "src")])

    def run(code, given):
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            env=there,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="module")
def letters(workshop, tmp_path_factory):
    """A recipe that asks for both, and letters whose second lines say the opposite of their first."""
    folder = tmp_path_factory.mktemp("letters")
    shutil.copytree(workshop.root / "tiny", folder / "tiny")
    rows = made_up(60)
    seconds = [row["text"] for row in rows[1:] + rows[:1]]
    letters = [{**row, "text": f"{row['text']}\n{second}"} for row, second in zip(rows, seconds, strict=True)]
    write_rows(folder / "rows.jsonl", letters)
    tables = document(data=FEW_ROWS, task={"name": "opening", "lines": 1}, method={"name": "norms"})
    (folder / "recipe.toml").write_text(tomlkit.dumps(tables))
    return folder


@pytest.fixture(scope="module")
def told(python, letters):
    """What every command says, each with status 0."""
    bundle, root = letters / "run" / "bundle", ("--data-root", letters)
    asked = {
        "train": ["train", letters / "recipe.toml", "--out", letters / "run", "--json"],
        "predict": ["predict", bundle, *TEXTS, *root, "--json"],
        "tasks": ["show", "tasks", "--json"],
        "methods": ["show", "methods", "--json"],
        "matrix": ["show", "matrix", "--json"],
        "show": ["show", bundle, *root, "--json"],
        "evaluate": ["evaluate", bundle, "--data", letters / "rows.jsonl", *root, "--json"],
        "export": ["export", bundle, "--format", "transformers", "--out", letters / "plain", *root, "--json"],
    }
    found = python(EVERY_COMMAND, [[str(word) for word in argv] for argv in asked.values()])
    assert [one["code"] for one in found] == [0] * len(asked), [one["err"] for one in found]
    return {name: one["out"] for name, one in zip(asked, found, strict=True)}


def test_they_are_listed(told):
    assert json.loads(told["tasks"])["opening"]["summary"] == "labels of a letter, told from its first lines"
    lines = next(row for row in json.loads(told["tasks"])["opening"]["options"] if row["key"] == "lines")
    assert (lines["default"], lines["description"]) == ("1", "Lines that are read.")
    assert "layer norms" in json.loads(told["methods"])["norms"]["summary"]
    cells = json.loads(told["matrix"])
    works = {(one["task"], one["head"], one["method"]) for one in cells if one["works"]}
    own = {method for task, head, method in works if (task, head) == ("classification", "linear")}
    assert {method for task, head, method in works if (task, head) == ("opening", "linear")} == own >= {"norms", "lora"}
    refused = next(one for one in cells if (one["task"], one["head"]) == ("opening", "descriptions"))
    assert "task opening" in refused["reason"]


def test_they_train(told, letters):
    train, show = json.loads(told["train"]), json.loads(told["show"])
    assert (show["task"], show["method"], show["verified"]) == ("opening", "norms", True)
    assert show["digest"] == train["digest"]
    assert show["versions"]["attune-letters"] == "0.3.0"
    before = load_file(letters / "tiny" / "model.safetensors")
    after = load_file(letters / "run" / "bundle" / "moved" / "weights.safetensors")
    assert len(after) == 2 * (1 + 2 * 2)
    assert all("LayerNorm" in name and not torch.equal(value, before[name]) for name, value in after.items())


def test_they_answer(told):
    first, same, other = [json.loads(line) for line in told["predict"].splitlines()]
    assert (first["answer"], other["answer"]) == ("delivery", "refund")
    assert first["confidence"] == same["confidence"], "only the first line is read"
    assert json.loads(told["evaluate"])["evaluations"][0]["metrics"]["accuracy"]["value"] > 0.9


def test_they_serve(told, python, letters):
    status, reply = python(SERVICE, [str(letters / "run" / "bundle"), TEXTS])
    assert status == 200
    shown = [json.loads(line) for line in told["predict"].splitlines()]
    assert [one["answer"] for one in reply["predictions"]] == [one["answer"] for one in shown]
    assert [one["confidence"] for one in reply["predictions"]] == [one["confidence"] for one in shown]


@pytest.mark.parametrize("name", ["pyproject.toml", "src/attune_letters/opening.py", "src/attune_letters/norms.py"])
def test_the_guide_shows_the_package_as_it_is(name):
    page = (HERE.parents[1] / "docs" / "guide" / "extend.md").read_text()
    assert f"\n{(HERE / name).read_text()}```\n" in page


def test_without_the_package_a_bundle_says_what_it_needs(told, letters):
    with pytest.raises(BundleError, match=r"was made with the package attune-letters 0.3.0, which is not installed"):
        attune.load(letters / "run" / "bundle", data_root=letters)


def test_an_entry_that_cannot_be_imported_names_its_package(tmp_path, monkeypatch):
    points = {"attune.methods": {"gone": "attune_letters.gone:Gone", "lora": "attune_letters.norms:Norms"}}
    monkeypatch.syspath_prepend(install(tmp_path, **points))
    registry = Registry("method", {"lora": "attune.methods.lora:Lora"}, "attune.methods")
    assert registry.names() == ["gone", "lora"]
    with pytest.raises(RecipeError, match="'gone' of attune-letters cannot be imported") as caught:
        registry.get("gone")
    assert "reinstall attune-letters" in caught.value.remedy
    assert registry.package("gone") == {"attune-letters": "0.3.0"}
    assert registry.get("lora") is Lora, "no package takes the place of an entry of attune's own"
    assert registry.package("lora") == {}
