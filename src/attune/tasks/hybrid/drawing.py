"""Texts drawn from an n-gram model of texts with places, filled with the values of a meaning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attune.tasks.hybrid.lexicon import Lexicon
from attune.tasks.hybrid.meaning import Meaning
from attune.tasks.hybrid.ngram import NGrams, text_of, tokens_of
from attune.tasks.hybrid.templates import PLACE, Template, delexicalised


class Drawer:
    """Draws texts that say a meaning.

    Args:
        model: Of texts with `{slot}` where a value stands.
        lexicon: How values are said.
    """

    def __init__(self, model: NGrams, lexicon: Lexicon) -> None:
        self.model, self.lexicon = model, lexicon

    @classmethod
    def learn(cls, pairs: Sequence[tuple[Meaning, str]], lexicon: Lexicon, order: int = 4) -> Drawer:
        """Learns from texts without slot error.

        Args:
            pairs: Meanings with texts.
            lexicon: How values are said.
            order: Words of the longest n-gram.

        Returns:
            What draws.
        """
        bare = [delexicalised(text, meaning, lexicon) for meaning, text in pairs]
        return cls(NGrams.learn((tokens_of(text) for text in bare if text), order), lexicon)

    def draw(self, meaning: Meaning, count: int, seed: int) -> list[str]:
        """Draws texts in which each slot of the meaning is said at most once, and no other.

        Args:
            meaning: Slot to value.
            count: How many.
            seed: Seed of the draw.

        Returns:
            Texts, filled; they may leave out slots.
        """
        random = np.random.default_rng(seed)
        return [self._one(meaning, random) for _ in range(count)]

    def _one(self, meaning: Meaning, random: np.random.Generator) -> str:
        said: list[str] = []

        def allowed(token: str) -> bool:
            place = PLACE.fullmatch(token.replace("\u00a0", " "))
            return not place or (place[1] in meaning and token not in said)

        self.model.draw(random, into=said, allowed=allowed)
        return Template(text_of(said)).filled(meaning, self.lexicon)
