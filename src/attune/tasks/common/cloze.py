"""Cloze questions: a row as a text with a gap, which the backbone's own head fills (Schick & Schütze 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attune.core.encoding import Encoding
from attune.core.packing import ids_of, with_marks
from attune.errors import RecipeError
from attune.tasks.common.patterns import MASK, TEXT, Laid, cut_to, laid, read_whole
from attune.tasks.common.verbalisers import REMEDY, pieces_of, refuse_equal, single, words_of
from attune.tasks.common.vocabulary import Vocabulary
from attune.tasks.heads.registry import HEADS

PATTERN = "{text} It is {mask}."
GAP = 1
"""The mark of the mask that is asked for; a row's text may hold others."""


def spaced(pattern: str) -> bool:
    """Whether a space stands before the mask of a pattern."""
    before = pattern[: pattern.index(f"{{{MASK}}}")]
    return before[-1:].isspace()


def lacks(tokenizer: Any, options: Any) -> str:
    """Why a recipe's words cannot stand at the mask; empty where they can, or none are named.

    Args:
        tokenizer: The backbone's.
        options: The task's.

    Returns:
        A clause.
    """
    named = [word for words in words_of(options.verbalisers, [*options.verbalisers]) for word in words]
    return single(tokenizer, named, spaced(options.pattern or PATTERN))


class Cloze:
    """How one backbone reads rows with a gap.

    Args:
        backbone: One with a mask token.
        options: The task's: `pattern`, `verbalisers`, `search`.
    """

    def __init__(self, backbone: Any, options: Any) -> None:
        self.backbone = backbone
        self.options = options
        self.pattern: str = options.pattern or PATTERN
        self.known = Vocabulary.of(backbone)

    @property
    def searches(self) -> bool:
        """Whether words are still to be found."""
        return bool(self.options.search) and not self.options.verbalisers

    def pieces(self) -> int:
        """How many things are read of a row."""
        return 1

    def read(self, rows: Sequence[Mapping[str, Any]]) -> Encoding:
        """Rows as token ids, the mask that is asked for marked; of a row that is too long its text loses its end."""
        filled = [laid(self.pattern, {TEXT: row[TEXT], MASK: self.known.mask_token}) for row in rows]
        whole = [Laid(text, places[TEXT]) for text, places in filled]
        found = cut_to(read_whole(self.backbone, whole), whole, self.backbone.max_length)
        gaps = [places[MASK] for _, places in filled]
        marked = [self._marked(*one) for one in zip(found.ids, found.places or [], gaps, strict=True)]
        return replace(found, ids=marked, places=None)

    def _marked(self, ids: NDArray[np.int64], places: NDArray[np.int64], gap: tuple[int, int]) -> NDArray[np.int64]:
        there = (ids_of(ids) == self.known.mask) & (places[:, 0] < gap[1]) & (places[:, 1] > gap[0])
        return with_marks(ids, there * GAP)

    def join(self, tokens: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """The vectors `(B, D)` at the masks that are asked for, of those of all tokens `(B, T, D)`."""
        lines = torch.arange(len(tokens), device=tokens.device)
        return tokens[lines, (inputs["marks"] == GAP).int().argmax(1)]

    def head(self, width: int, names: Sequence[str], dropout: float) -> nn.Module:
        """A head that knows the labels' words; none of them where they are still to be found.

        Args:
            width: Features of a token.
            names: The labels.
            dropout: Dropout probability.

        Returns:
            The head.

        Raises:
            RecipeError: A word is no single token, or two labels have the same.
        """
        head = HEADS.get(self.options.head)(width, self.known, len(names), dropout)
        head.name(self.some(len(names)) if self.searches else self.words(names))
        return head

    def some(self, count: int) -> list[list[int]]:
        """Any words, until the right ones are found; nothing is answered by them."""
        plain = self.known.plain
        return [[int(plain[number % len(plain)])] for number in range(count)]

    def words(self, names: Sequence[str]) -> list[list[int]]:
        """The tokens of each label's words; see `head`."""
        told = words_of(self.options.verbalisers, names)
        tokenizer, behind = self.backbone.tokenizer, spaced(self.pattern)
        if reason := single(tokenizer, [word for words in told for word in words], behind):
            raise RecipeError(
                f"{self.backbone.checkpoint.name}: {reason}",
                where="task.verbalisers",
                expected="words that are one token each; the labels' names where none are given",
                remedy=f"{REMEDY}, or have them found: task.search and task.shots",
            )
        found = [self.tokens(words) for words in told]
        refuse_equal(found, names)
        return found

    def tokens(self, words: Sequence[str]) -> list[int]:
        """Words that are one token each, as those."""
        return [pieces_of(self.backbone.tokenizer, word, spaced(self.pattern))[0] for word in words]

    def word_of(self, token: int) -> str:
        """A token as a word that a recipe can name; empty where it is none, or stands for something else there."""
        text = self.known.text_of(token)
        wordlike = text.isalpha() and (len(text) > 1 or not text.isascii())
        return text if wordlike and pieces_of(self.backbone.tokenizer, text, spaced(self.pattern)) == [token] else ""
