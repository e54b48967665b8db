"""Prefix tuning: virtual keys and values in the attention of every layer (Li & Liang 2021); made by peft's encoder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from peft import PrefixEncoder, PrefixTuningConfig
from pydantic import Field
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from attune.core.recipe import Options
from attune.methods.base import Method, Tunable
from attune.methods.virtual import install

START = 0.02
"""Standard deviation of keys and values at the start, where no network makes them."""


class PrefixOptions(Options):
    """Virtual keys and values in every layer."""

    name: Literal["prefix"] = "prefix"
    tokens: int = Field(20, ge=1)
    """Virtual keys and values a layer."""
    hidden: int = Field(0, ge=0)
    """Features inside a network that makes them; 0 learns them directly."""


class Prefix(Method):
    """Moves virtual keys and values; the published weights stay."""

    Options: ClassVar[type[Options]] = PrefixOptions
    needs: ClassVar[frozenset[str]] = frozenset({"key_value_prefix"})
    summary: ClassVar[str] = "virtual keys and values in every layer; small bundles, and no position of the text taken"
    cannot_merge: ClassVar[str] = "its virtual keys and values stand beside every text and are no change of the weights"
    rate: ClassVar[float] = 1e-2
    head_rate: ClassVar[float] = 1e-3

    def apply(self, backbone: Tunable) -> None:
        """Puts the virtual keys and values beside those of the text, in every layer."""
        count, layers = self.options.tokens, backbone.layers_count
        config = PrefixTuningConfig(
            num_virtual_tokens=count,
            token_dim=key_width(backbone.network.config),
            num_layers=layers,
            encoder_hidden_size=self.options.hidden,
            prefix_projection=self.options.hidden > 0,
        )
        encoder = PrefixEncoder(config)
        if not self.options.hidden:
            nn.init.normal_(encoder.embedding.weight, std=START)
        base = install(backbone, encoder, count)
        base.register_forward_pre_hook(partial(make, layers), with_kwargs=True)
        for index, layer in enumerate(backbone.network.get_submodule(backbone.layers_path)):
            layer.register_forward_pre_hook(partial(choose, index), with_kwargs=True)
        backbone.kernels = register()
        backbone.attend("sdpa")


def key_width(config: Any) -> int:
    """Features of a token's keys, all heads together."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    return heads * (getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def make(
    layers: int, network: Any, arguments: tuple[Any, ...], keywords: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Makes `(L, 2, N, D)` keys and values and hands them on to the layers; a forward pre-hook."""
    rows: Tensor = network.virtual()
    prefix = rows.view(len(rows), layers, 2, -1).permute(1, 2, 0, 3)
    return arguments, {**keywords, "prefix": prefix}


def choose(
    index: int, layer: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Leaves a layer its own keys and values `(2, N, D)`; a forward pre-hook."""
    del layer
    return arguments, {**keywords, "prefix": keywords["prefix"][index]}


def register() -> dict[str, str]:
    """Tells transformers of attention with a prefix.

    Returns:
        The name of the kernel with a prefix, by that of the kernel without.
    """
    names = {kernel: f"attune_prefix_{kernel}" for kernel in ("sdpa", "eager")}
    for kernel, name in names.items():
        AttentionInterface.register(name, partial(attend, kernel))
        AttentionMaskInterface.register(name, AttentionMaskInterface()[kernel])
    return names


def attend(
    kernel: str, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: Any
) -> tuple[Tensor, Tensor | None]:
    """Attention in which every token also sees the prefix; an attention function as transformers calls it.

    Args:
        kernel: `sdpa` or `eager`.
        module: The attention module.
        query: `(B, H, T, F)`.
        key: `(B, H, T, F)`, with as many heads as `value` has.
        value: `(B, H, T, F)`.
        mask: `(B, 1, T, T)` bool or additive, or nothing where all tokens see each other.
        **options: What the kernel takes besides, and `prefix` `(2, N, D)`.

    Returns:
        Output `(B, T, H, F)`, and weights where the kernel gives them.
    """
    keys, values = options.pop("prefix")
    if mask is not None:
        seen = torch.ones if mask.dtype == torch.bool else torch.zeros
        mask = torch.cat([seen(*mask.shape[:-1], len(keys), dtype=mask.dtype, device=mask.device), mask], -1)
    own: Callable[..., Any] = vars(sys.modules[type(module).__module__])["eager_attention_forward"]
    inner = own if kernel == "eager" else AttentionInterface()[kernel]
    return inner(module, query, before(keys, key), before(values, value), mask, **options)


def before(rows: Tensor, real: Tensor) -> Tensor:
    """Puts rows `(N, D)` before the keys or values `(B, H, T, F)` of every text."""
    batch, heads, _, features = real.shape
    split = rows.to(real.dtype).view(len(rows), heads, features).transpose(0, 1)
    return torch.cat([split.expand(batch, -1, -1, -1), real], 2)
