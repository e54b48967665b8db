"""How a text is generated: its length, the search or the draw, and what it must not repeat or say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attune.errors import RecipeError

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Told:
    """What a backbone generated for one row.

    Attributes:
        texts: The candidates as token ids, best first, without what was there and without the end token.
        first: `(K,)` the largest probabilities of the first token, in falling order: what every later token rests on.
        margin: The smallest difference of the probabilities of a token that was taken and of the next best one, over
            all steps and candidates; zero of beam search, where no single step decides.
        ends: Of each candidate the token that ended it, `(1,)`; `(0,)` of one that was as long as it may be.
    """

    texts: list[Ids]
    first: NDArray[np.float32]
    margin: float
    ends: tuple[Ids, ...] = ()


@dataclass(frozen=True)
class Decoding:
    """What a generating backbone is asked for; the defaults are greedy search.

    Attributes:
        longest: Tokens of a generated text, at most; the end token is not counted.
        shortest: Tokens before which it cannot end.
        beams: Texts that are kept beside each other by beam search; 1 for greedy search.
        candidates: Texts a row; of beam search the best ones, else drawn apart.
        sample: Whether tokens are drawn by their probability.
        temperature: Divides the logits before a draw.
        top_k: Only the so many likeliest tokens are drawn; 0 for all.
        top_p: Only the likeliest tokens that have so much of the probability between them are drawn; 1 for all.
        repetition: Divides the probability of what is there already (Keskar et al. 2019); 1 for none.
        no_repeat: No run of so many tokens occurs twice; 0 where any may.
        length: Exponent of the length by which beam search divides a text's score; above 1 favours long texts.
        forbidden: Phrases that are not said.
        required: Phrases that every text holds: one that would end without them says them first.
        bare: Whether tokens follow the network's own probabilities alone: what a checkpoint's generation config forces
            or forbids is left out.
        seed: Of draws. A row's draw depends on the seed, its text and the candidate's number, and on no other row.

    Raises:
        RecipeError: Two values do not go together.
    """

    longest: int = 64
    shortest: int = 0
    beams: int = 1
    candidates: int = 1
    sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition: float = 1.0
    no_repeat: int = 0
    length: float = 1.0
    forbidden: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    bare: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for wrong, found, remedy in (
            (self.shortest > self.longest, f"a text of {self.shortest} to {self.longest} tokens", "raise longest"),
            (self.sample and self.beams > 1, f"a draw with {self.beams} beams", "use beams = 1, or do not sample"),
            (
                not self.sample and self.candidates > self.beams,
                f"{self.candidates} candidates of {self.beams} beam(s), which differ in nothing",
                f"use at least {self.candidates} beams, or sample",
            ),
        ):
            if wrong:
                raise RecipeError(found, where="decoding", expected="values that go together", remedy=remedy)
