"""Texts drawn from n-grams of templates, filled with the values of a meaning."""

from __future__ import annotations

import numpy as np

from attune.tasks.common.slots import Meaning
from attune.tasks.hybrid.ngram import NGrams, text_of, tokens_of
from attune.tasks.hybrid.templates import PLACE, Template, Templates

FEWEST = 20
"""Templates of exactly the slots of a meaning, below which those that say some of them are taken too."""
KEPT = 512
"""Sets of slots whose n-grams are kept; the oldest make room."""


class Drawer:
    """Draws texts that recombine templates, n-gram by n-gram.

    The n-grams are those of the templates that say what a meaning has, counted when such a meaning first comes.

    Args:
        templates: Learned ones.
        order: Words of the longest n-gram.
    """

    def __init__(self, templates: Templates, order: int = 4) -> None:
        self.templates, self.order = templates, order
        self.models: dict[frozenset[str], NGrams] = {}

    def model(self, slots: frozenset[str]) -> NGrams:
        """The n-grams of the templates of these slots; of parts of them too, where there are few."""
        if slots not in self.models:
            if len(self.models) == KEPT:
                del self.models[next(iter(self.models))]
            chosen = self.templates.by_slots.get(slots, [])
            if len(chosen) < FEWEST:
                chosen = [one for one in self.templates.all if one.slots <= slots]
            texts = [tokens_of(one.text) for one in chosen for _ in range(max(one.count, 1))]
            self.models[slots] = NGrams.learn(texts, self.order)
        return self.models[slots]

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
        model = self.model(frozenset(meaning))
        return [self._one(model, meaning, random) for _ in range(count)]

    def _one(self, model: NGrams, meaning: Meaning, random: np.random.Generator) -> str:
        said: list[str] = []
        model.draw(random, into=said, allowed=lambda token: not PLACE.match(token) or token not in said)
        return Template(text_of(said)).filled(meaning, self.templates.lexicon)
