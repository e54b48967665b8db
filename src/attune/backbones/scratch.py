"""Backbones from scratch: a size and a tokenizer become a checkpoint folder, its weights drawn from the seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from transformers import CONFIG_MAPPING, PreTrainedTokenizerBase

from attune.core.recipe import Options
from attune.errors import RecipeError, nearest

NAME = "scratch"
"""What a recipe calls a backbone that is made in the run."""
WIDER = 4
"""Features of the feed-forward layers for each of the network's, where a recipe does not say (Vaswani et al. 2017)."""
FEED_FORWARD = ("intermediate_size", "hidden_dim", "n_inner", "d_ff", "ffn_dim")
"""What configs call the width of the feed-forward layers."""


UNNAMED = frozenset({"decoder_start_token_id"})
"""What some configs must be told and do not name before they are."""


class ScratchOptions(Options):
    """The size of a backbone made from nothing."""

    architecture: str = ""
    """A kind of network, by transformers' name for it. Empty: the family's usual one."""
    layers: int = Field(4, ge=1, le=200)
    """Layers."""
    width: int = Field(256, ge=8, le=65_536)
    """Features of a token; a multiple of `heads`."""
    heads: int = Field(4, ge=1, le=1024)
    """Attention heads."""
    feed_forward: int = Field(0, ge=0)
    """Features inside the feed-forward layers. 0: four times `width`."""
    positions: int = Field(512, ge=16, le=1_000_000)
    """Tokens that the network can read at once, special tokens included."""


def blank(
    size: ScratchOptions, architectures: Sequence[str], tokens: int, numbers: Mapping[str, int], **more: Any
) -> Any:
    """The config of a network that does not exist yet.

    Configs name the same things differently; transformers' own `attribute_map` translates.

    Args:
        size: How large.
        architectures: The kinds of network that the family makes from nothing, the usual one first.
        tokens: Tokens of the vocabulary.
        numbers: Numbers of special tokens, as `pad_token_id`.
        **more: Further values of the config by its own names, for what a family has besides (a decoder's layers).

    Returns:
        A transformers config.

    Raises:
        RecipeError: There is no such architecture, or the width cannot be divided among the heads.
    """
    kind = size.architecture or architectures[0]
    if kind not in architectures:
        raise RecipeError(
            f"architecture = {kind!r}", where="[backbone.scratch]", expected="one that this family makes from nothing",
            remedy=nearest(kind, list(architectures)),
        )  # fmt: skip
    config_class: Any = CONFIG_MAPPING[kind]
    usual = config_class()
    each = 2 if hasattr(usual, "rope_parameters") else 1  # rotary positions turn features two by two
    if size.width % (step := size.heads * each):
        raise RecipeError(
            f"width = {size.width} cannot be divided among heads = {size.heads}",
            where="[backbone.scratch]",
            expected=f"a multiple of {step}{' (rotary positions take features two by two)' * (each > 1)}",
            remedy=f"set width = {size.width + step - size.width % step}, or another number of heads",
        )
    inner = next((name for name in FEED_FORWARD if hasattr(usual, name)), "intermediate_size")
    wanted = {
        "vocab_size": tokens, "num_hidden_layers": size.layers, "hidden_size": size.width,
        "num_attention_heads": size.heads, "max_position_embeddings": size.positions,
        "num_key_value_heads": size.heads, "embedding_size": size.width,
        inner: size.feed_forward or WIDER * size.width, **numbers, **more,
    }  # fmt: skip
    named: dict[str, str] = getattr(config_class, "attribute_map", {})
    return config_class(
        **{named.get(key, key): value for key, value in wanted.items() if hasattr(usual, key) or key in UNNAMED}
    )


def special_numbers(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """The numbers of a tokenizer's special tokens, as configs call them."""
    names = [f"{role}_token_id" for role in ("pad", "bos", "eos", "cls", "sep", "mask")]
    return {name: number for name in names if (number := getattr(tokenizer, name, None)) is not None}


def initialise(config: Any, kind: Any, tokenizer: PreTrainedTokenizerBase, folder: Path, seed: int) -> None:
    """Writes a network with random weights, as its architecture draws them, and its tokenizer.

    Args:
        config: What network.
        kind: The transformers class that makes one of a config, such as `AutoModel`.
        tokenizer: Its tokenizer.
        folder: Where; made.
        seed: Equal seeds give equal bytes.
    """
    torch.manual_seed(seed)
    network = kind.from_config(config)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
