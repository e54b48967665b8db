"""Masked language modelling: tokens of plain texts are hidden and told from the rest (Devlin et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from attune.core.form import Form
from attune.core.packing import IGNORED, ids_of
from attune.core.recipe import Options
from attune.core.records import Alternative, Prediction, Span
from attune.core.texts import FIRST
from attune.tasks.common.asked import Asked
from attune.tasks.common.drawn import DrawnTask, Found, Rows
from attune.tasks.common.labelled import Labels
from attune.tasks.common.masked_scores import MaskedScores
from attune.tasks.common.masking import Plan, hidden, replaced
from attune.tasks.common.vocabulary import Vocabulary, by_frequency


class MaskedLMOptions(Options):
    """Which tokens are hidden in training; figures are always of 15 % single tokens, each become the mask."""

    name: Literal["masked_lm"] = "masked_lm"
    head: str = "language"
    """What tells a hidden token."""
    mask_share: float = Field(0.15, gt=0, lt=1)
    """Share of the tokens that are hidden, drawn anew at every step."""
    whole_words: bool = False
    """Hide all tokens of a word, or none; words are what the tokenizer parts first, in Chinese single characters."""
    corruption: Literal["mixed", "mask"] = "mixed"
    """mixed: of the hidden tokens 80 % become the mask, 10 % any token, 10 % stay. mask: all become the mask."""


class MaskedLM(DrawnTask):
    """Tells hidden tokens.

    Args:
        options: Validated options.
        words: The backbone's vocabulary, once the backbone is there.
    """

    Options: ClassVar[type[MaskedLMOptions]] = MaskedLMOptions
    summary: ClassVar[str] = "hidden tokens of plain texts: pre-training and continued pre-training, filling in masks"
    needs: ClassVar[frozenset[str]] = frozenset({"masks", "both_sides"})
    over: ClassVar[str] = "vocabulary"
    metric_names: ClassVar[tuple[str, ...]] = MaskedScores.names
    limits: ClassVar[str] = "It says what is likely in texts like those it learned from, which need not be true."

    def __init__(self, options: MaskedLMOptions, words: Vocabulary | None = None) -> None:
        super().__init__(options, words)
        self.hiding = Plan(options.mask_share, options.whole_words, options.corruption == "mixed", least=True)

    @property
    def plan(self) -> Plan:
        """How tokens are hidden in training."""
        return self.hiding

    @property
    def form(self) -> Form:
        """A text, which must hold the mask to be a question."""
        return Form(self.fields, labelled=False, asks=self.lacks_mask if self.words else None)

    def lacks_mask(self, text: str) -> str:
        """Why a text asks nothing; empty where it holds the mask."""
        mask = self.known.mask_token
        return "" if mask in text else f"its text holds no {mask}: put it where a word is to be filled in"

    def questions(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Texts as questions: the word in the middle of each, or where there are no spaces the character, is hidden."""
        return [{**row, FIRST: self.asking(row[FIRST])} for row in rows]

    def asking(self, text: str) -> str:
        """One text as a question; as it is where it is one already."""
        mask = self.known.mask_token
        parts = text.split()
        if mask in text or not parts:
            return text
        if len(parts) > 1:
            return " ".join([*parts[: len(parts) // 2], mask, *parts[len(parts) // 2 + 1 :]])
        middle = len(parts[0]) // 2
        return f"{parts[0][:middle]}{mask}{parts[0][middle + 1 :]}"

    def corrupted(
        self, ids: NDArray[np.int64], plan: Plan, draw: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Hides tokens; the target of a hidden token is the token.

        Args:
            ids: `(T,)`, with marks.
            plan: How tokens are hidden.
            draw: Source of chance.

        Returns:
            `(T,)` plain ids, and `(T,)` targets, −100 where nothing is asked.
        """
        chosen = hidden(ids, plan, self.known, draw)
        targets = np.where(chosen, ids_of(ids), IGNORED).astype(np.int32)
        return replaced(ids, chosen, plan, self.known, draw), targets

    def scores(self, name: str, rows: Rows, found: Found) -> MaskedScores:
        """What was answered, gathered by row."""
        return MaskedScores.of(name, len(rows), found, vocabulary=self.known)

    def frequent(self, gold: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], Any]:
        """The baseline that answers the most frequent token, with every token's frequency, one added to each count.

        Args:
            gold: `(M,)` targets.
            counts: `(V,)` how often each token occurs in the training rows.

        Returns:
            Its answers `(M,)`, and their losses `(M,)`.
        """
        return by_frequency(gold, counts)

    def outputs_of(self, labels: Labels) -> int:
        """How many logits a token has: one a token of the vocabulary."""
        del labels
        return len(self.known.special)

    def answers_with(self, labels: Labels) -> str:
        """What an answer is, for the card."""
        del labels
        return f"Answers with what fits in place of {self.known.mask_token}, one of {len(self.known.plain):,} tokens."

    def predictions(self, asked: Asked) -> list[Prediction]:
        """Fills in the masks of rows.

        Args:
            asked: Rows with, of each token, the best ids and their probabilities, one after the other.

        Returns:
            One prediction a row: the best token, or of several masks the best of each, a space between them. Spans say
            where each belongs; alternatives are there where one mask is.
        """
        places = asked.encoding.places or [np.zeros((len(row), 4), dtype=np.int64) for row in asked.encoding.ids]
        rows = zip(asked.rows, asked.encoding.ids, places, asked.outputs, asked.notices, strict=True)
        return [self.filled(row, ids, place, values, notices) for row, ids, place, values, notices in rows]

    def filled(
        self,
        row: Mapping[str, Any],
        ids: NDArray[np.int64],
        places: NDArray[np.int64],
        values: NDArray[np.float32],
        notices: tuple[str, ...],
    ) -> Prediction:
        """The answer to one row: ids `(T,)`, places `(T, 4)` and values `(T, 2S)` of its tokens."""
        at = np.flatnonzero((ids_of(ids) == self.known.mask) & (places[:, 3] >= 0))
        if not len(at):
            raise ValueError("a row that was not checked: it holds no mask")
        best, chances = np.split(values[at], 2, axis=1)
        words = [self.known.texts_of(line) for line in best.astype(np.int64).tolist()]
        spans = tuple(
            Span(int(place[0]), int(place[1]), told[0], row[FIRST][place[0] : place[1]], float(chance[0]))
            for place, told, chance in zip(places[at], words, chances, strict=True)
        )
        first = zip(words[0], chances[0], strict=True) if len(at) == 1 else ()
        return Prediction(
            " ".join(told[0] for told in words),
            float(chances[:, 0].min()),
            tuple(Alternative(text, float(chance)) for text, chance in first),
            notices,
            chances.reshape(-1),
            spans,
            float((chances[:, 0] - chances[:, 1]).min()),
        )
