"""Embedding: texts that belong together lie together, so that one is found by the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from attune.core.encoding import Encoding
from attune.core.form import Form, Gold
from attune.core.recipe import Options
from attune.core.records import Input, Prediction
from attune.core.texts import FIRST
from attune.errors import DataError
from attune.tasks.common import pieces
from attune.tasks.common.aids import Aids
from attune.tasks.common.asked import Asked
from attune.tasks.common.bm25 import Bm25
from attune.tasks.common.contrast import contrast, key_of
from attune.tasks.common.labelled import Labels
from attune.tasks.common.retrieval import (
    NEGATIVES,
    POSITIVE,
    RetrievalScores,
    asked_of,
    found_by,
    pair_of,
    result_of,
    shortened,
)
from attune.tasks.common.scored import figures, metric_of
from attune.tasks.common.vectors import DIGITS, VectorTask


class EmbeddingOptions(Options):
    """Which texts belong together."""

    name: Literal["embedding"] = "embedding"
    head: str = "vector"
    """How the vector is made of what the backbone gives: it is scaled to length one."""
    scale: float = Field(20.0, gt=0, le=1000)
    """What cosines are multiplied by in the loss: one over its temperature."""
    symmetric: bool = False
    """Whether a positive must find its text among all texts of the batch too, and not only the text its positive."""
    sizes: tuple[int, ...] = ()
    """Matryoshka: the first so many features of a vector are trained to be a vector of their own; none: all of them."""
    size: int = Field(0, ge=0)
    """Features of the vectors that are answered. 0: the largest of `sizes`, or all."""
    negatives: int = Field(0, ge=0, le=64)
    """Hard negatives that are mined for each row before the first step: near texts that do not belong to it."""
    window: tuple[int, ...] = Field((2, 50), min_length=2, max_length=2)
    """Ranks among the nearest texts that do not belong to a row, from which they are taken; the nearest often do."""
    margin: float = Field(0.95, gt=0, le=1)
    """Share of the positive's similarity that a mined negative's must stay below."""
    most_negatives: int = Field(4, ge=0, le=64)
    """The most hard negatives that a row may bring itself, beside mined ones."""

    @model_validator(mode="after")
    def fits(self) -> EmbeddingOptions:
        """Refuses sizes and ranks that contradict each other."""
        if any(size < 1 for size in self.sizes) or len(set(self.sizes)) < len(self.sizes):
            raise ValueError("sizes are whole numbers above 0, each once")
        if self.size and self.size not in self.sizes:
            raise ValueError(f"size = {self.size} is none of sizes, and would not be trained")
        if not 1 <= self.window[0] <= self.window[1]:
            raise ValueError(f"window = {list(self.window)} holds no rank; ranks are counted from 1, the lower first")
        return self


class Embedding(VectorTask):
    """A vector a text, near to those of the texts that belong to it.

    A row is a text and its positive, perhaps with hard negatives.

    Args:
        options: Validated options.
    """

    Options: ClassVar[type[EmbeddingOptions]] = EmbeddingOptions
    summary: ClassVar[str] = "a vector a text, near to those of the texts that belong to it: search, paraphrase"
    baselines: ClassVar[tuple[str, ...]] = ("majority", "tfidf", "bm25", "zero_shot")
    no_baseline: ClassVar[str] = "it does not fit the task"
    called: ClassVar[Mapping[str, str]] = {"majority": "often right", "zero_shot": "cosine"}
    """Baselines that are something else here."""

    @property
    def form(self) -> Form:
        """What a row must have."""
        most = self.options.most_negatives
        expected = "the text that belongs to the row's text, or an object with it as positive and with negatives,"
        return Form(gold=Gold(lambda cell, row: pair_of(cell, row, most), lambda _: [], expected))

    def inputs(self, row: Mapping[str, Any]) -> list[Input]:
        """What the backbone should read of a row: its text; where it is told what belongs to it, that too."""
        told = [Input(row[POSITIVE], "positive")] if POSITIVE in row else []
        return [Input(row[FIRST], "query"), *told, *(Input(text, "negative") for text in row.get(NEGATIVES, []))]

    def with_gold(self, rows: Sequence[Mapping[str, Any]], golds: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Rows with what is right for them, which is read as well where they are learned from or judged."""
        return [{**row, **gold} for row, gold in zip(rows, golds, strict=True)]

    def read(self, backbone: Any, rows: Sequence[Mapping[str, Any]]) -> Encoding:
        """Rows as token ids, ragged, each text a piece."""
        return pieces.encoded(backbone, [self.inputs(row) for row in rows])

    @property
    def places(self) -> int:
        """Texts that a row may have: itself, its positive, and hard negatives given and mined."""
        return 2 + self.options.most_negatives + self.options.negatives

    def labels(self, golds: Iterable[Mapping[str, Any]]) -> Labels:
        """How many rows there are to learn from; no names.

        Args:
            golds: What belongs to each training row.

        Returns:
            Labels without a name.

        Raises:
            DataError: There is no row, or nothing that a positive could be told from.
        """
        several = list(golds)
        if not several:
            raise DataError("no training row", where="data.train", expected="texts with what belongs to them")
        if len({gold[POSITIVE] for gold in several}) < 2 and not any(gold[NEGATIVES] for gold in several):
            raise DataError(
                "all training rows have one and the same positive", where="data.train",
                expected="at least two, for a text is told apart from what belongs to others",
                remedy="add rows, or hard negatives",
            )  # fmt: skip
        return Labels((), (len(several),))

    def unseen(self, golds: Iterable[Any], labels: Labels) -> list[str]:
        """No label is unknown: there are none."""
        del golds, labels
        return []

    def examples(
        self, rows: Sequence[Mapping[str, Any]], golds: Sequence[Mapping[str, Any]], encoding: Encoding, labels: Labels
    ) -> tuple[Encoding, Tensor]:
        """How rows were read, and which text each of their vectors is of: keys `(N, places)`, 0 where there is none."""
        del labels
        keys = torch.zeros((len(rows), self.places), dtype=torch.int64)
        for line, row, gold in zip(keys, rows, golds, strict=True):
            texts = [row[FIRST], gold[POSITIVE], *gold[NEGATIVES]]
            line[: len(texts)] = torch.tensor([key_of(text) for text in texts])
        return encoding, keys

    def loss(self, outputs: Tensor, targets: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
        """The contrastive loss of a batch (`attune.tasks.common.contrast`).

        Args:
            outputs: `(B, places, D)`.
            targets: `(B, places)`, as `examples` made them.
            labels: Not needed.

        Returns:
            Total `(B,)` and weight `(B,)`, all one; both depend on the other rows.
        """
        del labels
        options = self.options
        total = contrast(outputs, targets, options.scale, options.symmetric, options.sizes)
        return total, torch.ones_like(total)

    def predictions(self, asked: Asked) -> list[Prediction]:
        """Answers rows that were read; of rows that were told what belongs to them, both vectors for the comparison."""
        triples = zip(asked.rows, asked.outputs, asked.notices, strict=True)
        return [self._prediction(row, outputs, notices) for row, outputs, notices in triples]

    def _prediction(self, row: Mapping[str, Any], outputs: Any, notices: tuple[str, ...]) -> Prediction:
        vectors = shortened(outputs[:2], self.size(outputs.shape[-1]))
        if POSITIVE in row:
            return Prediction(row[FIRST], notices=notices, probabilities=vectors)
        answer = [round(float(value), DIGITS) for value in vectors[0]]
        return Prediction(answer, notices=notices, probabilities=vectors[0], margin=0.0)

    def judged(
        self, name: str, predictions: Sequence[Prediction], golds: Sequence[Mapping[str, Any]], labels: Labels
    ) -> RetrievalScores:
        """What each row finds among the positives of all of them, beside what belongs to it."""
        del labels
        if any(found.probabilities is not None and found.probabilities.ndim == 2 for found in predictions):
            predictions = retrieved(predictions, golds)
        return RetrievalScores(name, list(golds), [result_of(found) for found in predictions], None)

    def metric(self, name: str) -> tuple[str, bool]:
        """A metric to choose on, and whether more of it is better; raises RecipeError where there is none such."""
        return metric_of(RetrievalScores, name)

    def metrics(self, answers: RetrievalScores) -> dict[str, float]:
        """Every metric of the task, by name."""
        return figures(answers)

    def baseline(self, name: str, train: Any, table: Any, labels: Labels, aids: Aids) -> list[Prediction]:
        """What is found by something that costs next to nothing.

        Args:
            name: `majority`: by how often a text was right in the training rows. `tfidf`: by the cosine of TF-IDF
                vectors. `bm25`: by the words they share (`attune.tasks.common.bm25`). `zero_shot`: by the cosine of
                untuned vectors.
            train: The training rows.
            table: The rows to answer.
            labels: Not needed.
            aids: What TF-IDF and embeddings come from.

        Returns:
            One prediction a row.
        """
        del labels
        asked = asked_of(table.texts(), table.golds())
        if name == "majority":
            often = Counter(gold[POSITIVE] for gold in train.golds())
            counts = np.array([often[text] for text in asked.texts], dtype=np.float64)
            return found_by(asked, lambda begin, end: np.tile(counts, (end - begin, 1)))
        if name == "tfidf":
            known = {*train.texts(), *(gold[POSITIVE] for gold in train.golds())}
            reader = aids.vectoriser().fit(sorted(known))
            queries, others = reader.transform(asked.queries).tocsr(), reader.transform(asked.texts).T
            return found_by(asked, lambda begin, end: (queries[begin:end] @ others).toarray())
        if name == "bm25":
            index = Bm25(asked.texts)
            return found_by(asked, lambda begin, end: index.scores(asked.queries[begin:end]))
        if aids.embed is None:
            raise ValueError("embeddings were not asked for")
        near, far = aids.embed(list(asked.queries)), aids.embed(asked.texts)
        return found_by(asked, lambda begin, end: near[begin:end] @ far.T)


def retrieved(predictions: Sequence[Prediction], golds: Sequence[Mapping[str, Any]]) -> list[Prediction]:
    """What rows find whose vectors and whose positives' vectors `(2, D)` are known."""
    both = np.stack([vectors_of(found) for found in predictions])
    asked = asked_of([str(found.answer) for found in predictions], golds)
    first: dict[str, int] = {}
    for row, gold in enumerate(golds):
        first.setdefault(gold[POSITIVE], row)
    queries, others = both[:, 0], both[[first[text] for text in asked.texts], 1]
    return found_by(asked, lambda begin, end: queries[begin:end] @ others.T)


def vectors_of(found: Prediction) -> Any:
    """The two vectors of a prediction of a row that was told what belongs to it."""
    if found.probabilities is None:
        raise ValueError("a prediction without vectors")
    return found.probabilities
