"""A bundle: made twice the same, verified on every load, and refused where it is not what it was."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from attune.core.files import canonical, read_json
from attune.core.recipe import parse_toml
from attune.core.records import Prediction
from attune.errors import AttuneError, BundleError, DataError
from attune.lifecycle.train import train
from attune.model import manifest as manifests
from attune.model.assemble import AXES
from attune.model.bundle import load
from attune.model.witness import changed
from support.bundles import METHODS, Workshop, made_up

TEXTS = [row["text"] for row in made_up(20, seed=5)]
EVERY = [(method, pooling, several) for method in METHODS for pooling in ("mean", "first") for several in (False, True)]
HEAD = "heads/classification.safetensors"


def answers(bundle, texts=TEXTS):
    return np.stack([found.probabilities for found in bundle.predict(texts)])


def reseal(folder: Path, **changes) -> None:
    """Makes the manifest agree with the files again, as a careful forger would."""
    document = read_json(folder / "manifest.json")
    document.update(files=manifests.inventory(folder), **changes)
    (folder / "manifest.json").write_text(canonical(document), encoding="utf-8")


def refused(folder: Path, said: str, workshop: Workshop) -> BundleError:
    """The error of loading a bundle."""
    with pytest.raises(BundleError, match=said) as caught:
        load(folder, root=workshop.root)
    assert str(folder) in str(caught.value)
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize(("method", "pooling", "several"), EVERY)
def test_a_loaded_bundle_answers_as_the_trained_one(workshop, method, pooling, several):
    made = workshop.bundle(method, pooling, several)
    loaded = load(made.path, root=workshop.root)
    assert loaded.digest == made.digest
    assert loaded.witness_difference < 1e-4
    np.testing.assert_allclose(answers(loaded), answers(made), atol=1e-6)


@pytest.mark.parametrize(("method", "several"), [("full", False), ("frozen", True), ("lora", False)])
def test_the_resolved_recipe_trains_to_the_same_digest(workshop, tmp_path, method, several):
    first = workshop.bundle(method, "mean", several)
    resolved = parse_toml((first.path / "recipe.toml").read_text(encoding="utf-8"), AXES, where="test")
    assert train(resolved, workshop.root, tmp_path / "again").digest == first.digest


def test_the_digest_does_not_depend_on_where_the_data_is(workshop, tmp_path):
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.copytree(workshop.root / "tiny", moved / "tiny")
    shutil.copyfile(workshop.root / "rows.jsonl", moved / "rows.jsonl")
    first = workshop.bundle("full")
    assert train(first.recipe, moved, tmp_path / "again").digest == first.digest


@pytest.mark.parametrize("method", METHODS)
def test_nothing_inside_names_the_machine(workshop, method):
    bundle = workshop.bundle(method)
    for name in bundle.manifest.files:
        assert str(workshop.root).encode() not in (bundle.path / name).read_bytes(), name
    assert str(workshop.root) not in (bundle.path / "manifest.json").read_text()


def test_a_resolved_recipe_leaves_nothing_open(workshop):
    training = workshop.bundle("full").recipe.training
    assert training.learning_rate and training.head_learning_rate and training.metric and training.threads
    assert workshop.bundle("full").recipe.backbone.max_length and workshop.bundle("full").recipe.backbone.sha256
    assert set(workshop.bundle("full").recipe.data.fingerprints) == {"train"}


def test_it_loads_from_any_folder(workshop, tmp_path, monkeypatch):
    path = workshop.bundle().path
    monkeypatch.chdir(tmp_path)
    assert load(path).digest == workshop.bundle().digest
    monkeypatch.chdir(path.parent)
    assert load("bundle").digest == workshop.bundle().digest
    assert load(os.path.relpath(path), root=workshop.root).digest == workshop.bundle().digest


def test_a_moved_bundle_needs_its_backbone(workshop, tmp_path, monkeypatch):
    folder = workshop.copy(tmp_path / "bundle")
    (folder / "run.json").unlink()
    monkeypatch.chdir(tmp_path)
    refused_here = refused_without_root(folder)
    assert "--data-root" in refused_here.remedy
    shutil.copytree(workshop.root / "tiny", tmp_path / "tiny")
    assert load(folder).digest == workshop.bundle().digest
    weights = load_file(tmp_path / "tiny" / "model.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, tmp_path / "tiny" / "model.safetensors")
    assert workshop.bundle().manifest.backbone.sha256 in refused_without_root(folder).expected


def refused_without_root(folder: Path) -> BundleError:
    """The error of loading a bundle with the current folder as its root."""
    with pytest.raises(BundleError, match="its backbone 'tiny' was not found") as caught:
        load(folder)
    return caught.value


@pytest.mark.parametrize(
    "name", ["recipe.toml", HEAD, "witness.json", "calibration.json", "backbone/tokenizer.json", "evaluation.json"]
)
def test_one_flipped_byte(workshop, tmp_path, name):
    folder = workshop.copy(tmp_path / "bundle")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    refused(folder, f"{name} has SHA-256", workshop)


def test_a_flipped_byte_in_any_place_of_the_manifest(workshop, tmp_path):
    folder = workshop.copy(tmp_path / "bundle")
    whole = (folder / "manifest.json").read_bytes()
    for place in range(0, len(whole), len(whole) // 40):
        content = bytearray(whole)
        content[place] ^= 1
        (folder / "manifest.json").write_bytes(content)
        try:
            found = load(folder, root=workshop.root)
        except AttuneError:
            continue
        assert found.digest != workshop.bundle().digest


def test_a_missing_file(workshop, tmp_path):
    folder = workshop.copy(tmp_path / "bundle")
    (folder / HEAD).unlink()
    refused(folder, "has SHA-256 nothing", workshop)


@pytest.mark.parametrize("name", ["../outside.json", "/etc/hosts.json", "a/../../b.json", "..\\b.json"])
def test_a_path_that_leaves_the_folder(workshop, tmp_path, name):
    folder = workshop.copy(tmp_path / "bundle")
    document = read_json(folder / "manifest.json")
    document["files"][name] = "0" * 64
    (folder / "manifest.json").write_text(canonical(document))
    refused(folder, "outside of the bundle", workshop)


def test_a_link_is_refused(workshop, tmp_path):
    folder = workshop.copy(tmp_path / "bundle")
    shutil.move(folder / HEAD, tmp_path / "head.safetensors")
    (folder / HEAD).symlink_to(tmp_path / "head.safetensors")
    refused(folder, "is a link", workshop)


@pytest.mark.parametrize("sealed", [False, True])
def test_a_pickled_file_is_never_opened(workshop, tmp_path, sealed):
    class Boom:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    folder = workshop.copy(tmp_path / "bundle")
    (folder / "moved" / "weights.bin").write_bytes(pickle.dumps(Boom()))
    if sealed:
        reseal(folder)
    refused(folder, "a kind of file attune never reads" if sealed else "attune unpickles nothing", workshop)
    assert not (tmp_path / "ran").exists()


def test_a_foreign_file_is_refused(workshop, tmp_path):
    folder = workshop.copy(tmp_path / "bundle")
    (folder / "notes.txt").write_text("hello")
    refused(folder, r"notes\.txt is not in the manifest", workshop)


def test_a_newer_format(workshop, tmp_path):
    folder = workshop.copy(tmp_path / "bundle")
    reseal(folder, format=manifests.FORMAT + 1)
    assert "upgrade attune" in refused(folder, f"bundle format {manifests.FORMAT + 1}", workshop).remedy


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "not json", '{"format": "1"}', '{"format": 1}', '{"format": true}', "\xff"]
)
def test_a_manifest_that_is_none(workshop, tmp_path, text):
    folder = workshop.copy(tmp_path / "bundle")
    (folder / "manifest.json").write_bytes(text.encode("latin-1"))
    refused(folder, "not a manifest|bundle format", workshop)


def test_no_bundle_there(workshop, tmp_path):
    refused(tmp_path, "no manifest.json", workshop)
    refused(tmp_path / "nowhere", "no manifest.json", workshop)


@pytest.mark.parametrize("method", METHODS)
def test_the_witness_notices_another_head(workshop, tmp_path, method):
    folder = workshop.copy(tmp_path / "bundle", method=method)
    head = load_file(folder / HEAD)
    save_file({name: value.roll(1, 0).contiguous() for name, value in head.items()}, folder / HEAD)
    reseal(folder)
    found = refused(folder, "answers its witness rows differently", workshop)
    assert "answers changed" in found.found


def test_the_witness_notices_a_lost_label_order(workshop, tmp_path):
    folder = workshop.copy(tmp_path / "bundle")
    labels = workshop.bundle().labels
    reseal(folder, labels=labels[::-1])
    refused(folder, "witness", workshop)


@pytest.mark.parametrize("change", ["fewer", "shape", "nan"])
def test_weights_that_do_not_fit(workshop, tmp_path, change):
    folder = workshop.copy(tmp_path / "bundle")
    head = load_file(folder / HEAD)
    if change == "fewer":
        head.popitem()
    elif change == "shape":
        head = {name: value[:-1].contiguous() for name, value in head.items()}
    else:
        head = {name: value * torch.nan for name, value in head.items()}
    save_file(head, folder / HEAD)
    reseal(folder)
    refused(folder, "do not belong together|witness", workshop)


@pytest.mark.parametrize("name", ["recipe.toml", "witness.json", "calibration.json"])
def test_sealed_nonsense_is_refused_without_a_traceback(workshop, tmp_path, name):
    folder = workshop.copy(tmp_path / "bundle")
    (folder / name).write_text("{")
    reseal(folder)
    refused(folder, "do not belong together|witness", workshop)


def test_near_ties_may_fall_either_way(workshop, tmp_path):
    folder = workshop.copy(tmp_path / "bundle")
    witness = read_json(folder / "witness.json")
    for row in witness["rows"]:
        row["probabilities"] = [value + 1e-4 for value in row["probabilities"]]
    (folder / "witness.json").write_text(canonical(witness))
    reseal(folder)
    assert 0 < load(folder, root=workshop.root).witness_difference < witness["tolerance"]


def test_witness_rows_can_be_left_out(workshop, tmp_path):
    wanted = workshop.bundle().recipe.having("evaluation", witness="none")
    bundle = train(wanted, workshop.root, tmp_path / "run")
    assert read_json(bundle.path / "witness.json")["rows"] == []
    assert bundle.witness_difference == 0


def test_bad_rows_are_all_named(workshop):
    with pytest.raises(DataError) as caught:
        workshop.bundle().predict(["fine", "", None, {"text": 3}, {"other": "x"}, "a\0b", " \n"])
    assert [problem.where for problem in caught.value.problems] == [f"row {n}" for n in (2, 3, 4, 5, 6, 7)]


def test_answers_do_not_depend_on_the_company(workshop):
    bundle = workshop.bundle("full")
    alone = np.concatenate([answers(bundle, [text]) for text in TEXTS])
    np.testing.assert_allclose(alone, answers(bundle), atol=1e-5)
    assert bundle.predict([]) == []


def test_a_long_row_is_cut_with_a_notice(workshop):
    found = workshop.bundle().predict(["refund " * 30_000])[0]
    assert any("only the first" in notice for notice in found.notices)


def test_only_what_moved_is_saved(workshop):
    frozen, full, lora = (workshop.bundle(method).path / "moved" for method in ("frozen", "full", "lora"))
    assert load_file(frozen / "weights.safetensors") == {}
    assert all("lora_" in name for name in load_file(lora / "adapter_model.safetensors"))
    assert len(load_file(full / "weights.safetensors")) > 20
    assert json.loads((lora / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"


def test_only_near_ties_may_change_an_answer(workshop):
    def single(before, chances):
        return changed(
            workshop.bundle().model, {"answer": before}, Prediction("account", probabilities=np.asarray(chances)), 0.002
        )

    assert not single("account", [0.5, 0.4, 0.1])
    assert not single("delivery", [0.4505, 0.4495, 0.1])
    assert single("delivery", [0.5, 0.4, 0.1])
    assert single("another", [0.5, 0.4, 0.1])

    def several(before, chances):
        found = Prediction(["account"], probabilities=np.asarray(chances))
        return changed(workshop.bundle(multi_label=True).model, {"answer": before}, found, 0.002)

    assert not several(["account"], [0.9, 0.1, 0.1])
    assert not several(["account", "delivery"], [0.9, 0.499, 0.1])
    assert several(["account", "delivery"], [0.9, 0.4, 0.1])
    assert several([], [0.9, 0.4, 0.1])
