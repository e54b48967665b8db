"""Causal language modelling: blocks, figures, answers, tokenizers of characters."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from attune.backbones import vocabulary
from attune.core.recipe import parse
from attune.errors import RecipeError, UnsupportedError
from attune.lifecycle.train import plan, train
from attune.model.assemble import AXES, check
from attune.model.bundle import load
from attune.tasks.causal_lm import CausalLM, beginning, ending
from attune.tasks.common.blocks import overlapping
from support import tiny
from support.bundles import made_up

LINES = [row["text"] for row in made_up(150)]
CHARACTERS = {
    "name": "scratch", "max_length": 32,
    "scratch": {"layers": 1, "width": 16, "heads": 2, "positions": 32}, "tokenizer": {"kind": "character"},
}  # fmt: skip


def wanted(backbone, *, method="full", task=None, **training):
    document = {
        "data": {"train": "train.txt", "test": "test.txt", "acknowledge": ["leakage"]},
        "task": {"name": "causal_lm", **(task or {})}, "backbone": {"family": "causal", **backbone},
        "method": {"name": method} if isinstance(method, str) else method,
        "training": {"epochs": 2, "threads": 1, "precision": "float32", "learning_rate": 3e-3, **training},
        "evaluation": {"baselines": ["majority"], "resamples": 100},
    }  # fmt: skip
    return parse(document, AXES)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A data root with plain texts and a causal language model of characters made of them."""
    root = tmp_path_factory.mktemp("causal")
    (root / "train.txt").write_text("\n".join(LINES[:120]) + "\n")
    (root / "test.txt").write_text("\n".join(LINES[120:]) + "\n")
    tiny.backbone(root / "gpt2", "gpt2")
    train(wanted(CHARACTERS, epochs=8), root, root / "first")
    return root


def test_blocks_share_one_token_and_ask_for_every_other():
    flat = np.arange(10)[:, None]
    assert [block[:, 0].tolist() for block in overlapping(flat, 4)] == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    assert [len(block) for block in overlapping(flat, 8)] == [8, 3]
    assert [len(block) for block in overlapping(flat[:1], 8)] == [1]


def test_characters_are_tokens_and_a_text_comes_back_as_it_was():
    text = "Où est-ce?\tИ 好 🙂 \n\nend "
    made = vocabulary.train(lambda: [text], vocabulary.TokenizerOptions(kind="character"), positions=64).tokenizer
    ids = made(text, add_special_tokens=False)["input_ids"]
    assert len(ids) == len(text) and made.unk_token_id not in ids
    assert made.decode(ids) == text
    assert len(made) == 5 + len(set(text))
    assert made("z", add_special_tokens=False)["input_ids"] == [made.unk_token_id]
    again = vocabulary.train(lambda: [text], vocabulary.TokenizerOptions(kind="character"), positions=64).tokenizer
    assert again.get_vocab() == made.get_vocab()


def test_a_vocabulary_narrower_than_the_characters_is_refused():
    options = vocabulary.TokenizerOptions(kind="character", vocabulary=8)
    with pytest.raises(RecipeError, match="cannot hold the text's alphabet: 6 characters and 5 special"):
        vocabulary.train(lambda: ["abcd"], options, positions=64)


def test_texts_end_with_a_line_break_the_end_token_or_nothing(place):
    words = tiny.tokenizer(LINES, "causal")
    assert ending(words, "line").tolist() == [words.eos_token_id], "this tokenizer has no line breaks"
    assert ending(words, "nothing").tolist() == []
    made = load(place / "first" / "bundle", root=place).model.backbone.tokenizer
    assert made.decode(ending(made, "line")) == "\n"
    assert ending(made, "end").tolist() == [made.eos_token_id] and beginning(made).tolist() == [made.bos_token_id]


def test_figures_are_of_every_character_of_the_file(place):
    bundle = load(place / "first" / "bundle", root=place)
    told = json.loads((place / "first" / "bundle" / "evaluation.json").read_text())
    assert set(bundle.manifest.metrics) >= {"perplexity", "nats_per_character", "bits_per_byte", "next_accuracy"}
    nats = bundle.manifest.metrics["nats_per_character"]["value"]
    assert math.log(bundle.manifest.metrics["perplexity"]["value"]) == pytest.approx(nats, rel=1e-3)
    assert bundle.manifest.metrics["bits_per_byte"]["value"] == pytest.approx(nats / math.log(2), rel=1e-3)
    text = (place / "test.txt").read_text()
    backbone = bundle.model.backbone
    ids = np.append(backbone.tokenizer.bos_token_id, backbone.tokenizer(text, add_special_tokens=False)["input_ids"])
    total = 0.0
    with torch.inference_mode():
        for block in overlapping(ids[:, None], 32):
            piece = torch.from_numpy(block[:, 0])[None]
            logits = backbone.logits({"input_ids": piece, "attention_mask": torch.ones_like(piece)})[0, :-1]
            total += float(torch.nn.functional.cross_entropy(logits, piece[0, 1:], reduction="sum"))
    assert total / len(text) == pytest.approx(nats, rel=1e-4)
    majority = json.dumps(told)
    assert "majority" in majority


def test_it_learns_more_than_frequencies_and_answers_with_the_next_character(place):
    bundle = load(place / "first" / "bundle", root=place)
    events = [json.loads(line) for line in (place / "first" / "events.jsonl").read_text().splitlines()]
    found = [event["validation_perplexity"] for event in events if event["event"] == "validation"]
    assert found[-1] < 0.6 * found[0]
    answer, long = bundle.predict(["where is my orde", "where is my order " * 9])
    assert len(answer.answer) == 1 and len(answer.alternatives) == 5
    assert answer.confidence == pytest.approx(max(item.confidence for item in answer.alternatives))
    assert long.notices == ("only the last 32 tokens were read",)


def test_an_untuned_network_is_measured_as_it_is(place, tmp_path):
    bundle = train(wanted({"name": "gpt2"}, method="none"), place, tmp_path / "run")
    assert bundle.manifest.metrics["perplexity"]["value"] > 10


def test_it_goes_on_by_bundle_with_an_adapter(place, tmp_path):
    before = load(place / "first" / "bundle", root=place).manifest.metrics["perplexity"]["value"]
    method = {"name": "lora", "rank": 4}
    bundle = train(wanted({"name": "first/bundle", "max_length": 32}, method=method), place, tmp_path / "run")
    assert bundle.manifest.metrics["perplexity"]["value"] <= before * 1.001
    assert plan(wanted(CHARACTERS), place)["steps"] > 10


@pytest.mark.parametrize(
    ("recipe", "kind", "told"),
    [
        (lambda: wanted({"name": "gpt2"}, method={"name": "frozen", "trainable_layers": 0}), UnsupportedError,
         "moves nothing but the head, and head own has no parameters"),
        (lambda: wanted({"name": "gpt2"}, task={"between": "page"}), RecipeError, "line"),
        (lambda: wanted({"name": "gpt2"}, task={"head": "linear"}), UnsupportedError, "heads that do: own"),
        (lambda: wanted({"family": "text", "name": "tiny"}), UnsupportedError, "families that provide it: causal"),
        (lambda: wanted({"name": "gpt2", "tokenizer": {"kind": "character"}}), UnsupportedError, "writes by its words"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_data_is_read(recipe, kind, told, place):
    with pytest.raises(kind, match=told):
        check(recipe(), place)


def test_it_needs_a_backbone_for_its_vocabulary():
    with pytest.raises(ValueError, match="without its backbone"):
        CausalLM(CausalLM.Options()).outputs_of(None)
