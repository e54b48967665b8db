"""Pre-training from scratch on plain texts, on and on by bundle, and then a task with labels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForMaskedLM

from attune.core.recipe import parse
from attune.lifecycle.train import plan, train
from attune.model.assemble import AXES
from attune.model.bundle import load
from support import tiny
from support.bundles import made_up, write_rows

SCRATCH = {
    "name": "scratch",
    "scratch": {"layers": 2, "width": 16, "heads": 2, "positions": 32},
    "tokenizer": {"kind": "wordpiece", "vocabulary": 300},
}
LINES = [row["text"] for row in made_up(150)]


def wanted(task, backbone, **more):
    data = {"train": "train.txt", "test": "test.txt", "acknowledge": ["leakage"], **more.get("data", {})}
    training = {"epochs": 2, "threads": 1, "precision": "float32", "attention": "sdpa", "learning_rate": 1e-3}
    document = {
        "data": data, "task": {"name": task}, "backbone": backbone, "method": more.get("method", {"name": "full"}),
        "training": training, "evaluation": {"baselines": ["majority"], "resamples": 100},
    }  # fmt: skip
    return parse(document, AXES)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A data root with plain texts, and a language model made of them from scratch."""
    root = tmp_path_factory.mktemp("chain")
    (root / "train.txt").write_text("\n".join(LINES[:120]) + "\n")
    (root / "test.txt").write_text("\n".join(LINES[120:]) + "\n")
    write_rows(root / "rows.jsonl", made_up(60))
    train(wanted("masked_lm", SCRATCH), root, root / "first")
    return root


def test_the_plan_counts_blocks_of_the_tokenizer_that_will_be_trained(place):
    found = plan(wanted("masked_lm", SCRATCH), place)
    assert 2 <= found["steps"] <= 20 and found["rows"]["train"] > 90
    assert found["backbone"].startswith("scratch")


def test_a_language_model_goes_on_where_it_stopped(place, tmp_path):
    """The tuned head comes with the network, and so the second run begins with the first one's answers."""
    first = load(place / "first" / "bundle", root=place)
    still = {"name": "frozen", "trainable_layers": 0}
    backbone = {"name": "first/bundle"}
    second = train(wanted("masked_lm", backbone, method=still), place, tmp_path / "second")
    begun = load_file(tmp_path / "second" / "bundle" / "backbone" / "model.safetensors")
    own = AutoModelForMaskedLM.from_pretrained(tmp_path / "second" / "backbone").eval()
    ids = torch.tensor([[2, 30, 31, 4, 32, 3]])
    with torch.inference_mode():
        expected = first.model.head(first.model.backbone.network(input_ids=ids).last_hidden_state)
        torch.testing.assert_close(own(input_ids=ids).logits, expected, atol=1e-5, rtol=0)
    assert not second.model.head.fresh
    assert any(name.startswith("bert.pooler") for name in begun), "another class may read the pooler"
    plain = AutoModel.from_pretrained(tmp_path / "second" / "backbone")
    torch.testing.assert_close(plain.pooler.dense.weight, first.model.backbone.network.pooler.dense.weight)


def test_replaced_tokens_and_then_labels_on_the_same_network(place, tmp_path):
    second = train(wanted("replaced_token", {"name": "first/bundle"}), place, place / "second")
    assert second.manifest.lineage["parent"] == load(place / "first" / "bundle", root=place).digest
    data = {"train": "rows.jsonl", "test": "", "validation_share": 0.2}
    last = train(wanted("classification", {"name": "second/bundle"}, data=data), place, tmp_path / "last")
    assert last.manifest.lineage["parent"] == second.digest
    probabilities = np.stack([found.probabilities for found in last.predict(LINES[:3])])
    assert probabilities.shape[0] == 3 and np.isfinite(probabilities).all()


@pytest.mark.parametrize("task", ["masked_lm", "replaced_token"])
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_other_tokenizers_and_networks_of_ones_own(task, kind, place, tmp_path):
    backbone = {**SCRATCH, "tokenizer": {"kind": kind, "vocabulary": 400 if kind == "bpe" else 60}}
    backbone = {**backbone, "scratch": {**backbone["scratch"], "architecture": "modernbert"}}
    made = train(wanted(task, backbone), place, tmp_path / "run")
    assert made.model.backbone.tokenizer.mask_token == "[MASK]"
    assert made.manifest.metrics


def test_a_transplanted_vocabulary_is_learned_by_masks(place, tmp_path):
    tiny.backbone(place / "tiny", "bert")
    backbone = {"name": "tiny", "tokenizer": {"kind": "wordpiece", "vocabulary": 200}}
    made = train(wanted("masked_lm", backbone), place, tmp_path / "run")
    assert made.predict(["where is my [MASK]"])[0].answer
