"""Sub-layers are found by the widths of linear maps, in families that this file alone names."""

from types import SimpleNamespace

import pytest
import torch
import transformers
from torch import nn

from attune.backbones.networks import Stack, stack_of
from attune.errors import UnsupportedError
from attune.methods.sublayers import find, of_layer
from support.tiny import COMMON, CONFIGS

SIZE = 60
ROTARY = {"num_key_value_heads": 2, "head_dim": 16, "pad_token_id": 0}
OTHERS = {
    "deberta": lambda size: transformers.DebertaV2Config(vocab_size=size, **COMMON),
    "mpnet": lambda size: transformers.MPNetConfig(vocab_size=size, **COMMON),
    "roformer": lambda size: transformers.RoFormerConfig(vocab_size=size, **COMMON),
    "convbert": lambda size: transformers.ConvBertConfig(vocab_size=size, **COMMON),
    "nomic": lambda size: transformers.NomicBertConfig(vocab_size=size, **ROTARY, **COMMON),
    "eurobert": lambda size: transformers.EuroBertConfig(vocab_size=size, **ROTARY, **COMMON),
}
FOUND = {
    "bert": ("attention.output.dense", "intermediate.dense", "output.dense"),
    "roberta": ("attention.output.dense", "intermediate.dense", "output.dense"),
    "distilbert": ("attention.out_lin", "ffn.lin1", "ffn.lin2"),
    "electra": ("attention.output.dense", "intermediate.dense", "output.dense"),
    "modernbert": ("attn.Wo", "mlp.Wi", "mlp.Wo"),
    "deberta": ("attention.output.dense", "intermediate.dense", "output.dense"),
    "mpnet": ("attention.attn.o", "intermediate.dense", "output.dense"),
    "roformer": ("attention.output.dense", "intermediate.dense", "output.dense"),
    "convbert": ("attention.output.dense", "intermediate.dense", "output.dense"),
    "nomic": ("self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj"),
    "eurobert": ("self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj"),
}


def built(config, device="cpu"):
    """A network of random weights, with its layers."""
    torch.manual_seed(0)
    with torch.device(device):
        network = transformers.AutoModel.from_config(config).eval()
    return SimpleNamespace(network=network, stacks=(stack_of(network, network, config, config.num_hidden_layers),))


@pytest.mark.parametrize("kind", FOUND)
def test_the_sub_layers_are_found_and_are_called_in_that_order(kind):
    made = built({**CONFIGS, **OTHERS}[kind](SIZE))
    places = find(made)
    stack = made.network.get_submodule(made.stacks[0].path)
    assert len(places) == len(stack) == 2
    called = []
    for layer, place in zip(stack, places, strict=True):
        names = {module: name for name, module in layer.named_modules()}
        found = (place.attention, place.wide, place.narrow)
        assert tuple(names[module] for module in found) == FOUND[kind]
        for module in found:
            module.register_forward_hook(lambda module, _inputs, _output: called.append(module))
    made.network(input_ids=torch.arange(5, 12)[None], attention_mask=torch.ones(1, 7, dtype=torch.long))
    assert called == [module for place in places for module in (place.attention, place.wide, place.narrow)]


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (transformers.SqueezeBertConfig(num_hidden_layers=2), "no linear maps lead back to the width of 768"),
        (transformers.IBertConfig(num_hidden_layers=2), "no linear maps lead back to the width of 768"),
        (transformers.MobileBertConfig(num_hidden_layers=2), "5 linear maps lead back to the width of 512"),
        (transformers.XLMConfig(n_layers=2), "no linear maps lead back to the width of 2048"),
        (transformers.BertConfig(num_hidden_layers=2, intermediate_size=768), "no linear maps lead back"),
    ],
)
def test_a_layer_made_otherwise_is_refused_with_what_works(config, told):
    with pytest.raises(UnsupportedError, match=told) as caught:
        find(built(config, "meta"))
    assert f"in layer 0 of {config.__class__.__name__.removesuffix('Config')}Model" in caught.value.found
    assert "full or frozen" in caught.value.remedy


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        (
            {"attention": (32, 16), "up": (32, 48), "down": (48, 32)},
            "attention ends with attention, which does not give",
        ),
        ({"attention": (32, 32), "up": (32, 40), "down": (48, 32)}, "no linear map widens from 32 to the 48 features"),
        ({"up": (32, 48), "down": (48, 32), "another": (48, 32)}, "2 linear maps lead back"),
    ],
)
def test_widths_that_do_not_fit_are_named(sizes, told):
    with pytest.raises(LookupError, match=told):
        of_layer([(name, nn.Linear(*size)) for name, size in sizes.items()], 32)


def test_a_layer_without_linear_maps_in_attention_has_none():
    places = find(built(transformers.FNetConfig(num_hidden_layers=2), "meta"))
    assert [place.attention for place in places] == [None, None]


def test_a_map_that_is_read_and_never_called_is_no_place():
    layer = nn.TransformerEncoderLayer(32, 2, 48)
    network = nn.Module()
    network.layers = nn.ModuleList([layer])
    (place,) = find(SimpleNamespace(network=network, stacks=(Stack("layers", 1, 32, 32),)))
    assert isinstance(layer.self_attn.out_proj, nn.Linear)
    assert place.attention is None
    assert (place.wide, place.narrow) == (layer.linear1, layer.linear2)
