"""Attention with virtual keys and values: the same by both kernels, and that of a cache where there is one."""

import numpy as np
import pytest
import torch
from transformers import DynamicCache, MobileBertConfig, MobileBertModel

from attune.backbones.text import Text
from attune.core.recipe import parse
from attune.errors import UnsupportedError
from attune.lifecycle.train import train
from attune.model.assemble import AXES, assemble, check
from attune.tasks.classification import Labels
from support import cells, tiny

TEXTS = ["where is my order", "refund", "please cancel the order it was late and broken and the wrong size"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return cells.backbones(tmp_path_factory.mktemp("backbones"))


def tuned(root, kind, pooling="mean", **options):
    wanted = parse({"backbone": {"name": kind, "pooling": pooling}, "method": {"name": "prefix", **options}}, AXES)
    model = assemble(wanted, check(wanted, root), Labels(("a", "b"), (1, 1)))
    cells.jolt(dict(cells.moving(model)), 0.1, torch.Generator().manual_seed(3))
    return model


def ids_of(model):
    return model.encode([{"text": text} for text in TEXTS]).ids


@pytest.mark.parametrize("pooling", ["mean", "first"])
@pytest.mark.parametrize("kind", tiny.CONFIGS)
def test_both_kernels_give_the_same_features_and_gradients(root, kind, pooling):
    model = tuned(root, kind, pooling, tokens=3)
    weight = model.backbone.network.base_model.virtual.encoder.embedding.weight
    found = {}
    for kernel in ("sdpa", "eager"):
        model.backbone.attend(kernel)
        features = model.backbone(model.collate(ids_of(model)))
        (gradient,) = torch.autograd.grad(features.square().sum(), weight)
        found[kernel] = features.detach(), gradient
    assert model.backbone.network.config._attn_implementation == "attune_prefix_eager"
    assert found["sdpa"][1].abs().sum() > 0
    torch.testing.assert_close(found["sdpa"], found["eager"], atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("hidden", [0, 8])
@pytest.mark.parametrize("kind", ["bert", "roberta", "electra"])
def test_it_is_the_attention_of_a_cache_with_the_text_s_own_positions(root, kind, hidden):
    model = tuned(root, kind, tokens=3, hidden=hidden)
    ids = ids_of(model)
    ours = model.features(ids)
    network = model.backbone.network
    rows = network.virtual().detach()
    network.encoder._forward_pre_hooks.clear()
    for layer in network.get_submodule(model.backbone.stacks[0].path):
        layer._forward_pre_hooks.clear()
    network.set_attn_implementation("eager")
    row = torch.from_numpy(ids[2][None].astype(np.int64))
    cache = DynamicCache()
    for index, (keys, values) in enumerate(rows.view(3, 2, 2, 2, 16).permute(1, 2, 3, 0, 4)):
        cache.update(keys[None], values[None], index)
    first = 1 if kind == "roberta" else 0
    with torch.inference_mode():
        tokens = network(
            row, torch.ones(1, 3 + row.shape[1]), past_key_values=cache,
            position_ids=torch.arange(first, first + row.shape[1])[None],
        ).last_hidden_state  # fmt: skip
    assert tokens.shape[1] == row.shape[1]
    np.testing.assert_allclose(ours[2], tokens[0].mean(0), atol=1e-4)


@pytest.mark.parametrize("kind", tiny.CONFIGS)
def test_every_layer_s_prefix_is_read(root, kind):
    model = tuned(root, kind, tokens=3)
    ids = ids_of(model)
    before = model.features(ids)
    weight = model.backbone.network.base_model.virtual.encoder.embedding.weight
    for layer in range(2):
        part = weight.data.view(3, 2, -1)[:, layer]
        kept = part.clone()
        part += 1.0
        assert np.abs(model.features(ids) - before).max() > 1e-3, f"layer {layer} has none"
        part.copy_(kept)


def test_a_network_that_takes_no_prefix_is_refused_before_data_is_read(tmp_path):
    made = tiny.tokenizer([" ".join(tiny.WORDS)])
    config = MobileBertConfig(
        vocab_size=len(made), max_position_embeddings=64, embedding_size=16, intra_bottleneck_size=8, **tiny.COMMON
    )
    MobileBertModel(config).save_pretrained(tmp_path / "narrow")
    made.save_pretrained(tmp_path / "narrow")
    assert Text.lacks(config) == {"key_value_prefix"}
    document = {"data": {"train": "nowhere.csv"}, "backbone": {"name": "narrow"}, "method": {"name": "prefix"}}
    with pytest.raises(UnsupportedError) as caught:
        train(parse(document, AXES), tmp_path, tmp_path / "out")
    assert (
        "prefix needs key_value_prefix, which the mobilebert network of narrow does not provide" in caught.value.found
    )
    assert "methods that work on it: " in caught.value.found
    assert "prefix" not in caught.value.found.split("methods that work on it: ")[1]
    assert not (tmp_path / "out").exists()
    prompt = parse({"backbone": {"name": "narrow"}, "method": {"name": "prompt", "tokens": 10}}, AXES)
    model = assemble(prompt, check(prompt, tmp_path), Labels(("a", "b"), (1, 1)))
    assert model.backbone.limit == 54
    assert np.isfinite(model.features(model.encode([{"text": "order " * 200}]).ids)).all()
