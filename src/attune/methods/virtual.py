"""Virtual tokens: vectors that a network reads with every text and that are no part of it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from attune.methods.base import Tunable, freeze

Arguments = tuple[Any, ...]
NO_WEIGHTS = "its virtual tokens are read with every text and are no change of the weights"
"""Why what is read with every text cannot be merged."""


class Virtual(nn.Module):
    """Numbered rows of an encoder, the same for every text.

    Args:
        encoder: Row numbers `(N,)` to vectors `(N, E)`.
        count: Rows, N.
    """

    def __init__(self, encoder: nn.Module, count: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.count = count
        self.register_buffer("numbers", torch.arange(count), persistent=False)

    def forward(self) -> Tensor:
        """The rows `(N, E)`."""
        return self.encoder(self.numbers)


def install(backbone: Tunable, encoder: nn.Module, count: int) -> Virtual:
    """Freezes a backbone and puts virtual rows, which move, on the part of it that reads texts.

    Args:
        backbone: Fresh; changed in place.
        encoder: Row numbers `(N,)` to vectors `(N, E)`.
        count: Rows, N.

    Returns:
        The rows.
    """
    freeze(backbone)
    virtual = Virtual(encoder, count)
    backbone.reader.add_module("virtual", virtual)
    return virtual


def word_vectors(network: Any, ids: Tensor) -> Tensor:
    """Word vectors `(…, E)` of token ids as a network takes them from outside; some scale their own after look-up."""
    return network.get_input_embeddings()(ids) * getattr(network, "embed_scale", 1.0)


def read_with(backbone: Tunable, encoder: nn.Module, count: int) -> None:
    """Makes a backbone read virtual tokens with every text, and strips them from what comes out.

    They enter as word vectors, so that the network adds positions as it does to words. Behind the text rather than
    before it, every real token keeps its position and its neighbours, the first token stays the first, and a row's
    virtual tokens are at the same positions whatever it is padded to. Where a token sees only those before it, they
    are before the text, or nothing would see them.

    Args:
        backbone: Fresh; changed in place.
        encoder: Row numbers `(N,)` to vectors `(N, E)` as wide as the word vectors.
        count: Virtual tokens, N.
    """
    install(backbone, encoder, count)
    backbone.taken = count
    first, last = (enter_before, leave_before) if backbone.onward else (enter_behind, leave_behind)
    backbone.reader.register_forward_pre_hook(first, with_kwargs=True)
    backbone.reader.register_forward_hook(last, with_kwargs=True)


def enter_before(network: Any, arguments: Arguments, keywords: Mapping[str, Any]) -> tuple[Arguments, Any]:
    """Puts word vectors with virtual ones before them in place of token ids; a forward pre-hook.

    Where a cache holds the keys and values of what was read before, the virtual tokens' are among them.
    """
    given = {**dict(zip(parameters(type(network)), arguments, strict=False)), **keywords}
    count = network.virtual.count
    mask, places = given.get("attention_mask"), given.get("position_ids")
    if mask is not None:
        given["attention_mask"] = torch.cat([mask.new_ones(len(mask), count), mask], 1)
    if places is not None:
        given["position_ids"] = places + count
    if cached(given):
        return (), given
    words = word_vectors(network, given.pop("input_ids"))
    virtual = network.virtual().to(words.dtype).expand(len(words), -1, -1)
    given["inputs_embeds"] = torch.cat([virtual, words], 1)
    if places is not None:
        own = torch.arange(count, device=places.device).expand(len(places), -1)
        given["position_ids"] = torch.cat([own, places + count], 1)
    return (), given


def leave_before(network: Any, arguments: Arguments, keywords: Mapping[str, Any], output: Any) -> Any:
    """Cuts the output to as many tokens as came in; a forward hook."""
    del arguments
    if keywords.get("inputs_embeds") is not None:
        output.last_hidden_state = output.last_hidden_state[:, network.virtual.count :]
    return output


def cached(given: Mapping[str, Any]) -> bool:
    """Whether something was read before what is given."""
    past = given.get("past_key_values")
    return past is not None and past.get_seq_length() > 0


def enter_behind(network: Any, arguments: Arguments, keywords: Mapping[str, Any]) -> tuple[Arguments, Any]:
    """Puts word vectors with virtual ones behind them in place of token ids; a forward pre-hook."""
    given = {**dict(zip(parameters(type(network)), arguments, strict=False)), **keywords}
    ids = given.pop("input_ids")
    mask = given.get("attention_mask")
    mask = torch.ones_like(ids) if mask is None else mask
    given["inputs_embeds"], given["attention_mask"] = behind(word_vectors(network, ids), mask, network.virtual())
    if (types := given.get("token_type_ids")) is not None:  # virtual tokens are of type 0, as padding is
        given["token_type_ids"] = torch.cat([types, types.new_zeros(len(types), network.virtual.count)], 1)
    return (), given


def leave_behind(network: Any, arguments: Arguments, keywords: Mapping[str, Any], output: Any) -> Any:
    """Cuts the output to as many tokens as came in; a forward hook.

    A row shorter than the longest keeps virtual tokens where its padding was, which its mask leaves out.
    """
    del arguments, keywords
    output.last_hidden_state = output.last_hidden_state[:, : -network.virtual.count]
    return output


@cache
def parameters(kind: type) -> tuple[str, ...]:
    """The names of a network's arguments, in order."""
    return tuple(inspect.signature(kind.forward).parameters)[1:]  # pyright: ignore[reportAttributeAccessIssue]


def behind(words: Tensor, mask: Tensor, virtual: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of words, padded on the right, with the same vectors after the last word of each.

    Args:
        words: `(B, T, E)`.
        mask: `(B, T)`, one where there is a word.
        virtual: `(N, E)`.

    Returns:
        Vectors `(B, T + N, E)` and their mask `(B, T + N)`.
    """
    rows, _, width = words.shape
    count = len(virtual)
    places = mask.sum(1, keepdim=True) + torch.arange(count, device=mask.device)
    longer = torch.cat([words, words.new_zeros(rows, count, width)], 1)
    filled = longer.scatter(1, places[..., None].expand(-1, -1, width), virtual.to(words.dtype).expand(rows, -1, -1))
    return filled, torch.cat([mask, mask.new_zeros(rows, count)], 1).scatter(1, places, 1)
