"""Virtual tokens stand behind every text, and nothing that is read of a text is moved or counted anew by them."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from attune.compression.export import to_peft, to_transformers
from attune.core.recipe import parse
from attune.errors import CannotMerge, UnsupportedError
from attune.lifecycle.train import train
from attune.methods.virtual import behind
from attune.model.assemble import AXES, assemble, check
from attune.model.bundle import load
from attune.tasks.classification import Labels
from attune.training.precision import autocast
from support import cells
from support.bundles import recipe
from support.tiny import CONFIGS

TEXTS = ["where is my order", "refund", "please cancel the order it was late and broken and the wrong size"]
SOFT = ("prompt", "p_tuning", "prefix")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return cells.backbones(tmp_path_factory.mktemp("backbones"))


def model(root, kind="bert", pooling="mean", **method):
    document = {"backbone": {"name": kind, "pooling": pooling}, "method": method}
    wanted = parse(document, AXES)
    return assemble(wanted, check(wanted, root), Labels(("a", "b"), (1, 1)))


def ids_of(tuned):
    return tuned.encode([{"text": text} for text in TEXTS]).ids


def test_virtual_tokens_stand_behind_the_last_word_of_each_row():
    words = torch.arange(1.0, 7.0).view(2, 3, 1)
    found, mask = behind(words, torch.tensor([[1, 1, 1], [1, 0, 0]]), torch.tensor([[-1.0], [-2.0]]))
    assert found.squeeze(-1).tolist() == [[1, 2, 3, -1, -2], [4, -1, -2, 0, 0]]
    assert mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]


def by_hand(tuned, ids):
    """The tokens of one row, virtual ones at the end, by the network below the hooks, positions given."""
    base = tuned.backbone.network.base_model
    rows = base.virtual()
    words = base.get_input_embeddings()(torch.from_numpy(ids[None].astype(np.int64)))
    positions = torch.arange(len(ids) + len(rows))[None]
    if base.config.model_type == "roberta":
        positions = positions + base.config.pad_token_id + 1
    base._forward_pre_hooks.clear()
    base._forward_hooks.clear()
    return base(inputs_embeds=torch.cat([words, rows[None]], 1), position_ids=positions)


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_mean_counts_the_text_alone_and_real_tokens_keep_their_positions(root, kind):
    tuned = model(root, kind, name="prompt", tokens=5)
    ids = ids_of(tuned)
    found = tuned.features(ids)
    tokens = tuned.backbone.network(**tuned.collate(ids)).last_hidden_state
    assert tokens.shape[:2] == (3, max(map(len, ids)))
    with torch.inference_mode():
        alone = by_hand(tuned, ids[1]).last_hidden_state
    np.testing.assert_allclose(found[1], alone[0, : len(ids[1])].mean(0), atol=5e-5)


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_family_s_head_reads_the_first_real_token(root, kind):
    tuned = model(root, kind, "first", name="p_tuning", tokens=5, hidden=8)
    ids = ids_of(tuned)
    found = tuned.features(ids)
    seen = []
    head = tuned.backbone.network
    head.base_model.register_forward_hook(lambda module, given, out: seen.append(out.last_hidden_state))
    head(**tuned.collate(ids))
    assert seen[0].shape[1] == max(map(len, ids))
    with torch.inference_mode():
        alone = by_hand(tuned, ids[1])
    np.testing.assert_allclose(seen[0][1, 0].detach(), alone.last_hidden_state[0, 0], atol=5e-5)
    assert np.abs(found - found[0]).max() > 1e-3


def test_a_head_that_pools_by_mean_counts_the_text_alone(root):
    tuned = model(root, "modernbert", "first", name="prompt", tokens=5)
    tuned.backbone.network.config.classifier_pooling = "mean"
    network = tuned.backbone.network
    inputs = tuned.collate(ids_of(tuned)[1:2])
    tokens = network.base_model(**inputs).last_hidden_state
    assert tokens.shape[1] == inputs["input_ids"].shape[1]
    torch.testing.assert_close(network(**inputs).logits, network.head(tokens.mean(1)))


@pytest.mark.parametrize("name", ["prompt", "p_tuning"])
def test_the_text_has_the_positions_that_are_left(root, name):
    tuned = model(root, name=name, tokens=20)
    assert tuned.backbone.limit == 44
    long = tuned.encode([{"text": "order " * 200}])
    assert len(long.ids[0]) == 44
    assert long.truncated.tolist() == [True]
    assert np.isfinite(tuned.features(long.ids)).all()
    assert model(root, name="prefix").backbone.limit == 64


@pytest.mark.parametrize("name", ["prompt", "p_tuning"])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_more_virtual_tokens_than_positions_are_refused_before_data_is_read(root, tmp_path, name, kind):
    document = {"data": {"train": "nowhere.csv"}, "backbone": {"name": kind}, "method": {"name": name, "tokens": 100}}
    with pytest.raises(UnsupportedError) as caught:
        train(parse(document, AXES), root, tmp_path / "out")
    most = {"bert": 56, "roberta": 57}[kind]
    assert f"{name} with tokens = 100 takes 100 of the {most + 8} positions" in caught.value.found
    assert f"use at most {most} tokens" in caught.value.found
    assert caught.value.where == f"[method] {name} on {kind}"
    assert caught.value.remedy
    assert not (tmp_path / "out").exists()
    tuned = model(root, kind, name=name, tokens=most)
    ids = tuned.encode([{"text": "order " * 200}]).ids
    assert len(ids[0]) == 8
    assert np.isfinite(tuned.features(ids)).all()


@pytest.mark.parametrize("name", SOFT)
def test_layers_below_are_never_the_same_all_run(root, name):
    tuned = model(root, name=name)
    assert tuned.method.frozen_below(tuned.backbone) == 0


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("name", SOFT)
def test_bfloat16_learns_them_too(root, name, kernel):
    tuned = model(root, name=name, tokens=4)
    inputs = tuned.collate(ids_of(tuned))
    exact = tuned.backbone(inputs)
    tuned.backbone.attend(kernel)
    with autocast(tuned.device, "bfloat16"):
        features = tuned.backbone(inputs)
        features.float().square().sum().backward()
    assert (features.float() - exact).abs().max() < 0.1
    gradients = [p.grad for p in tuned.backbone.network.base_model.virtual.parameters()]
    assert all(found.dtype == torch.float32 and found.isfinite().all() for found in gradients)
    assert any(found.abs().sum() > 0 for found in gradients)


@pytest.fixture(scope="module")
def bundles(workshop, tmp_path_factory):
    folder = tmp_path_factory.mktemp("soft")
    made = {}
    for name in SOFT:
        wanted = recipe(method={"name": name, "tokens": 4}, training={"epochs": 1})
        made[name] = train(wanted, workshop.root, folder / name)
    return made


@pytest.mark.parametrize("name", SOFT)
def test_a_bundle_holds_what_moved_and_answers_as_it_did(workshop, bundles, name):
    made = bundles[name]
    tensors = load_file(made.path / "moved" / "weights.safetensors")
    assert tensors
    assert all(key.startswith("virtual.encoder.") for key in tensors)
    if name == "prompt":
        assert {key: tuple(value.shape) for key, value in tensors.items()} == {"virtual.encoder.weight": (4, 32)}
    loaded = load(made.path, root=workshop.root)
    for mine, its in zip(made.predict(TEXTS), loaded.predict(TEXTS), strict=True):
        np.testing.assert_allclose(mine.probabilities, its.probabilities, atol=1e-5)


@pytest.mark.parametrize("name", SOFT)
def test_an_export_that_needs_a_merge_says_why_there_is_none(bundles, tmp_path, name):
    with pytest.raises(CannotMerge) as caught:
        to_transformers(bundles[name], tmp_path / "out")
    assert f"{name} cannot be merged" in caught.value.found
    assert caught.value.where == str(bundles[name].path)
    assert "lora or full" in caught.value.expected
    assert "attune serve" in caught.value.remedy
    with pytest.raises(UnsupportedError, match="no PEFT layout") as other:
        to_peft(bundles[name], tmp_path / "out")
    assert "transformers" not in other.value.remedy
    assert "attune predict" in other.value.remedy
    assert not (tmp_path / "out").exists()


def test_options_are_the_ones_promised():
    defaults = {name: AXES["method"].get(name).Options().model_dump() for name in SOFT}
    assert json.loads(json.dumps(defaults)) == {
        "prompt": {"name": "prompt", "tokens": 20, "init_text": ""},
        "p_tuning": {"name": "p_tuning", "tokens": 20, "hidden": 128},
        "prefix": {"name": "prefix", "tokens": 20, "hidden": 0},
    }
