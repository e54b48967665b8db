"""A checkpoint's own language head: found by its structure, tried, and written back."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM

from attune.backbones.language import own_head, with_head
from attune.compression.export import to_transformers
from attune.lifecycle.train import train
from attune.model.assemble import assemble, check
from attune.tasks.common.labelled import Labels
from support.bundles import made_up, recipe
from support.tiny import CONFIGS, backbone, tokenizer

LINES = [row["text"] for row in made_up(60)]


def whole(folder, kind):
    """Writes a tiny language model with a lively head."""
    words = tokenizer(LINES)
    torch.manual_seed(1)
    network = AutoModelForMaskedLM.from_config(CONFIGS[kind](len(words)))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    network.save_pretrained(folder)
    words.save_pretrained(folder)
    return network.eval()


def wanted(**tables):
    """A recipe for it."""
    base = {"data": {"train": "rows.txt", "validation_share": 0.0}, "task": {"name": "masked_lm"}}
    return recipe(**{name: {**base.get(name, {}), **tables.get(name, {})} for name in {*base, *tables}})


@pytest.mark.parametrize("kind", sorted(CONFIGS))
def test_the_head_begins_as_the_checkpoints_own(tmp_path, kind):
    network = whole(tmp_path / "tiny", kind)
    model = assemble(wanted(), check(wanted(), tmp_path), Labels((), ()))
    ids = model.encode([{"text": "please refund the parcel"}]).ids
    inputs = model.collate(ids)
    with torch.inference_mode():
        expected = network(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
        torch.testing.assert_close(model(inputs), expected, atol=2e-3, rtol=1e-3)


def test_a_plain_encoder_has_none_and_a_head_of_another_form_is_not_taken(tmp_path, monkeypatch):
    backbone(tmp_path / "plain")
    assert own_head(tmp_path / "plain", AutoConfig.from_pretrained(tmp_path / "plain")) == {}
    whole(tmp_path / "tiny", "bert")
    config = AutoConfig.from_pretrained(tmp_path / "tiny")
    assert set(own_head(tmp_path / "tiny", config)) == {
        "dense.weight",
        "dense.bias",
        "norm.weight",
        "norm.bias",
        "bias",
    }
    config.hidden_act = "tanh"
    assert own_head(tmp_path / "tiny", config) == {}


def test_an_export_of_a_family_whose_head_cannot_hold_the_numbers_is_the_encoder_with_the_head_beside_it(tmp_path):
    backbone(tmp_path / "tiny", "modernbert", LINES)  # its dense layer has no bias
    (tmp_path / "rows.txt").write_text("\n".join(LINES) + "\n")
    asked = wanted(method={"name": "full"}, training={"epochs": 1, "learning_rate": 5e-3, "head_learning_rate": 5e-3})
    bundle = train(asked, tmp_path, tmp_path / "run")
    assert "ModernBertModel weights and head.safetensors" in to_transformers(bundle, tmp_path / "out")
    inputs = bundle.model.collate(bundle.model.encode([{"text": "please refund the parcel"}]).ids)
    plain = AutoModel.from_pretrained(tmp_path / "out").eval()
    with torch.inference_mode():
        torch.testing.assert_close(plain(**inputs).last_hidden_state, bundle.model.read(inputs), atol=1e-5, rtol=1e-4)
    assert set(load_file(tmp_path / "out" / "head.safetensors")) == set(bundle.model.head.state_dict())


def test_an_export_is_the_familys_language_model_and_a_backbone(tmp_path):
    backbone(tmp_path / "tiny", "bert", LINES)
    (tmp_path / "rows.txt").write_text("\n".join(LINES) + "\n")
    asked = wanted(method={"name": "full"}, training={"epochs": 2, "learning_rate": 5e-3, "head_learning_rate": 5e-3})
    bundle = train(asked, tmp_path, tmp_path / "run")
    assert "MaskedLM" in to_transformers(bundle, tmp_path / "out")
    inputs = bundle.model.collate(bundle.model.encode([{"text": "please refund the parcel"}]).ids)
    network = AutoModelForMaskedLM.from_pretrained(tmp_path / "out").eval()
    with torch.inference_mode():
        torch.testing.assert_close(network(**inputs).logits, bundle.model(inputs), atol=2e-3, rtol=1e-3)
        plain = AutoModel.from_pretrained(tmp_path / "out").eval()
        torch.testing.assert_close(plain(**inputs).last_hidden_state, bundle.model.read(inputs), atol=1e-5, rtol=1e-4)
    again = wanted(backbone={"name": "out"})
    further = assemble(again, check(again, tmp_path), Labels((), ()))
    with torch.inference_mode():
        torch.testing.assert_close(further(inputs), bundle.model(inputs), atol=2e-3, rtol=1e-3)


def test_an_adapter_is_merged_into_the_export(tmp_path):
    backbone(tmp_path / "tiny", "bert", LINES)
    (tmp_path / "rows.txt").write_text("\n".join(LINES) + "\n")
    asked = wanted(method={"name": "lora", "rank": 4}, training={"epochs": 2, "learning_rate": 2e-2})
    bundle = train(asked, tmp_path, tmp_path / "run")
    to_transformers(bundle, tmp_path / "out")
    inputs = bundle.model.collate(bundle.model.encode([{"text": "please refund the parcel"}]).ids)
    plain = AutoModel.from_pretrained(tmp_path / "out").eval()
    with torch.inference_mode():
        torch.testing.assert_close(plain(**inputs).last_hidden_state, bundle.model.read(inputs), atol=1e-4, rtol=1e-3)
    network = AutoModelForMaskedLM.from_pretrained(tmp_path / "out")
    assert with_head(plain, bundle.model.head.state_dict()) is not None
    assert network.get_output_embeddings().weight is network.get_input_embeddings().weight
