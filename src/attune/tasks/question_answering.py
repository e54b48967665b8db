"""Question answering: the part of a context that answers a question, or that there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from attune.core.encoding import Encoding
from attune.core.form import Form, Gold
from attune.core.packing import IGNORED, by_piece, marks_of, with_marks
from attune.core.recipe import Options
from attune.core.records import Alternative, Input, Prediction, Span
from attune.core.texts import FIRST, SECOND
from attune.errors import DataError
from attune.tasks.common.aligned import Aligned
from attune.tasks.common.answers import KINDS, AnswerScores, f1, kinds_of, read_answers, words_of
from attune.tasks.common.asked import Asked
from attune.tasks.common.ends import (
    END,
    START,
    Found,
    best,
    best_of_window,
    marks_of_window,
    targets_of_window,
)
from attune.tasks.common.labelled import Labels
from attune.tasks.common.scored import confidences, figures, metric_of
from attune.tasks.common.span_search import search
from attune.tasks.heads.registry import HEADS

LOWEST = -1e9
"""A logit that no token has."""
SURE = 30.0
"""Odds are looked at up to e^30: past that a float32 probability is zero or one."""


class QuestionAnsweringOptions(Options):
    """Which part of a context answers a question."""

    name: Literal["question_answering"] = "question_answering"
    head: str = "linear"
    """How the two ends of an answer are scored."""
    max_answer: int = Field(64, ge=1)
    """Tokens of the longest answer."""
    max_question: int = Field(64, ge=1)
    """Tokens read of a question, at most half of what is read at once."""
    overlap: int = Field(128, ge=0)
    """Tokens of the context that two windows share where it is longer than the backbone reads."""
    no_answer_threshold: float | None = None
    """Logarithm of the odds of the best answer against none, below which none is given. Not given: chosen by F1 on the
    validation rows, 0 without them. Where every training row has an answer, one is always given."""


class QuestionAnswering:
    """A span of the context, or none; the context is read in windows (Devlin et al. 2019, SQuAD 2.0's null answer).

    Args:
        options: Validated options.
    """

    Options: ClassVar[type[QuestionAnsweringOptions]] = QuestionAnsweringOptions
    summary: ClassVar[str] = "the part of a context that answers a question, or that there is none"
    needs: ClassVar[frozenset[str]] = frozenset({"pairs"})
    features: ClassVar[str] = "tokens"
    cuts: ClassVar[bool] = False
    cut: ClassVar[str] = "the end of the question was cut off"
    paired: ClassVar[bool] = True
    multi_label: ClassVar[bool] = False
    baselines: ClassVar[tuple[str, ...]] = ("zero_shot",)
    called: ClassVar[Mapping[str, str]] = {"zero_shot": "span search"}
    no_baseline: ClassVar[str] = "an answer is a part of the context and no label"
    limits: ClassVar[str] = (
        "It answers with words of the context alone, and says nothing of whether they are true. Where no training row "
        "lacked an answer, it answers every question."
    )
    lost: ClassVar[tuple[str, str]] = (
        "answers are longer than task.max_answer, or no window holds the whole of them",
        "raise task.max_answer and task.overlap, or mend the answers",
    )
    form: ClassVar[Form] = Form(
        texts=(FIRST, SECOND),
        gold=Gold(read_answers, kinds_of, 'answers, as {"text": […], "answer_start": […]} or a list of {start, text},'),
    )

    def __init__(self, options: QuestionAnsweringOptions) -> None:
        self.options = options

    def answers_with(self, labels: Labels) -> str:
        """What an answer is, for the card."""
        return "Answers with a part of the context" + (", or with nothing" if abstains(labels) else "")

    def inputs(self, row: Mapping[str, Any]) -> list[Input]:
        """What the backbone should read of a row: the question, and the context behind it."""
        return [Input(row[FIRST], pair=row[SECOND])]

    def read(self, backbone: Any, rows: Sequence[Mapping[str, Any]]) -> Encoding:
        """Rows as token ids in windows; the context's tokens are marked, and one that stands for no answer."""
        questions, cut = shortened([row[FIRST] for row in rows], backbone, self.options.max_question)
        inputs = [Input(question, pair=row[SECOND]) for question, row in zip(questions, rows, strict=True)]
        encoding, counts = backbone.windows(inputs, overlap=self.options.overlap)
        assert encoding.places is not None
        ids = [
            with_marks(tokens, marks_of_window(places))
            for tokens, places in zip(encoding.ids, encoding.places, strict=True)
        ]
        return replace(replace(encoding, ids=ids).grouped(counts), truncated=cut)

    def labels(self, golds: Iterable[Any]) -> Labels:
        """Counts the rows that have an answer, and those that have none.

        Args:
            golds: The rows' answers.

        Returns:
            The two kinds, with counts.

        Raises:
            DataError: No row has an answer.
        """
        counts = Counter(kinds_of(gold)[0] for gold in golds)
        if not counts[KINDS[0]]:
            raise DataError(
                "no training row has an answer",
                where="data.label",
                expected="answers that stand in their context",
                remedy="check data.label and data.columns; an empty list of answers says that there is none",
            )
        return Labels(KINDS, (counts[KINDS[0]], counts[KINDS[1]]))

    def unseen(self, golds: Iterable[Any], labels: Labels) -> list[str]:
        """No answer stops a run: they all differ."""
        del golds, labels
        return []

    def examples(
        self, rows: Sequence[Mapping[str, Any]], golds: Sequence[Any], encoding: Encoding, labels: Labels
    ) -> tuple[Encoding, Aligned]:
        """Targets of every token: whether an answer begins or ends with it; a window without one points to none."""
        del rows, labels
        each: list[NDArray[np.int32]] = []
        lost = 0
        for gold, ids, places in zip(golds, encoding.ids, encoding.places or (), strict=True):
            windows = [targets_of_window(part, gold, self.options.max_answer) for part in by_piece(places, ids)]
            each.append(np.concatenate([targets for targets, _ in windows]))
            lost += bool(gold) and not any(held for _, held in windows)
        return encoding, Aligned(each, sum(map(bool, golds)), lost)

    def outputs_of(self, labels: Labels) -> int:
        """Two numbers a token: that an answer begins with it, and that one ends with it."""
        del labels
        return 2

    def head(self, width: int, labels: Labels, dropout: float) -> nn.Module:
        """A head for a backbone whose vectors have `width` features."""
        return HEADS.get(self.options.head)(width, self.outputs_of(labels), dropout)

    def join(self, tokens: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """Tokens' vectors `(P, T, D)` as they are."""
        del inputs
        return tokens

    def loss(self, outputs: Tensor, targets: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
        """Cross-entropy of both ends over the tokens of a window.

        Args:
            outputs: `(P, T, 2)`; or `(M, 2)` of tokens alone, each then a yes or no of its own, as the head's convex
                start has it.
            targets: `(P, T)` or `(M,)`.
            labels: The learned labels.

        Returns:
            Total and weight, each `(P,)` or `(M,)`.
        """
        del labels
        if targets.ndim == 1:
            bits = torch.stack([(targets & START) > 0, (targets & END) > 0], -1).to(outputs)
            each = F.binary_cross_entropy_with_logits(outputs, bits, reduction="none").sum(-1)
            return each, torch.ones_like(each)
        able = targets != IGNORED
        total = outputs.new_zeros(len(outputs))
        for place, bit in enumerate((START, END)):
            logits = outputs[..., place].masked_fill(~able, LOWEST)
            right = able & ((targets & bit) > 0)
            total = total + logits.logsumexp(-1) - logits.masked_fill(~right, LOWEST).logsumexp(-1)
        return total / 2, torch.ones_like(total)

    def predictions(self, asked: Asked) -> list[Prediction]:
        """Answers rows that were read: the best span of all windows, or none."""
        found: list[Prediction] = []
        line = self.options.no_answer_threshold or 0.0
        rows = zip(
            asked.rows, asked.encoding.ids, asked.encoding.places or (), asked.outputs, asked.notices, strict=True
        )
        for row, ids, places, outputs, notices in rows:
            parts = (by_piece(of, ids) for of in (outputs / asked.temperature, marks_of(ids), places))
            windows = [
                best_of_window(logits, marks, stand, self.options.max_answer)
                for logits, marks, stand in zip(*parts, strict=True)
            ]
            answers, nowhere = best(windows)
            found.append(answered(row[SECOND], answers, nowhere, line if abstains(asked.labels) else None, notices))
        return found

    def judged(
        self, name: str, predictions: Sequence[Prediction], golds: Sequence[Any], labels: Labels
    ) -> AnswerScores:
        """Predictions beside what was right."""
        del labels
        chosen = [[{"start": s.start, "end": s.end, "text": s.text} for s in found.spans] for found in predictions]
        return AnswerScores(name, list(golds), chosen, confidences(predictions))

    def metric(self, name: str) -> tuple[str, bool]:
        """A metric to choose on, and whether more of it is better; raises RecipeError where there is none such."""
        return metric_of(AnswerScores, name)

    def metrics(self, answers: AnswerScores) -> dict[str, float]:
        """Every metric of the task, by name."""
        return figures(answers)

    def settle(
        self, predicted: Callable[[], Sequence[Prediction]], golds: Sequence[Any], labels: Labels
    ) -> dict[str, Any]:
        """Chooses the threshold of no answer on rows that were not trained on.

        Args:
            predicted: Answers them, with what the answers were chosen by; called only where something is to choose.
            golds: What is right.
            labels: The learned labels.

        Returns:
            The option, unless the recipe gives it or no training row lacks an answer.
        """
        if self.options.no_answer_threshold is not None or not abstains(labels):
            return {}
        predictions = predicted()
        odds = np.array([log_odds(found) for found in predictions])
        kept = [
            f1(found.alternatives[0].label if found.alternatives else "", words_of(gold))
            for found, gold in zip(predictions, golds, strict=True)
        ]
        none = [f1("", words_of(gold)) for gold in golds]
        return {"no_answer_threshold": threshold(odds, np.asarray(kept), np.asarray(none))}

    def untuned(self, backbone: Any, table: Any) -> list[Prediction]:
        """Answers by an untuned backbone: the few words whose embedding is nearest to the question's."""
        return search(backbone, table.texts(), self.options.overlap)


def abstains(labels: Labels) -> bool:
    """Whether a question may go unanswered: whether some training row has no answer."""
    return labels.counts[1] > 0


def shortened(questions: Sequence[str], backbone: Any, most: int) -> tuple[list[str], NDArray[np.bool_]]:
    """Questions of at most so many tokens, and half of what is read at once; and which of them lost their end."""
    special = backbone.tokenizer.num_special_tokens_to_add(pair=False)
    room = backbone.max_length - backbone.tokenizer.num_special_tokens_to_add(pair=True)
    found = backbone.encode(
        [Input(question) for question in questions], max_length=min(most, room // 2) + special, placed=True
    )
    ends = [int(places[:, 1].max()) for places in found.places or ()]
    kept = [
        question[:end] if cut else question for question, end, cut in zip(questions, ends, found.truncated, strict=True)
    ]
    return kept, found.truncated


def answered(
    context: str, answers: Sequence[Found], nowhere: float, line: float | None, notices: tuple[str, ...]
) -> Prediction:
    """The best answer as a prediction; none where its odds against none are below the line, or where there is none."""
    sure, none = (float(np.exp(answers[0].score)) if answers else 0.0), float(np.exp(nowhere))
    second = float(np.exp(answers[1].score)) if len(answers) > 1 else 0.0
    gap = abs(sure - none * float(np.exp(min(line, SURE)))) if line is not None else sure
    spans = [span_of(found, context) for found in answers]
    chances = np.array([sure, none], dtype=np.float32)
    alternatives = tuple(Alternative(span.text, span.confidence or 0.0) for span in spans)
    if not spans or (line is not None and odds(sure, none) < line):
        return Prediction("", none, alternatives, notices, chances, margin=gap)
    return Prediction(spans[0].text, sure, alternatives, notices, chances, tuple(spans[:1]), min(gap, sure - second))


def span_of(found: Found, context: str) -> Span:
    """A possible answer as a span of the context, without space around it."""
    text = context[found.start : found.end]
    start = found.start + len(text) - len(text.lstrip())
    return Span(start, start + len(text.strip()), "answer", text.strip(), float(np.exp(found.score)))


def odds(sure: float, none: float) -> float:
    """Logarithm of the odds of two probabilities, within what float32 can tell."""
    smallest = float(np.exp(-SURE))
    return float(np.log(max(sure, smallest)) - np.log(max(none, smallest)))


def log_odds(found: Prediction) -> float:
    """Logarithm of the odds that a fresh prediction has of an answer against none."""
    assert found.probabilities is not None
    return odds(*map(float, found.probabilities))


def threshold(odds: NDArray[np.float64], kept: NDArray[np.float64], none: NDArray[np.float64]) -> float:
    """The threshold with the greatest mean F1.

    Args:
        odds: `(N,)` logarithms of the odds of an answer against none.
        kept: `(N,)` F1 where the answer is given.
        none: `(N,)` F1 where none is given.

    Returns:
        Midway between two of the rows' odds, or beyond them all; of equals the one nearest to zero.
    """
    order = np.argsort(odds, kind="stable")
    total = kept.sum() + np.concatenate([[0.0], np.cumsum((none - kept)[order])])
    sorted_odds = odds[order]
    places = np.concatenate([[sorted_odds[0] - 1], (sorted_odds[1:] + sorted_odds[:-1]) / 2, [sorted_odds[-1] + 1]])
    apart = np.concatenate([[True], np.diff(sorted_odds) > 0, [True]])
    equal = np.flatnonzero(apart & (total >= total[apart].max() - 1e-9))
    return round(float(places[equal[np.argmin(np.abs(places[equal]))]]), 6)
