"""How near a text is to a reference: ROUGE (Lin 2004), by the package rouge_score, of Chinese by character."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from attune.core.extras import require
from attune.core.records import Scores

Floats = NDArray[np.float64]

KINDS = ("rouge1", "rouge2", "rougeL")
"""What rouge_score calls them."""
HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
PIECE = re.compile(rf"[{HAN}]|[^\W{HAN}]+")
"""One Chinese character, or a word."""
ASCII = re.compile(r"[a-z0-9]")


class Tokens:
    """Words as rouge_score has them, stemmed by Porter; one token a Chinese character.

    Words without a letter or digit of ASCII, which rouge_score leaves out, are taken as they are.
    """

    def __init__(self) -> None:
        require("rouge_score", extra="generation")
        from rouge_score.tokenizers import DefaultTokenizer

        self.words = DefaultTokenizer(use_stemmer=True)

    def tokenize(self, text: str) -> list[str]:
        """The tokens of a text, in order."""
        found: list[str] = []
        for piece in PIECE.findall(text.lower()):
            found += self.words.tokenize(piece) if ASCII.search(piece) else [piece]
        return found


@cache
def tokenizer() -> Tokens:
    """The one that is used; raises MachineError where rouge_score is not installed."""
    return Tokens()


@lru_cache(maxsize=200_000)
def tokens_of(text: str) -> tuple[str, ...]:
    """The tokens of a text."""
    return tuple(tokenizer().tokenize(text))


@cache
def scorer() -> Any:
    """rouge_score's, with these tokens."""
    made = tokenizer()
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(KINDS), tokenizer=made)


@lru_cache(maxsize=200_000)
def rouge(answer: str, references: tuple[str, ...]) -> tuple[float, float, float]:
    """F1 of ROUGE-1, ROUGE-2 and ROUGE-L.

    Args:
        answer: A text.
        references: What is right; of several the best counts, for each figure by itself.

    Returns:
        Three shares.
    """
    found = scorer().score_multi(references, answer)
    one, two, longest = (float(found[kind].fmeasure) for kind in KINDS)
    return one, two, longest


@dataclass(frozen=True)
class RougeScores(Scores):
    """Texts answered beside reference texts; every figure is a mean over rows.

    Values of `gold` are lists of references, those of `chosen` are texts.
    """

    names: ClassVar[tuple[str, ...]] = ("rouge_l", "rouge_1", "rouge_2")
    headline: ClassVar[tuple[str, ...]] = ("rouge_l", "rouge_1", "rouge_2")

    @cached_property
    def each(self) -> Floats:
        """Of every row the three figures `(N, 3)`, as `rouge` gives them."""
        found = [rouge(text, tuple(right)) for text, right in zip(self.chosen, self.gold, strict=True)]
        return np.asarray(found, dtype=np.float64).reshape(-1, len(KINDS))

    def measure(self, weights: Floats) -> dict[str, Floats]:
        """Means under weights `(R, N)`."""
        one, two, longest = (weights @ self.each / weights.sum(axis=1, keepdims=True)).T
        return {"rouge_l": longest, "rouge_1": one, "rouge_2": two}

    def right(self) -> NDArray[np.bool_]:
        """Rows whose words are those of a reference, in its order `(N,)`."""
        return self.each[:, 2] >= 1.0

    def gravity(self) -> Floats:
        """The answers furthest from their references are listed first."""
        return 1.0 - self.each[:, 2]

    def words(self, value: str | Sequence[str]) -> list[str]:
        """An answer, or the references of a row."""
        return [value] if isinstance(value, str) else list(value)
