"""Prompt tuning: virtual tokens that are learned directly (Lester et al. 2021)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from attune.core.recipe import Options
from attune.errors import RecipeError
from attune.methods.base import Method, Tunable
from attune.methods.virtual import NO_WEIGHTS, read_with, word_vectors


class PromptOptions(Options):
    """Virtual tokens with every text, learned directly."""

    name: Literal["prompt"] = "prompt"
    tokens: int = Field(20, ge=1)
    """Virtual tokens."""
    init_text: str = ""
    """Words they begin as, cut or repeated to fit; empty for words drawn from the vocabulary."""


class Prompt(Method):
    """Moves virtual tokens; the published weights stay."""

    Options: ClassVar[type[Options]] = PromptOptions
    needs: ClassVar[frozenset[str]] = frozenset({"inputs_embeds"})
    summary: ClassVar[str] = "a few virtual tokens read with every text; the smallest bundles, and slow to learn"
    cannot_merge: ClassVar[str] = NO_WEIGHTS
    rate: ClassVar[float] = 1e-2
    head_rate: ClassVar[float] = 1e-3

    @property
    def positions(self) -> int:
        """One a virtual token."""
        return self.options.tokens

    def apply(self, backbone: Tunable) -> None:
        """Puts the virtual tokens with every text, begun as word vectors."""
        count = self.options.tokens
        with torch.no_grad():
            begun = word_vectors(backbone.reader, begin(backbone, self.options.init_text, count)).clone()
        read_with(backbone, nn.Embedding.from_pretrained(begun, freeze=False), count)


def begin(backbone: Tunable, text: str, count: int) -> Tensor:
    """The words that virtual tokens begin as.

    Args:
        backbone: For its tokenizer.
        text: Cut or repeated to fit; empty for a draw, for which Lester et al. found words better than noise.
        count: Virtual tokens, N.

    Returns:
        `(N,)` token ids.

    Raises:
        RecipeError: The text holds no token.
    """
    if not text:
        special = set(backbone.tokenizer.all_special_ids)
        known = [number for number in range(len(backbone.tokenizer)) if number not in special]
        return torch.tensor(known)[torch.randint(len(known), (count,))]
    ids: list[int] = backbone.tokenizer(text, add_special_tokens=False)["input_ids"]
    if not ids:
        raise RecipeError(
            f"{text!r} holds no token",
            where="method.init_text",
            expected="words that the backbone's tokenizer reads",
            remedy="write words, or leave it empty for a draw from the vocabulary",
        )
    return torch.tensor((ids * -(-count // len(ids)))[:count])
