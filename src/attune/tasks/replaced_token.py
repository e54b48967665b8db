"""Replaced tokens: which tokens of a text are not its own (ELECTRA, Clark et al. 2020), with a unigram generator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn

from attune.core.packing import IGNORED, ids_of
from attune.core.recipe import Options
from attune.core.records import Prediction, Span
from attune.core.texts import FIRST
from attune.tasks.common.asked import Asked
from attune.tasks.common.drawn import TRIAL, DrawnScores, DrawnTask, Found, Rows
from attune.tasks.common.labelled import Labels
from attune.tasks.common.masking import Plan, hidden
from attune.tasks.common.vocabulary import Vocabulary

LINE = 0.5
"""Probability above which a token is taken for a replaced one."""


class ReplacedTokenOptions(Options):
    """Which tokens are replaced in training; figures are always of 15 % single tokens."""

    name: Literal["replaced_token"] = "replaced_token"
    head: str = "replaced"
    """What tells a replaced token."""
    replaced_share: float = Field(0.15, gt=0, lt=1)
    """Share of the tokens that are replaced, drawn anew at every step."""


@dataclass(frozen=True)
class ReplacedScores(DrawnScores):
    """Answers to every token: 1 where it was replaced.

    Attributes:
        both: `(N,)` tokens that were replaced and were told.
        either: `(N,)` tokens that were replaced, and tokens that were taken for it.
    """

    both: NDArray[np.float64]
    either: NDArray[np.float64]
    names: ClassVar[tuple[str, ...]] = ("replaced_f1", "replaced_accuracy")
    headline: ClassVar[tuple[str, ...]] = ("replaced_f1", "replaced_accuracy")
    sums: ClassVar[tuple[str, ...]] = (*DrawnScores.sums, "both", "either")

    def measure(self, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """F1 of the replaced tokens and accuracy of all, under weights `(R, N)`."""
        f1 = 2 * (weights @ self.both) / np.maximum(weights @ self.either, 1e-12)
        return {"replaced_f1": f1, "replaced_accuracy": self.means(weights)[1]}

    def words(self, value: Any) -> list[str]:
        """Which of a row's tokens are replaced, counted from 1."""
        return [str(place) for place, replaced in enumerate(value, 1) if replaced]


class ReplacedToken(DrawnTask):
    """Tells tokens that were replaced by others, drawn by how frequent they are in the training rows.

    ELECTRA's generator is a small masked language model; its plainest, which the paper tries too, knows frequencies
    alone and costs nothing. Every token is learned from, where masked language modelling learns from a seventh.

    Args:
        options: Validated options.
        words: The backbone's vocabulary, once the backbone is there.
    """

    Options: ClassVar[type[ReplacedTokenOptions]] = ReplacedTokenOptions
    summary: ClassVar[str] = "which tokens of plain texts were replaced: pre-training for little compute"
    needs: ClassVar[frozenset[str]] = frozenset({"both_sides"})
    over: ClassVar[str] = "replaced"
    metric_names: ClassVar[tuple[str, ...]] = ReplacedScores.names
    limits: ClassVar[str] = "It tells tokens that do not fit, which may be right all the same."

    def __init__(self, options: ReplacedTokenOptions, words: Vocabulary | None = None) -> None:
        super().__init__(options, words)
        self.generator: Any = None

    @property
    def plan(self) -> Plan:
        """How tokens are replaced in training."""
        return Plan(self.options.replaced_share, least=True)

    def head(self, width: int, labels: Labels, dropout: float) -> nn.Module:
        """A head for a backbone whose vectors have `width` features; it keeps how frequent tokens are."""
        self.generator = super().head(width, labels, dropout)
        return self.generator

    def corrupted(
        self, ids: NDArray[np.int64], plan: Plan, draw: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Replaces tokens; the target of a token is 1 where it is another than before, else 0.

        Args:
            ids: `(T,)`.
            plan: How many are replaced.
            draw: Source of chance.

        Returns:
            `(T,)` plain ids, and `(T,)` targets, −100 for special tokens.
        """
        bare = ids_of(ids)
        chosen = hidden(ids, plan, self.known, draw)
        result = bare.copy()
        result[chosen] = self.generator.tokens(draw.random(int(chosen.sum())))
        targets = np.where(self.known.special[bare], IGNORED, result != bare).astype(np.int32)
        return result, targets

    def scores(self, name: str, rows: Rows, found: Found) -> ReplacedScores:
        """What was answered, gathered by row."""
        both = np.bincount(found.owners, found.gold * found.chosen, len(rows))
        either = np.bincount(found.owners, found.gold + found.chosen, len(rows))
        return ReplacedScores.of(name, len(rows), found, both=both, either=either)

    def frequent(self, gold: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], Any]:
        """The baseline that takes every token for the text's own, as sure as their share says.

        Args:
            gold: `(M,)` targets.
            counts: `(V,)` how often each token occurs in the training rows.

        Returns:
            Its answers `(M,)`, and their losses `(M,)`.
        """
        del counts
        return np.zeros_like(gold), -np.log(np.where(gold > 0, TRIAL.share, 1 - TRIAL.share))

    def outputs_of(self, labels: Labels) -> int:
        """How many logits a token has."""
        del labels
        return 1

    def answers_with(self, labels: Labels) -> str:
        """What an answer is, for the card."""
        del labels
        return "Answers with the tokens that do not seem to be a text's own."

    def predictions(self, asked: Asked) -> list[Prediction]:
        """Tells the tokens that do not fit, in the order in which they stand.

        Args:
            asked: Rows with a logit a token `(T, 1)`.

        Returns:
            One prediction a row: the texts of those tokens; spans say where they stand.
        """
        if asked.encoding.places is None:
            raise ValueError("an encoding without places")
        rows = zip(asked.rows, asked.encoding.places, asked.outputs, asked.notices, strict=True)
        return [self.told(row, places, values, notices) for row, places, values, notices in rows]

    def told(
        self,
        row: Mapping[str, Any],
        places: NDArray[np.int64],
        values: NDArray[np.float32],
        notices: tuple[str, ...],
    ) -> Prediction:
        """The answer to one row: places `(T, 4)` and logits `(T, 1)` of its tokens."""
        inner = places[:, 3] >= 0
        chances = torch.from_numpy(values[inner, 0]).sigmoid().numpy()
        if not len(chances):
            return Prediction([], 1.0, (), notices, np.zeros(2, dtype=np.float32), (), 1.0)
        odd = np.flatnonzero(chances > LINE)
        spans = tuple(
            Span(int(start), int(end), "replaced", row[FIRST][start:end], float(chances[at]))
            for at in odd
            for start, end in [places[inner][at, :2]]
        )
        sure = float(chances[odd].min()) if len(odd) else float(1 - chances.max())
        shown = np.asarray([chances.max(), chances.mean()], dtype=np.float32)
        margin = 2 * float(np.abs(chances - LINE).min())
        return Prediction([span.text for span in spans], sure, (), notices, shown, spans, margin)
