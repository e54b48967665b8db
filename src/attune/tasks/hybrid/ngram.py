"""A word n-gram model: interpolated Kneser–Ney, which scores texts and draws them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from math import log
from typing import Any

import numpy as np

BEGIN, END = "<s>", "</s>"
TOKEN = re.compile(r"\{[^{}]+\}|£?\d+(?:[.,-]\d+)*|\w+(?:['’-]\w+)*|[^\w\s]")
"""A placeholder, a number, a word, or a sign."""
LEANING = frozenset(".,;:!?)]}%’'”")
"""Signs that no space stands before."""
OPENING = frozenset("([£$€“")
"""Signs that no space stands after."""
UNSEEN = 0.1
"""What a word that was never seen counts as, in words."""

Levels = list[dict[str, dict[str, int]]]
"""For contexts of 0, 1, … words, joined by spaces: how often each word follows."""


def tokens_of(text: str) -> list[str]:
    """Words, numbers, signs and placeholders of a text; none holds a space but placeholders, where it is a no-break."""
    return [token.replace(" ", "\u00a0") for token in TOKEN.findall(text)]


def text_of(tokens: Sequence[str]) -> str:
    """Tokens as a text."""
    text = ""
    for token in tokens:
        gap = "" if not text or token in LEANING or text[-1] in OPENING else " "
        text += gap + token.replace("\u00a0", " ")
    return text


class NGrams:
    """Interpolated Kneser–Ney with one discount (Kneser & Ney 1995; Chen & Goodman 1999, section 3), as nltk's.

    The longest context counts how often a word follows, shorter ones before how many different words it stood there.

    Args:
        levels: The counts.
        discount: What is taken from each count, between 0 and 1.
    """

    def __init__(self, levels: Levels, discount: float) -> None:
        self.levels, self.discount = levels, discount
        self.order = len(levels)
        self.totals = [{context: sum(after.values()) for context, after in level.items()} for level in levels]

    @classmethod
    def learn(cls, texts: Iterable[Sequence[str]], order: int = 4, discount: float = 0.75) -> NGrams:
        """Counts the n-grams of tokenised texts.

        Args:
            texts: Each a sequence of tokens without spaces.
            order: Words of the longest n-gram, at least 2.
            discount: What is taken from each count.

        Returns:
            The model.
        """
        grams: list[Counter[tuple[str, ...]]] = [Counter() for _ in range(order + 1)]
        for tokens in texts:
            padded = [BEGIN] * (order - 1) + list(tokens) + [END]
            for size in range(1, order + 1):
                grams[size].update(zip(*(padded[at:] for at in range(size)), strict=False))
        levels: Levels = []
        for size in range(1, order + 1):
            counted: defaultdict[str, Counter[str]] = defaultdict(Counter)
            if size == order:
                for gram, count in grams[size].items():
                    counted[" ".join(gram[:-1])][gram[-1]] = count
            else:
                for gram in grams[size + 1]:
                    counted[" ".join(gram[1:-1])][gram[-1]] += 1
            levels.append({context: dict(after) for context, after in counted.items()})
        return cls(levels, discount)

    def probability(self, word: str, context: Sequence[str]) -> float:
        """How probable a word is after others; of a word that was never seen a small number, beyond the sum of one."""
        probability = self._lowest(word)
        for size in range(1, self.order):
            if size > len(context):
                break
            before = " ".join(context[len(context) - size :])
            after = self.levels[size].get(before)
            if after is None:
                break
            total = self.totals[size][before]
            kept = max(after.get(word, 0) - self.discount, 0.0) / total
            probability = kept + self.discount * len(after) / total * probability
        return probability

    def _lowest(self, word: str) -> float:
        return self.levels[0].get("", {}).get(word, UNSEEN) / max(self.totals[0].get("", 1), 1)

    def fluency(self, tokens: Sequence[str]) -> float:
        """The mean logarithm of the probability of a text's tokens and of its end, in nats a token."""
        padded = [BEGIN] * (self.order - 1) + list(tokens) + [END]
        first = self.order - 1
        logs = [log(self.probability(padded[at], padded[at - first : at])) for at in range(first, len(padded))]
        return sum(logs) / len(logs)

    def draw(
        self,
        random: np.random.Generator,
        *,
        into: list[str],
        most: int = 80,
        allowed: Callable[[str], bool] = lambda token: True,
    ) -> None:
        """Draws a text, token after token, each of those that were seen after as many of the words before as can be.

        Args:
            random: Where chance comes from.
            into: Receives the tokens, the end left out; `allowed` may look at those that are there.
            most: Tokens after which it is broken off.
            allowed: Whether a token may come next.
        """
        while len(into) < most:
            word = self._next(random, [*[BEGIN] * (self.order - 1), *into[1 - self.order :]], allowed)
            if word == END:
                break
            into.append(word)

    def _next(self, random: np.random.Generator, tokens: Sequence[str], allowed: Callable[[str], bool]) -> str:
        """One token, of those that followed the longest context after which one may come."""
        for size in range(self.order - 1, -1, -1):
            context = list(tokens[len(tokens) - size :]) if size else []
            words = [word for word in self.levels[size].get(" ".join(context), {}) if word != BEGIN and allowed(word)]
            if words:
                chances = np.array([self.probability(word, context) for word in words])
                return words[int(random.choice(len(words), p=chances / chances.sum()))]
        return END

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {"discount": self.discount, "levels": self.levels}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> NGrams:
        """From what `plain` gave."""
        return cls(plain["levels"], plain["discount"])
