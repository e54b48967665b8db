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
from attune.methods.virtual import Virtual, install

Arguments = tuple[Any, ...]

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
            token_dim=backbone.stacks[0].keys,
            num_layers=layers,
            encoder_hidden_size=self.options.hidden,
            prefix_projection=self.options.hidden > 0,
        )
        encoder = PrefixEncoder(config)
        if not self.options.hidden:
            nn.init.normal_(encoder.embedding.weight, std=START)
        virtual = install(backbone, encoder, count)
        below = 0
        for stack in backbone.stacks:
            runs = backbone.network.get_submodule(stack.path.rpartition(".")[0])
            own = slice(below, below + stack.count)
            runs.register_forward_pre_hook(partial(make, virtual, layers, own), with_kwargs=True)
            for index, layer in enumerate(backbone.network.get_submodule(stack.path)):
                onward = any(getattr(part, "is_causal", False) for part in layer.modules())
                layer.register_forward_pre_hook(partial(choose, index, onward), with_kwargs=True)
            below += stack.count
        backbone.kernels = register()
        backbone.attend("sdpa")


def make(
    virtual: Virtual, layers: int, own: slice, runs: nn.Module, arguments: Arguments, keywords: Mapping[str, Any]
) -> tuple[Arguments, dict[str, Any]]:
    """Makes keys and values `(L, 2, N, D)` and hands a stack its own of them; a forward pre-hook."""
    del runs
    rows: Tensor = virtual()
    prefix = rows.view(len(rows), layers, 2, -1).permute(1, 2, 0, 3)
    return arguments, {**keywords, "prefix": prefix[own]}


def choose(
    index: int, onward: bool, layer: nn.Module, arguments: Arguments, keywords: Mapping[str, Any]
) -> tuple[Arguments, dict[str, Any]]:
    """Leaves a layer its own keys and values `(2, N, D)`; a forward pre-hook.

    With them goes whether the layer has attention that looks only back: a decoder's attention to what it reads has
    another object than its own text, and gets no prefix.
    """
    del layer
    return arguments, {**keywords, "prefix": (keywords["prefix"][index], onward)}


def register() -> dict[str, str]:
    """Tells transformers of attention with a prefix.

    Returns:
        The name of the kernel with a prefix, by that of the kernel without.
    """
    names = {kernel: f"attune_prefix_{kernel}" for kernel in ("sdpa", "eager")}
    for kernel, name in names.items():
        AttentionInterface.register(name, partial(attend, kernel))
        AttentionMaskInterface.register(name, partial(written_out, AttentionMaskInterface()[kernel]))
    return names


def written_out(mask: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """A mask as transformers makes it, never left out as one that a kernel knows by itself, without the prefix."""
    return mask(*arguments, **{**options, "allow_is_causal_skip": False})


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
        **options: What the kernel takes besides, and `prefix`: `(2, N, D)`, and whether only attention that looks back
            gets it.

    Returns:
        Output `(B, T, H, F)`, and weights where the kernel gives them.
    """
    own: Callable[..., Any] = vars(sys.modules[type(module).__module__])["eager_attention_forward"]
    inner = own if kernel == "eager" else AttentionInterface()[kernel]
    (keys, values), onward = options.pop("prefix")
    if onward and not getattr(module, "is_causal", False):
        return inner(module, query, key, value, mask, **options)
    if mask is not None:
        mask = widened(mask, len(keys), seen=mask.dtype == torch.bool)
    if options.get("position_bias") is not None:
        options["position_bias"] = widened(options["position_bias"], len(keys), seen=False)
    return inner(module, query, before(keys, key), before(values, value), mask, **options)


def widened(mask: Tensor, count: int, *, seen: bool) -> Tensor:
    """A mask or a bias `(B, H, T, S)` with as many columns before it as the prefix has rows, all ones or all zeros."""
    return torch.cat([mask.new_full((*mask.shape[:-1], count), seen), mask], -1)


def before(rows: Tensor, real: Tensor) -> Tensor:
    """Puts rows `(N, D)` before the keys or values `(B, H, T, F)` of every text."""
    batch, heads, _, features = real.shape
    split = rows.to(real.dtype).view(len(rows), heads, features).transpose(0, 1)
    return torch.cat([split.expand(batch, -1, -1, -1), real], 2)
