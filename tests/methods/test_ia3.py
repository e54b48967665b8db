"""(IA)³ puts its factors on keys, values and inner features, whatever a family calls them."""

import pytest
import torch

from attune.errors import UnsupportedError
from attune.methods import ia3
from attune.training.optimiser import build, moving
from support.cells import shake

FACTORS = {
    "bert": (["attention.self.key", "attention.self.value"], "output.dense"),
    "roberta": (["attention.self.key", "attention.self.value"], "output.dense"),
    "distilbert": (["attention.k_lin", "attention.v_lin"], "ffn.lin2"),
    "electra": (["attention.self.key", "attention.self.value"], "output.dense"),
    "modernbert": (["attn.Wqkv"], "mlp.Wo"),
}


@pytest.mark.parametrize("kind", FACTORS)
def test_the_maps_are_found_by_what_they_do(make, kind):
    on = make("frozen", kind)
    scaled, read = FACTORS[kind]
    assert ia3.factors(on.model.backbone) == ([scaled], [read])
    tuned = make("ia3", kind)
    network = tuned.model.backbone.network
    for name, module in network.named_modules():
        if hasattr(module, "ia3_l"):
            assert module.is_feedforward == name.endswith(read) and "attention.output" not in name
    count = sum(".ia3_l." in name for name, _ in moving(tuned.model))
    assert count == 2 * (len(scaled) + 1)


def test_layers_without_such_maps_are_refused_with_their_names(make):
    backbone = make("frozen").model.backbone
    for layer in backbone.network.encoder.layer:
        layer.attention = torch.nn.ModuleDict({"mixing": torch.nn.Linear(32, 32)})
    with pytest.raises(UnsupportedError, match=r"attention\.mixing, intermediate\.dense") as caught:
        ia3.factors(backbone)
    assert "lora" in caught.value.remedy


def test_decay_does_not_pull_the_factors_from_one_to_zero(make):
    def decayed(method):
        on = make(method, training={"weight_decay": 0.5})
        mine = {id(value) for name, value in moving(on.model) if name.startswith("backbone.")}
        groups = build(on.model, on.recipe.training).param_groups
        return {group["weight_decay"] for group in groups if {id(value) for value in group["params"]} & mine}

    assert decayed("ia3") == {0.0}
    assert decayed("lora") == {0.5}


def test_plain_peft_reads_what_is_saved(make, features, tmp_path):
    on = make("ia3")
    shake(on)
    on.model.method.save(on.model.backbone, tmp_path, "bert")
    torch.testing.assert_close(features(on, tmp_path), features(on))
    assert not torch.allclose(features(on), features(make("ia3")), atol=1e-2)
