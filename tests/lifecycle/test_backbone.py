"""Backbones that a run makes: from scratch, of a bundle, with a transplanted vocabulary."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from attune.compression.export import to_peft, to_transformers
from attune.core.files import canonical, read_json
from attune.core.recipe import parse_toml
from attune.errors import AttuneError, BackboneError, BundleError, CannotMerge, DataError, RecipeError, UnsupportedError
from attune.lifecycle.audit import audited
from attune.lifecycle.train import plan, resume, train
from attune.model import manifest as manifests
from attune.model.assemble import AXES, check
from attune.model.bundle import load
from support import tiny, worker
from support.bundles import made_up, recipe, write_rows

SIZE = {"layers": 2, "width": 16, "heads": 2, "feed_forward": 24, "positions": 64}
SMALL = {"vocabulary": 300}
TEXTS = [row["text"] for row in made_up(12, seed=5)]
RATES = {"start": "random", "learning_rate": 1e-3, "head_learning_rate": 1e-2}
SCRATCH = {"name": "scratch", "scratch": SIZE, "tokenizer": SMALL}
TRANSPLANT = {"name": "tiny", "tokenizer": SMALL}
MADE = {"scratch": SCRATCH, "transplant": TRANSPLANT}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A data root with rows, a published backbone, a text file and a bundle."""
    root = tmp_path_factory.mktemp("place")
    write_rows(root / "rows.jsonl", made_up())
    tiny.backbone(root / "tiny", "bert")
    (root / "lines.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    train(wanted({"name": "tiny"}, method={"name": "lora", "rank": 2}), root, root / "first")
    return root


def wanted(backbone, method=None, **tables):
    tables = {"data": {"validation_share": 0.0}, "training": RATES, **tables}
    return recipe(backbone=backbone, method=method or {"name": "full"}, **tables)


def again(bundle, root: Path, out: Path):
    """A bundle trained from another's resolved recipe."""
    return train(parse_toml((bundle.path / "recipe.toml").read_text(encoding="utf-8"), AXES, where="it"), root, out)


def probabilities(bundle):
    return np.stack([found.probabilities for found in bundle.predict(TEXTS)])


@pytest.mark.parametrize("kind", MADE)
def test_its_bundle_needs_nothing_beside_it_and_its_resolved_recipe_makes_it_again(kind, place, tmp_path):
    bundle = train(wanted(MADE[kind]), place, tmp_path / "run")
    assert "backbone/model.safetensors" in bundle.manifest.files
    assert bundle.manifest.backbone.sha256 == bundle.manifest.files["backbone/model.safetensors"]
    shutil.copytree(bundle.path, tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "run.json").unlink()
    alone = load(tmp_path / "elsewhere", root=tmp_path / "nowhere")
    np.testing.assert_array_equal(probabilities(alone), probabilities(bundle))
    initial, moved = load_file(bundle.path / "backbone" / "model.safetensors"), bundle.path / "moved"
    assert any(
        not torch.equal(initial[name], value) for name, value in load_file(moved / "weights.safetensors").items()
    )
    repeated = again(bundle, place, tmp_path / "again")
    assert repeated.digest == bundle.digest
    told = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert "a tokenizer of" in next(event["told"] for event in told if event["event"] == "backbone")[0]


def test_the_seed_draws_the_weights(place, tmp_path):
    one, two = (
        train(wanted(SCRATCH, training={**RATES, "seed": seed}), place, tmp_path / f"{seed}").manifest
        for seed in (1, 2)
    )
    assert one.backbone.sha256 != two.backbone.sha256
    assert one.files["backbone/tokenizer.json"] == two.files["backbone/tokenizer.json"]


@pytest.mark.parametrize("architecture", AXES["backbone"].get("text").architectures)
@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_every_architecture_reads_pairs_of_its_whole_length(architecture, pooling, place, tmp_path):
    rows = [{"text": row["text"], "text_pair": row["text"][::-1] * 9, "label": row["label"]} for row in made_up(30)]
    write_rows(tmp_path / "rows.jsonl", rows)
    backbone = {**SCRATCH, "scratch": {**SIZE, "architecture": architecture}, "pooling": pooling}
    made = train(wanted(backbone, task={"name": "pair"}), tmp_path, tmp_path / "run")
    assert made.model.backbone.network.config.model_type == architecture
    assert made.model.backbone.limit == 64
    assert made.recipe.backbone.max_length == 64


def test_the_tokenizer_s_text_may_be_a_file_and_is_verified(place, tmp_path):
    shutil.copytree(place, tmp_path / "root")
    text = {**SCRATCH, "tokenizer": {**SMALL, "text": "lines.txt"}}
    bundle = train(wanted(text), tmp_path / "root", tmp_path / "run")
    other = train(wanted(SCRATCH), tmp_path / "root", tmp_path / "other")
    name = "backbone/tokenizer.json"
    assert bundle.manifest.files[name] == bundle.recipe.backbone.tokenizer.sha256 != other.manifest.files[name]
    (tmp_path / "root" / "lines.txt").write_text("something else", encoding="utf-8")
    with pytest.raises(DataError, match="the tokenizer trained on it has SHA-256"):
        again(bundle, tmp_path / "root", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_bundle_s_merged_network_is_tuned_on_and_the_parent_is_named(place, tmp_path):
    parent = load(place / "first" / "bundle", root=place)
    untuned = wanted({"name": "first/bundle"}, method={"name": "frozen", "trainable_layers": 0}, training={})
    child = train(untuned, place, tmp_path / "child")
    assert child.manifest.lineage["parent"] == parent.digest
    assert parent.manifest.lineage["parent"] is None
    rows = [{"text": text} for text in TEXTS]
    np.testing.assert_allclose(
        child.model.features(child.model.encode(rows).ids),
        parent.model.features(parent.model.encode(rows).ids),
        atol=1e-5,
    )
    published = load_file(place / "tiny" / "model.safetensors")
    merged = load_file(child.path / "backbone" / "model.safetensors")
    assert any(not torch.equal(merged[name], value) for name, value in published.items() if name in merged)
    grandchild = train(wanted({"name": str(child.path), "tokenizer": SMALL}), place, tmp_path / "grandchild")
    assert grandchild.manifest.lineage["parent"] == child.digest
    assert again(grandchild, place, tmp_path / "again").digest == grandchild.digest


def test_a_bundle_that_cannot_be_merged_is_refused_with_its_reason_before_data_is_read(place, tmp_path):
    train(wanted({"name": "tiny"}, method={"name": "prefix", "tokens": 2}), place, tmp_path / "prefix")
    name = str(tmp_path / "prefix" / "bundle")
    with pytest.raises(CannotMerge, match="its virtual keys and values") as caught:
        train(wanted({"name": name}, data={"train": "nowhere.jsonl"}), place, tmp_path / "run")
    assert "lora" in caught.value.remedy
    assert not (tmp_path / "run").exists()


def test_a_bundle_of_another_digest_than_the_recipe_was_resolved_with(place, tmp_path):
    with pytest.raises(BackboneError, match="the weights made have SHA-256"):
        train(wanted({"name": "first/bundle", "sha256": "0" * 64}), place, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_in_a_bundle_that_are_not_the_ones_it_names(place, tmp_path):
    bundle = train(wanted(SCRATCH), place, tmp_path / "run")
    path = bundle.path / "backbone" / "model.safetensors"
    save_file({name: value + 1 for name, value in load_file(path).items()}, path, metadata={"format": "pt"})
    with pytest.raises(BundleError, match=r"model\.safetensors has SHA-256"):
        load(bundle.path)
    document = {**read_json(bundle.path / "manifest.json"), "files": manifests.inventory(bundle.path)}
    (bundle.path / "manifest.json").write_text(canonical(document), encoding="utf-8")
    with pytest.raises(BundleError, match="the backbone in it has SHA-256"):
        load(bundle.path)


@pytest.mark.parametrize("kind", MADE)
def test_exports_need_no_attune(kind, place, tmp_path):
    from peft import PeftModel
    from transformers import AutoModel, AutoTokenizer

    bundle = train(wanted(MADE[kind], method={"name": "lora", "rank": 2}), place, tmp_path / "run")
    assert "predict.py" in to_transformers(bundle, tmp_path / "plain")
    told = to_peft(bundle, tmp_path / "peft")
    assert "'backbone'" in told
    network = AutoModel.from_pretrained(tmp_path / "peft" / "backbone")
    adapted = PeftModel.from_pretrained(network, tmp_path / "peft").eval()
    plain = AutoModel.from_pretrained(tmp_path / "plain").eval()
    batch = AutoTokenizer.from_pretrained(tmp_path / "plain")(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        torch.testing.assert_close(
            adapted(**batch).last_hidden_state, plain(**batch).last_hidden_state, atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("kind", MADE)
def test_plan_and_audit_make_it_somewhere_else(kind, place):
    before = sorted(place.rglob("*"))
    asked = wanted(MADE[kind])
    told = plan(asked, place)
    assert any("a tokenizer of" in notice for notice in told["notices"])
    with audited(asked, place) as found:
        assert not found.audit.stops()
        assert found.audit.tables["rows"]
    assert sorted(place.rglob("*")) == before


BAD = {
    "heads": ({**SCRATCH, "scratch": {**SIZE, "width": 17}}, RecipeError, "width = 17 cannot be divided"),
    "rotary": (
        {**SCRATCH, "scratch": {**SIZE, "heads": 16, "architecture": "modernbert"}}, RecipeError, "cannot be divided",
    ),
    "architecture": ({**SCRATCH, "scratch": {"architecture": "bret"}}, RecipeError, "architecture = 'bret'"),
    "size beside a name": ({"name": "tiny", "scratch": SIZE}, RecipeError, "beside the backbone 'tiny'"),
    "no such text": ({**SCRATCH, "tokenizer": {"text": "nowhere.txt"}}, DataError, "no such file"),
    "hash embeddings": ({"name": "canine", "tokenizer": SMALL}, UnsupportedError, "no table of input embeddings"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_is_refused_before_data_is_read(case, place, tmp_path):
    from transformers import CanineConfig

    shutil.copytree(place / "tiny", tmp_path / "tiny")
    shutil.copytree(place / "tiny", tmp_path / "canine")
    CanineConfig(num_hidden_layers=2, hidden_size=16, num_attention_heads=2, vocab_size=300).save_pretrained(
        tmp_path / "canine"
    )
    backbone, kind, said = BAD[case]
    with pytest.raises(kind, match=said) as caught:
        check(wanted(backbone, data={"train": "nowhere.jsonl"}), tmp_path)
    assert isinstance(caught.value, AttuneError) and caught.value.where and caught.value.remedy


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "no text to train"), (b" \n\n", "no text to train"), (b"\xff\xfe\xfd", "not UTF-8")]
)
def test_a_text_file_without_text(content, said, place, tmp_path):
    shutil.copy(place / "rows.jsonl", tmp_path / "rows.jsonl")
    (tmp_path / "bad.txt").write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        train(wanted({**SCRATCH, "tokenizer": {"text": "bad.txt"}}), tmp_path, tmp_path / "run")
    assert caught.value.where == "bad.txt"
    assert not (tmp_path / "run").exists()


def test_a_vocabulary_below_the_alphabet_leaves_nothing_behind(place, tmp_path):
    with pytest.raises(RecipeError, match="cannot hold the text's alphabet"):
        train(wanted({**SCRATCH, "tokenizer": {"vocabulary": 200}}), place, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_interrupted_run_finds_its_backbone_again(place, tmp_path):
    """Killed between the making of the backbone and the first step: the resume makes nothing anew."""
    whole = train(wanted(SCRATCH), place, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    for name in ("bundle", "recipe.toml", "checkpoints", "start"):
        path = tmp_path / "cut" / name
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    made = (tmp_path / "cut" / "backbone" / "model.safetensors").stat()
    assert resume(tmp_path / "cut").digest == whole.digest
    assert (tmp_path / "cut" / "backbone" / "model.safetensors").stat().st_mtime_ns == made.st_mtime_ns


@pytest.mark.slow
@pytest.mark.parametrize("kind", MADE)
def test_invariants_2_4_and_7_in_real_processes(kind, place, tmp_path):
    """Two runs of one recipe, a third killed after a few steps, and a load, all in new processes: one digest."""
    import signal
    import subprocess
    import sys
    import time

    for part in ("rows.jsonl", "tiny"):
        (tmp_path / part).symlink_to(place / part)
    asked = wanted(MADE[kind], training={**RATES, "epochs": 20, "batch_size": 8, "checkpoint_steps": 2, "dropout": 0.1})
    (tmp_path / "recipe.toml").write_text(asked.toml(), encoding="utf-8")

    def attune(*arguments):
        command = [sys.executable, "-m", "attune.apps.cli.main", *arguments]
        return subprocess.Popen(command, env=worker.environment(), cwd=tmp_path, stdout=subprocess.PIPE, text=True)

    def begin(name):
        return attune("train", "recipe.toml", "--out", name, "--json")

    def steps(name):
        path = tmp_path / name / "events.jsonl"
        return path.read_text(encoding="utf-8").count('"step":') if path.is_file() else 0

    first, second = begin("one"), begin("two")
    killed = begin("killed")
    limit = time.monotonic() + 240
    while steps("killed") < 5:
        assert killed.poll() is None and time.monotonic() < limit, "ended before its fifth step"
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "bundle").exists()
    went_on = attune("train", "--resume", "killed", "--json")
    digests = [json.loads(process.communicate(timeout=240)[0])["digest"] for process in (first, second, went_on)]
    assert len(set(digests)) == 1
    here = load(tmp_path / "one" / "bundle", root=tmp_path)
    assert here.digest == digests[0]
    asked_of = attune("predict", "one/bundle", TEXTS[0], "--json")
    there = json.loads(asked_of.communicate(timeout=240)[0].splitlines()[0])
    assert there["answer"] == here.predict(TEXTS[:1])[0].answer
