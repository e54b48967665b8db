"""How texts are generated, as a recipe says it."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from attune.core.decoding import Decoding
from attune.core.recipe import Options


class DecodingOptions(Options):
    """How a text is searched for or drawn, and what it must and must not say."""

    beams: int = Field(1, ge=1, le=64)
    """Texts that are kept beside each other by beam search; 1: greedy search."""
    candidates: int = Field(1, ge=1, le=64)
    """Texts a row; the first is the answer, the others are told beside it."""
    sample: bool = False
    """Whether tokens are drawn by their probability. A row's draw depends on its text and `seed` alone."""
    temperature: float = Field(1.0, gt=0)
    """Divides the logits before a draw."""
    top_k: int = Field(0, ge=0)
    """Only the so many likeliest tokens are drawn; 0: all."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Only the likeliest tokens that have so much of the probability between them are drawn; 1: all."""
    shortest: int = Field(0, ge=0)
    """Tokens before which a text cannot end."""
    length: float = 1.0
    """Exponent of the length by which beam search divides a text's score; above 1 favours long texts."""
    repetition: float = Field(1.0, gt=0)
    """Divides the probability of tokens that are there already; 1: none."""
    no_repeat: int = Field(0, ge=0)
    """No run of so many tokens occurs twice; 0: any may."""
    forbidden: tuple[str, ...] = ()
    """Phrases that are not said."""
    required: tuple[str, ...] = ()
    """Phrases that every text holds."""
    seed: int = 0
    """Seed of draws."""

    @model_validator(mode="after")
    def together(self) -> DecodingOptions:
        """Refuses values that do not go together."""
        for found, wrong in (
            (f"sample = true with beams = {self.beams}", self.sample and self.beams > 1),
            (
                f"candidates = {self.candidates} of beams = {self.beams}, which differ in nothing",
                not self.sample and self.candidates > self.beams,
            ),
        ):
            if wrong:
                raise ValueError(found)
        return self

    def decoding(self, longest: int) -> Decoding:
        """What a backbone is asked for, for texts of at most so many tokens."""
        values: dict[str, Any] = self.model_dump()
        return Decoding(longest=longest, **values)
