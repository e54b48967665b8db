"""P-tuning: virtual tokens that a small network makes (Liu et al. 2021); the network is peft's."""

from __future__ import annotations

from typing import ClassVar, Literal

from peft import PromptEncoder, PromptEncoderConfig
from pydantic import Field

from attune.core.recipe import Options
from attune.methods.base import Method, Tunable
from attune.methods.virtual import NO_WEIGHTS, read_with


class PTuningOptions(Options):
    """Virtual tokens with every text, made by a small network."""

    name: Literal["p_tuning"] = "p_tuning"
    tokens: int = Field(20, ge=1)
    """Virtual tokens."""
    hidden: int = Field(128, ge=1)
    """Features inside the network that makes them."""


class PTuning(Method):
    """Moves a small network that makes virtual tokens; the published weights stay."""

    Options: ClassVar[type[Options]] = PTuningOptions
    needs: ClassVar[frozenset[str]] = frozenset({"inputs_embeds"})
    summary: ClassVar[str] = "virtual tokens like `prompt`, made by a small network, which learns them sooner"
    cannot_merge: ClassVar[str] = NO_WEIGHTS
    rate: ClassVar[float] = 1e-3
    head_rate: ClassVar[float] = 1e-3

    @property
    def positions(self) -> int:
        """One a virtual token."""
        return self.options.tokens

    def apply(self, backbone: Tunable) -> None:
        """Puts the virtual tokens with every text."""
        config = PromptEncoderConfig(
            num_virtual_tokens=self.options.tokens,
            num_transformer_submodules=1,
            token_dim=backbone.reader.get_input_embeddings().embedding_dim,
            encoder_hidden_size=self.options.hidden,
        )
        read_with(backbone, PromptEncoder(config), self.options.tokens)
