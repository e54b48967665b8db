"""What the families share, and where a network differs from its family."""

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer, MPNetConfig, Qwen3Config, T5Config

from attune.backbones import networks
from attune.backbones.causal import Causal, CausalOptions
from attune.backbones.checkpoints import Checkpoint
from attune.backbones.registry import BACKBONES
from attune.backbones.seq2seq import Seq2Seq
from attune.backbones.text import Text, TextOptions
from attune.core.recipe import parse
from attune.core.records import Input
from attune.errors import BackboneError, RecipeError
from attune.methods.sublayers import find
from attune.model.assemble import AXES
from support.tiny import COMMON, EVERY, FAMILIES, tokenizer

TEXTS = ["where is my order", "refund", "please cancel the late parcel"]


def read(backbone, texts=TEXTS):
    return backbone.collate(backbone.encode([Input(text) for text in texts]).ids)


@pytest.mark.parametrize("kind", FAMILIES["causal"])
def test_pooled_is_the_last_real_token_or_the_mean(made, kind):
    last, mean = made(kind), made(kind, pooling="mean")
    batch = read(last)
    lengths = batch["attention_mask"].sum(1).tolist()
    assert len(set(lengths)) == 3
    with torch.inference_mode():
        tokens = last.tokens(batch)
        for row, length in enumerate(lengths):
            torch.testing.assert_close(last(batch)[row], tokens[row, length - 1])
            torch.testing.assert_close(mean(batch)[row], tokens[row, :length].mean(0))


@pytest.mark.parametrize("kind", FAMILIES["seq2seq"])
def test_pooled_is_of_the_encoder(made, kind, root):
    first, mean = made(kind, pooling="first"), made(kind)
    batch = read(mean)
    whole = made(kind, "generate").network
    with torch.inference_mode():
        tokens = whole.get_encoder()(**batch).last_hidden_state
        torch.testing.assert_close(mean.tokens(batch), tokens)
        torch.testing.assert_close(first(batch), tokens[:, 0])
        length = int(batch["attention_mask"][1].sum())
        torch.testing.assert_close(mean(batch)[1], tokens[1, :length].mean(0))


def test_a_tokenizer_without_padding_pads_with_its_end_and_keeps_its_vocabulary(made, root):
    backbone = made("gpt2")
    assert backbone.tokenizer.pad_token_id is None
    assert backbone.pad == backbone.tokenizer.eos_token_id == 3
    batch = read(backbone)
    assert (batch["input_ids"][batch["attention_mask"] == 0] == 3).all()
    assert len(backbone.tokenizer) == len(AutoTokenizer.from_pretrained(root / "gpt2"))
    assert backbone.network.wte.num_embeddings == len(backbone.tokenizer)


def test_a_text_without_a_token_is_still_one(made):
    backbone = made("gpt2")
    encoding = backbone.encode([Input(" "), Input("card")])
    assert encoding.ids[0].tolist() == [3]
    assert encoding.words.tolist() == [0, 1]


def test_a_tokenizer_that_is_not_fast_tells_what_it_cut(made, monkeypatch):
    backbone = made("marian")
    fast = backbone.encode([Input("card"), Input(" ".join(["card"] * 90))])
    monkeypatch.setattr("transformers.BatchEncoding.encodings", property(lambda self: None))
    slow = backbone.encode([Input("card"), Input(" ".join(["card"] * 90))])
    assert slow.truncated.tolist() == fast.truncated.tolist() == [False, True]


def test_a_network_without_sdpa_attends_eagerly(tmp_path):
    tokenizer(["card"]).save_pretrained(tmp_path)
    config = MPNetConfig(max_position_embeddings=66, **COMMON)
    config.save_pretrained(tmp_path)
    config.vocab_size = len(AutoTokenizer.from_pretrained(tmp_path))
    AutoModel.from_config(config).save_pretrained(tmp_path)
    backbone = Text(Checkpoint("mpnet", tmp_path, ""), TextOptions(name="mpnet")).eval()
    batch = read(backbone)
    with torch.inference_mode():
        before = backbone(batch)
        backbone.attend("sdpa")
        torch.testing.assert_close(backbone(batch), before, rtol=0, atol=0)
    assert backbone.network.config._attn_implementation == "eager"
    assert np.isfinite(before.numpy()).all()


@pytest.mark.parametrize(
    ("kind", "lacks"),
    [
        ("gpt2", set()),
        ("llama", {"bias_terms"}),
        ("qwen2", set()),
        ("t5", {"bias_terms"}),
        ("bart", set()),
        ("marian", set()),
        ("encoder-decoder", set()),
    ],
)
def test_what_a_network_lacks_of_its_family(kind, lacks):
    family = next(BACKBONES.get(family) for family, kinds in FAMILIES.items() if kind in kinds)
    assert family.lacks(EVERY[kind](100)) == lacks
    assert lacks <= family.provides


@pytest.mark.parametrize(
    ("family", "config"),
    [
        (Causal, Qwen3Config(vocab_size=50, head_dim=24, num_key_value_heads=1, **COMMON)),
        (Seq2Seq, T5Config(vocab_size=50, d_model=32, d_kv=24, d_ff=48, num_layers=2, num_heads=2)),
        (Seq2Seq, T5Config(vocab_size=50, d_model=32, d_kv=8, d_ff=48, num_layers=2, feed_forward_proj="gated-gelu")),
    ],
)
def test_attention_of_another_width_than_the_network_is_no_feed_forward(family, config):
    outline = family.outline(config)
    for place in find(outline):
        assert (place.narrow.in_features, place.narrow.out_features) == (48, 32)
        assert place.attention.out_features == 32
    keys = {"qwen3": 24}.get(config.model_type, getattr(config, "d_kv", 0) * getattr(config, "num_heads", 0))
    assert outline.stacks[0].keys == keys


def test_dropout_reaches_every_part_and_no_layer_is_left_out(made):
    config = EVERY["bart"](100)
    config.encoder_layerdrop = 0.5
    assert networks.with_dropout(config, 0.3).encoder_layerdrop == 0.0
    assert (config.dropout, config.attention_dropout) == (0.3, 0.3)
    both = networks.with_dropout(EVERY["encoder-decoder"](100), 0.3)
    assert both.encoder.hidden_dropout_prob == both.decoder.attention_probs_dropout_prob == 0.3


def test_a_family_that_cannot_read_a_checkpoint_says_which_there_are(root):
    with pytest.raises(BackboneError, match="cannot be read as a causal language model") as caught:
        Causal(Checkpoint("t5", root / "t5", ""), CausalOptions(name="t5"))
    assert 'backbone.family = "seq2seq"' in caught.value.remedy
    with pytest.raises(BackboneError, match="cannot be read as a text encoder"):
        Text.lacks(EVERY["bart"](100))
    with pytest.raises(BackboneError, match="cannot be read as a sequence-to-sequence network") as other:
        Seq2Seq(Checkpoint("gpt2", root / "gpt2", ""), Seq2Seq.Options(name="gpt2"))
    assert "other families" in other.value.remedy


def test_a_family_without_a_default_backbone_wants_a_name():
    with pytest.raises(RecipeError, match=r"backbone\.name"):
        parse({"backbone": {"family": "causal"}}, AXES)


def test_positions_shared_by_embeddings_are_below_every_layer(made):
    backbone = made("gpt2")
    assert {backbone.depth(name) for name in ("wte.weight", "wpe.weight")} == {0}
    assert backbone.depth("h.1.attn.c_attn.weight") == 2
    assert backbone.depth("ln_f.weight") == 3
    assert made("marian").depth("embed_positions.weight") == 0
    assert made("encoder-decoder").depth("embeddings.LayerNorm.weight") == 0
    assert not any("pooler" in name for name, _ in made("encoder-decoder").used())
