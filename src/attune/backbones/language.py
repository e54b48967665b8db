"""A checkpoint's own language head, read and written in the family's own form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForMaskedLM

CLOSE = 0.01
"""Largest difference of a logit between the family's head and the same numbers in a dense layer, GELU and norm, as a
share of the logits' spread."""
EPSILON = 1e-12
PARTS = ("dense.weight", "dense.bias", "norm.weight", "norm.bias", "bias")


def own_head(folder: Path, config: Any) -> dict[str, Tensor]:
    """The language head that a checkpoint holds.

    Told by its structure, not by names: outside of the encoder one dense layer, one norm, and a map to the vocabulary
    tied to the word vectors. That this, with GELU between, is what the family computes is tried on a few tokens.

    Args:
        folder: Where config and weights are.
        config: The checkpoint's config.

    Returns:
        `dense.weight` `(E, D)`, `dense.bias` `(E,)`, `norm.weight`, `norm.bias` `(E,)`, `bias` `(V,)`; nothing where
        the checkpoint has no such head.
    """
    if not more_than_an_encoder(folder, config):
        return {}
    network, info = AutoModelForMaskedLM.from_pretrained(
        folder, config=config, dtype=torch.float32, output_loading_info=True, use_safetensors=True,
        local_files_only=True, trust_remote_code=False,
    )  # fmt: skip
    found = parts_of(network)
    fresh = {name for name in info["missing_keys"] if not name.startswith(f"{network.base_model_prefix}.")}
    if found is None or fresh:
        return {}
    head = {name: value.detach().clone() for name, value in found.items()}
    return head if computes(network.eval(), head) else {}


def more_than_an_encoder(folder: Path, config: Any) -> bool:
    """Whether a checkpoint has weights of a language head; told from its file's names, without reading it."""
    with torch.device("meta"):
        try:
            network = AutoModelForMaskedLM.from_config(config)
        except ValueError:  # a family without one
            return False
    prefix = f"{network.base_model_prefix}."
    own = {name for name, _ in network.named_parameters() if not name.startswith(prefix)}
    there: set[str] = set()
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as stream:
            there |= set(stream.keys())
    return bool(own & there)


def parts_of(network: Any) -> dict[str, Tensor] | None:
    """The parts of a family's language head by the names that attune has for them; none where it is built otherwise."""
    prefix = f"{network.base_model_prefix}."
    decoder: Any = network.get_output_embeddings()
    outside = [(name, module) for name, module in network.named_modules() if name and not f"{name}.".startswith(prefix)]
    dense = [module for _, module in outside if isinstance(module, nn.Linear) and module is not decoder]
    norms = [module for _, module in outside if isinstance(module, nn.LayerNorm)]
    if decoder is None:
        return None
    tied = decoder.weight is network.get_input_embeddings().weight
    if not (tied and len(dense) == len(norms) == 1):
        return None
    values = (dense[0].weight, dense[0].bias, norms[0].weight, norms[0].bias, decoder.bias)
    widths = (0, len(dense[0].weight), 0, len(norms[0].weight), len(decoder.weight))
    return {
        name: torch.zeros(width) if value is None else value
        for name, value, width in zip(PARTS, values, widths, strict=True)
    }


@torch.inference_mode()
def computes(network: Any, head: dict[str, Tensor]) -> bool:
    """Whether a dense layer, GELU, a norm and the word vectors with these numbers give the family's own logits."""
    ids = torch.arange(4, 20)[None] % network.config.vocab_size
    features = network.base_model(input_ids=ids).last_hidden_state
    dense = F.gelu(F.linear(features, head["dense.weight"], head["dense.bias"]))
    hidden = F.layer_norm(dense, dense.shape[-1:], head["norm.weight"], head["norm.bias"], EPSILON)
    logits = F.linear(hidden, network.get_input_embeddings().weight, head["bias"])
    own = network(input_ids=ids).logits
    return bool((logits - own).abs().max() < CLOSE * own.std())


def with_head(network: Any, head: dict[str, Tensor]) -> Any:
    """An encoder and a language head as the family's own class.

    Args:
        network: The plain encoder.
        head: As `own_head` gives it.

    Returns:
        The network that plain transformers knows; nothing where the family has no class that computes the same.
    """
    try:
        whole = AutoModelForMaskedLM.from_config(network.config).eval()
    except ValueError:
        return None
    whole.base_model.load_state_dict(network.state_dict(), strict=False)
    found = parts_of(whole)
    if found is None:
        return None
    with torch.no_grad():
        for name, value in found.items():
            value.copy_(head[name])
    return whole if computes(whole, head) else None
