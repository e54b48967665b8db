"""Embedding by labels: texts of one label lie together, so that texts of a label, a new one too, find each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from attune.core.encoding import Encoding
from attune.core.form import Form
from attune.core.packing import as_pieces, unmarked
from attune.core.recipe import Options
from attune.core.records import Input, Prediction
from attune.core.texts import FIRST
from attune.errors import DataError
from attune.tasks.common import pieces
from attune.tasks.common.aids import Aids
from attune.tasks.common.asked import Asked
from attune.tasks.common.bm25 import Bm25
from attune.tasks.common.contrast import key_of
from attune.tasks.common.kin import KinScores, kin_of
from attune.tasks.common.labelled import Labels
from attune.tasks.common.retrieval import found_by, result_of, shortened
from attune.tasks.common.scored import figures, metric_of
from attune.tasks.common.supcon import supervised_contrast
from attune.tasks.common.vectors import DIGITS, VectorTask

JUDGED = "judged"
"""Stands in a row that is to be compared with others."""


class LabelEmbeddingOptions(Options):
    """How texts of one label are brought together."""

    name: Literal["label_embedding"] = "label_embedding"
    head: str = "vector"
    """How the vector is made of what the backbone gives: it is scaled to length one."""
    scale: float = Field(20.0, gt=0, le=1000)
    """What cosines are multiplied by in the loss: one over its temperature."""
    sizes: tuple[int, ...] = ()
    """Matryoshka: the first so many features of a vector are trained to be a vector of their own; none: all of them."""
    size: int = Field(0, ge=0)
    """Features of the vectors that are answered. 0: the largest of `sizes`, or all."""

    @model_validator(mode="after")
    def fits(self) -> LabelEmbeddingOptions:
        """Refuses sizes that contradict each other."""
        if any(size < 1 for size in self.sizes) or len(set(self.sizes)) < len(self.sizes):
            raise ValueError("sizes are whole numbers above 0, each once")
        if self.size and self.size not in self.sizes:
            raise ValueError(f"size = {self.size} is none of sizes, and would not be trained")
        return self


class LabelEmbedding(VectorTask):
    """A vector a text, near to those of the texts of its label.

    To each row of a step another text of its label is drawn, so that no row is without one; in the loss every text of
    the batch that has the label is right.

    Args:
        options: Validated options.
    """

    Options: ClassVar[type[LabelEmbeddingOptions]] = LabelEmbeddingOptions
    summary: ClassVar[str] = "a vector a text, near to those of texts of its label: search by kind, new labels too"
    baselines: ClassVar[tuple[str, ...]] = ("tfidf", "bm25", "zero_shot")
    no_baseline: ClassVar[str] = "no text is right more often than another"
    called: ClassVar[Mapping[str, str]] = {"zero_shot": "cosine"}
    """Baselines that are something else here."""
    form: ClassVar[Form] = Form()

    def __init__(self, options: LabelEmbeddingOptions) -> None:
        super().__init__(options)
        self.store: Any = None
        self.kin: dict[int, NDArray[np.int64]] = {}

    def inputs(self, row: Mapping[str, Any]) -> list[Input]:
        """What the backbone should read of a row: its text."""
        return [Input(row[FIRST], "query")]

    def with_gold(self, rows: Sequence[Mapping[str, Any]], golds: Sequence[str]) -> list[dict[str, Any]]:
        """Rows that are to be compared with each other."""
        return [{**row, JUDGED: gold} for row, gold in zip(rows, golds, strict=True)]

    def read(self, backbone: Any, rows: Sequence[Mapping[str, Any]]) -> Encoding:
        """Rows as token ids, ragged."""
        return pieces.encoded(backbone, [self.inputs(row) for row in rows])

    def labels(self, golds: Iterable[str]) -> Labels:
        """Learns the label names.

        Args:
            golds: The training rows' labels.

        Returns:
            Names, sorted, with counts.

        Raises:
            DataError: Fewer than two labels, or none with two rows.
        """
        counts = Counter(golds)
        if len(counts) < 2 or max(counts.values()) < 2:
            raise DataError(
                f"the training rows have {len(counts)} label(s), and the most frequent has "
                f"{max(counts.values(), default=0)} row(s)",
                where="data.label", expected="at least two labels, and several rows of some of them",
                remedy="check data.label; where a row names the text that belongs to it, use the task embedding",
            )  # fmt: skip
        names = tuple(sorted(counts))
        return Labels(names, tuple(counts[name] for name in names))

    def unseen(self, golds: Iterable[str], labels: Labels) -> list[str]:
        """No label is unknown: texts of a new one are compared like any."""
        del golds, labels
        return []

    def examples(
        self, rows: Sequence[Mapping[str, Any]], golds: Sequence[str], encoding: Encoding, labels: Labels
    ) -> tuple[Encoding, Tensor]:
        """How rows were read, and `(N, 3)`: the text, the label, and the other text, of which there is none yet."""
        del labels
        keys = [[key_of(row[FIRST]), key_of(gold), 0] for row, gold in zip(rows, golds, strict=True)]
        return encoding, torch.tensor(keys, dtype=torch.int64)

    def learn_of(self, rows: Any) -> None:
        """Takes note of the rows to learn from, among which texts of a label are drawn."""
        self.store = rows
        labels = rows.targets[:, 1].numpy()
        order = np.argsort(labels, kind="stable")
        names, starts = np.unique(labels[order], return_index=True)
        self.kin = dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True))

    def draw(
        self, rows: Sequence[NDArray[np.int64]], numbers: Sequence[int], moment: tuple[int, ...]
    ) -> tuple[list[NDArray[np.int64]], Tensor]:
        """Draws another text of its label for each row, each by itself, so that batches make no difference.

        Args:
            rows: Token ids of some rows.
            numbers: Which rows they are.
            moment: What else the draw depends on: the seed, and the step.

        Returns:
            Their ids, each with those of the other text as a second piece; and targets `(B, 3)`. A row whose label has
            no other text stays alone.
        """
        targets = self.store.targets_of(numbers).clone()
        found: list[NDArray[np.int64]] = []
        for line, row, number in zip(targets, rows, numbers, strict=True):
            others = self.kin[int(line[1])]
            others = others[self.store.targets[others, 0].numpy() != int(line[0])]
            if not len(others):
                found.append(row)
                continue
            other = int(np.random.default_rng([*moment, int(number)]).choice(others))
            line[2] = self.store.targets[other, 0]
            found.append(as_pieces([row, unmarked(self.store.row(other))]))
        return found, targets

    def loss(self, outputs: Tensor, targets: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
        """The supervised contrastive loss of a batch (`attune.tasks.common.supcon`).

        Args:
            outputs: `(B, 2, D)`.
            targets: `(B, 3)`, as `draw` made them.
            labels: Not needed.

        Returns:
            Total `(B,)` and weight `(B,)`, all one, so that a row without another of its label counts as learned; both
            depend on the other rows.
        """
        del labels
        kinds = targets[:, 1:2].expand(-1, 2)
        total, _ = supervised_contrast(outputs, targets[:, [0, 2]], kinds, self.options.scale, self.options.sizes)
        return total, torch.ones_like(total)

    def predictions(self, asked: Asked) -> list[Prediction]:
        """Answers rows that were read; of rows that are to be compared the text, with its vector."""
        triples = zip(asked.rows, asked.outputs, asked.notices, strict=True)
        return [self._prediction(row, outputs, notices) for row, outputs, notices in triples]

    def _prediction(self, row: Mapping[str, Any], outputs: Any, notices: tuple[str, ...]) -> Prediction:
        vector = shortened(outputs[0], self.size(outputs.shape[-1]))
        if JUDGED in row:
            return Prediction(row[FIRST], notices=notices, probabilities=vector[None])
        return Prediction([round(float(value), DIGITS) for value in vector], notices=notices, probabilities=vector,
                          margin=0.0)  # fmt: skip

    def judged(self, name: str, predictions: Sequence[Prediction], golds: Sequence[str], labels: Labels) -> KinScores:
        """What each row finds among all others, beside those of its label."""
        del labels
        if any(found.probabilities is not None and found.probabilities.ndim == 2 for found in predictions):
            vectors = np.concatenate([found.probabilities for found in predictions if found.probabilities is not None])
            asked = kin_of([str(found.answer) for found in predictions], golds)
            at = {text: row for row, text in reversed(list(enumerate(asked.queries)))}
            first = [at[text] for text in asked.texts]
            predictions = found_by(asked, lambda begin, end: vectors[begin:end] @ vectors[first].T)
        return KinScores(name, list(golds), [result_of(found) for found in predictions], None)

    def metric(self, name: str) -> tuple[str, bool]:
        """A metric to choose on, and whether more of it is better; raises RecipeError where there is none such."""
        return metric_of(KinScores, name)

    def metrics(self, answers: KinScores) -> dict[str, float]:
        """Every metric of the task, by name."""
        return figures(answers)

    def baseline(self, name: str, train: Any, table: Any, labels: Labels, aids: Aids) -> list[Prediction]:
        """What is found by something that costs next to nothing.

        Args:
            name: `tfidf`: by the cosine of TF-IDF vectors. `bm25`: by the words they share. `zero_shot`: by the cosine
                of untuned vectors.
            train: The training rows.
            table: The rows to answer.
            labels: Not needed.
            aids: What TF-IDF and embeddings come from.

        Returns:
            One prediction a row.
        """
        del labels
        asked = kin_of(table.texts(), table.golds())
        if name == "bm25":
            index = Bm25(asked.texts)
            return found_by(asked, lambda begin, end: index.scores(asked.queries[begin:end]))
        if name == "tfidf":
            reader = aids.vectoriser().fit(train.texts())
            queries, others = reader.transform(asked.queries).tocsr(), reader.transform(asked.texts).T
            return found_by(asked, lambda begin, end: (queries[begin:end] @ others).toarray())
        if aids.embed is None:
            raise ValueError("embeddings were not asked for")
        near, far = aids.embed(list(asked.queries)), aids.embed(asked.texts)
        return found_by(asked, lambda begin, end: near[begin:end] @ far.T)
