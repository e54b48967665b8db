"""Extractive summarisation: the sentences of a document, or the turns of a dialogue, that say best what it says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import expit
from torch import Tensor, nn
from torch.nn import functional as F

from attune.core.encoding import Encoding
from attune.core.form import Form, Gold
from attune.core.packing import IGNORED, by_piece, with_marks
from attune.core.recipe import Options
from attune.core.records import Input, Prediction
from attune.core.texts import FIRST
from attune.errors import DataError
from attune.tasks.common.aids import Aids
from attune.tasks.common.aligned import Aligned
from attune.tasks.common.asked import Asked
from attune.tasks.common.excerpts import best, central, excerpt, lead
from attune.tasks.common.labelled import Labels
from attune.tasks.common.oracle import read_summary
from attune.tasks.common.rouge import RougeScores
from attune.tasks.common.scored import figures, metric_of
from attune.tasks.common.sentences import Place, sentences
from attune.tasks.common.stretches import features, stretches_of, width_of
from attune.tasks.heads.registry import HEADS

NAMES = ("chosen sentences", "documents")
"""What is counted of the training rows."""


class ExtractiveOptions(Options):
    """Which sentences of a document are its summary."""

    name: Literal["extractive"] = "extractive"
    head: str = "linear"
    """How a sentence is scored."""
    units: Literal["auto", "line", "sentence"] = "auto"
    """What is chosen: lines (turns of a dialogue), sentences, or lines where a text has several and else sentences."""
    sentences: int = Field(0, ge=0)
    """How many are chosen at most. 0: as many as the training rows' summaries are best said with, their mean."""
    blocking: bool = True
    """Leave out a sentence that shares three words in a row with a better one."""
    overlap: int = Field(64, ge=0)
    """Tokens that two windows share where a text is longer than the backbone reads."""


class Extractive:
    """A summary made of sentences of the text (BERTSUM, Liu & Lapata 2019, with means of tokens in place of [CLS]).

    A sentence is told by the mean of its tokens' vectors, read within the whole document, by that times the document's,
    and by where it stands. Learned are the sentences that a greedy oracle chooses by ROUGE (Nallapati et al. 2017).

    Args:
        options: Validated options.
    """

    Options: ClassVar[type[ExtractiveOptions]] = ExtractiveOptions
    summary: ClassVar[str] = "a summary made of sentences of the text, or of turns of a dialogue"
    needs: ClassVar[frozenset[str]] = frozenset()
    features: ClassVar[str] = "tokens"
    cuts: ClassVar[bool] = False
    cut: ClassVar[str] = "only the first {limit} tokens were read"
    paired: ClassVar[bool] = False
    multi_label: ClassVar[bool] = False
    baselines: ClassVar[tuple[str, ...]] = ("majority", "zero_shot")
    called: ClassVar[Mapping[str, str]] = {"majority": "lead", "zero_shot": "centroid"}
    no_baseline: ClassVar[str] = "it labels whole texts, and a summary is a choice of sentences"
    limits: ClassVar[str] = (
        "It answers with sentences of the text as they stand there: what they refer to may be missing, and nothing is "
        "put in other words."
    )
    lost: ClassVar[tuple[str, str]] = (
        "sentences of summaries have no token",
        "use a backbone whose vocabulary holds the script that they are written in",
    )

    def __init__(self, options: ExtractiveOptions) -> None:
        self.options = options

    @property
    def form(self) -> Form:
        """What a row must have: a text, also as a list of sentences, and a summary of it or several."""
        read = partial(read_summary, units=self.options.units)
        return Form(gold=Gold(read, lambda _: [], "a summary, or a list of them,"), lines=True)

    def answers_with(self, labels: Labels) -> str:
        """What an answer is, for the card."""
        return f"Answers with at most {self.count(labels)} sentences of the text"

    def count(self, labels: Labels) -> int:
        """How many sentences are chosen."""
        chosen, documents = labels.counts
        return self.options.sentences or max(1, round(chosen / max(documents, 1)))

    def places(self, row: Mapping[str, Any]) -> list[Place]:
        """Where the sentences of a row's text stand."""
        return sentences(row[FIRST], self.options.units)

    def inputs(self, row: Mapping[str, Any]) -> list[Input]:
        """What the backbone should read of a row: its text."""
        return [Input(row[FIRST])]

    def read(self, backbone: Any, rows: Sequence[Mapping[str, Any]]) -> Encoding:
        """Rows as token ids in windows; the tokens of sentences are marked, each sentence in one window."""
        encoding, counts = backbone.windows([Input(row[FIRST]) for row in rows], overlap=self.options.overlap)
        assert encoding.places is not None
        at = 0
        for row, count in zip(rows, counts, strict=True):
            found = stretches_of(encoding.places[at : at + count], self.places(row))
            for number, marks in enumerate(found.marks):
                encoding.ids[at + number] = with_marks(encoding.ids[at + number], marks)
            at += count
        return encoding.grouped(counts)

    def labels(self, golds: Iterable[Any]) -> Labels:
        """Counts the sentences that the oracle chose, and the documents.

        Args:
            golds: What is right for the rows.

        Returns:
            The two counts.

        Raises:
            DataError: No summary shares a word with its document.
        """
        counts = [len(gold["oracle"]) for gold in golds]
        if not sum(counts):
            raise DataError(
                "no summary of the training rows shares a word with its document",
                where="data.label",
                expected="summaries of the texts beside them",
                remedy="check data.text and data.label",
            )
        return Labels(NAMES, (sum(counts), len(counts)))

    def unseen(self, golds: Iterable[Any], labels: Labels) -> list[str]:
        """No summary stops a run: they all differ."""
        del golds, labels
        return []

    def examples(
        self, rows: Sequence[Mapping[str, Any]], golds: Sequence[Any], encoding: Encoding, labels: Labels
    ) -> tuple[Encoding, Aligned]:
        """Targets of the first token of each sentence: whether the oracle chose it; other tokens have none."""
        del labels
        each: list[NDArray[np.int32]] = []
        lost = 0
        for row, gold, ids, places in zip(rows, golds, encoding.ids, encoding.places or (), strict=True):
            first = stretches_of(by_piece(places, ids), self.places(row)).first
            chosen = np.isin(np.arange(len(first)), gold["oracle"])
            targets = np.full(len(ids), IGNORED, dtype=np.int32)
            targets[first[first >= 0]] = chosen[first >= 0]
            each.append(targets)
            lost += int(chosen[first < 0].sum())
        return encoding, Aligned(each, sum(len(gold["oracle"]) for gold in golds), lost)

    def outputs_of(self, labels: Labels) -> int:
        """One number a token: the logit of its sentence, at the sentence's first token."""
        del labels
        return 1

    def head(self, width: int, labels: Labels, dropout: float) -> nn.Module:
        """A head for a backbone whose vectors have `width` features."""
        return HEADS.get(self.options.head)(width_of(width), self.outputs_of(labels), dropout)

    def join(self, tokens: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """What is known of sentences, at their first tokens `(P, T, W)`, of tokens' vectors `(P, T, D)`."""
        return features(tokens, inputs)

    def loss(self, outputs: Tensor, targets: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
        """Cross-entropy of choosing each sentence or not.

        Args:
            outputs: `(P, T, 1)`, or `(M, 1)` of sentences alone.
            targets: `(P, T)` or `(M,)`; `IGNORED` where no sentence begins.
            labels: The learned labels.

        Returns:
            Total and weight, each `(P,)` or `(M,)`; the weight is the number of sentences.
        """
        del labels
        able = targets != IGNORED
        right = (targets.clamp(min=0)).to(outputs)
        each = F.binary_cross_entropy_with_logits(outputs.squeeze(-1), right, reduction="none") * able
        weight = able.to(outputs)
        return (each, weight) if targets.ndim == 1 else (each.sum(-1), weight.sum(-1))

    def predictions(self, asked: Asked) -> list[Prediction]:
        """Answers rows that were read: their best sentences, in the order of the text."""
        count = self.count(asked.labels)
        found: list[Prediction] = []
        rows = zip(
            asked.rows, asked.encoding.ids, asked.encoding.places or (), asked.outputs, asked.notices, strict=True
        )
        for row, ids, windows, outputs, notices in rows:
            text, places = row[FIRST], self.places(row)
            first = stretches_of(by_piece(windows, ids), places).first
            logits = np.where(first >= 0, outputs[first, 0].astype(np.float64), -np.inf)
            chances = expit(logits / asked.temperature)
            parts = [text[start:end] for start, end in places]
            chosen, margin = best(np.where(first >= 0, chances, -np.inf), parts, count, blocking=self.options.blocking)
            found.append(excerpt(text, places, chosen, chances, notices=notices, margin=margin))
        return found

    def judged(self, name: str, predictions: Sequence[Prediction], golds: Sequence[Any], labels: Labels) -> RougeScores:
        """Predictions beside what was right."""
        del labels
        right = [gold["summaries"] if isinstance(gold, Mapping) else gold for gold in golds]
        return RougeScores(name, right, [found.answer for found in predictions], None)

    def metric(self, name: str) -> tuple[str, bool]:
        """A metric to choose on, and whether more of it is better; raises RecipeError where there is none such."""
        return metric_of(RougeScores, name)

    def metrics(self, answers: RougeScores) -> dict[str, float]:
        """Every metric of the task, by name."""
        return figures(answers)

    def baseline(self, name: str, train: Any, table: Any, labels: Labels, aids: Aids) -> list[Prediction]:
        """Answers without training.

        Args:
            name: `majority`: the first three sentences. `zero_shot`: as many sentences as the model chooses, those
                nearest to the mean of the document's sentences by untuned embeddings.
            train: Not needed.
            table: The rows to answer.
            labels: For how many.
            aids: Where embeddings come from.

        Returns:
            One prediction a row.
        """
        del train
        texts: list[str] = table.texts()
        if name == "majority":
            return [lead(text, self.options.units) for text in texts]
        if aids.embed is None:
            raise ValueError("embeddings were not asked for")
        return central(texts, self.options.units, self.count(labels), aids.embed)
