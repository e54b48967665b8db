"""Regression: a number a text, or a number two texts: how good, how long, how alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from attune.core.encoding import Encoding
from attune.core.form import Form, Gold
from attune.core.recipe import Options
from attune.core.records import Input, Prediction
from attune.core.texts import parts
from attune.tasks.common.aids import Aids
from attune.tasks.common.asked import Asked
from attune.tasks.common.labelled import Labels
from attune.tasks.common.numbers import Numbers, NumberScores, learned, number, rounded
from attune.tasks.common.reader import Reader, reading_of
from attune.tasks.common.ridge import line, ridge
from attune.tasks.common.scored import figures, metric_of
from attune.tasks.heads.registry import HEADS

SLOPE = 5.0
"""Standard deviations of the numbers a unit of cosine, where a run begins at random: cosines usually vary by 0.2."""
ROWS_FOR_LINE = 2_000
"""Training rows on which untuned cosines are scaled to the numbers; more are sampled down to this."""


class RegressionOptions(Options):
    """Which number a row has."""

    name: Literal["regression"] = "regression"
    head: str = "linear"
    """How the number is asked for."""
    encoder: Literal["single", "cross", "bi", "cosine"] = "single"
    """single: a row is one text. cross: two texts, read as one sequence. bi: two texts, each read on its own, the head
    sees both vectors. cosine: two texts, each read on its own, and the number grows with the cosine of their vectors:
    for similarity; a text's vector can be kept and compared with many."""


class Regression:
    """One number a row, of one text or of two.

    Numbers are learned in units of the training rows' standard deviation, from their mean; both are kept with the head.

    Args:
        options: Validated options.
    """

    Options: ClassVar[type[RegressionOptions]] = RegressionOptions
    summary: ClassVar[str] = "one number a text, or two texts (`encoder`): a grade, an amount, how alike they are"
    needs: ClassVar[frozenset[str]] = frozenset()
    features: ClassVar[str] = "pooled"
    cuts: ClassVar[bool] = True
    multi_label: ClassVar[bool] = False
    tempered: ClassVar[bool] = False
    problem: ClassVar[str] = "regression"
    """What transformers calls it."""
    strengths: ClassVar[tuple[float, ...]] = (1.0, 0.3, 0.1, 0.03, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5)
    """Penalties of the solved head to choose from: squared errors want stronger ones than labels."""
    called: ClassVar[Mapping[str, str]] = {"majority": "mean", "zero_shot": "cosine"}
    """Baselines that are something else for numbers."""

    def __init__(self, options: RegressionOptions) -> None:
        self.options = options
        self.reader = Reader(options.encoder)
        self.fields = self.reader.fields
        self.baselines = ("majority", "tfidf", "zero_shot") if len(self.fields) > 1 else ("majority", "tfidf")
        end = "; the end of a text was cut off" if len(self.fields) > 1 else ""
        first = "" if end else "the first "
        self.cut = f"only {first}{{limit}} tokens were read{end}"

    @property
    def no_baseline(self) -> str:
        """Why a baseline is missing."""
        return "an untuned backbone knows no number of one text"

    @property
    def form(self) -> Form:
        """What a row must have."""
        return Form(self.fields, gold=Gold(number, lambda _: [], "a number"))

    @property
    def limits(self) -> str:
        """What a user of the answers should know."""
        return (
            "It gives a number to every row, also one that is like none it learned from, and does not say how sure it "
            "is; answers may lie outside the range of the training rows."
        )

    def answers_with(self, labels: Labels) -> str:
        """What an answer is, for the card."""
        if not isinstance(labels, Numbers):
            return "Answers with a number"
        return (
            f"Answers with a number; those of the training rows lie from {labels.low:.4g} to {labels.high:.4g}, mean "
            f"{labels.mean:.4g}, standard deviation {labels.spread:.4g}"
        )

    def inputs(self, row: Mapping[str, Any]) -> list[Input]:
        """What the backbone should read of a row."""
        return self.reader.inputs(row)

    def read(self, backbone: Any, rows: Sequence[Mapping[str, Any]]) -> Encoding:
        """Rows as token ids, ragged."""
        inputs = [item for row in rows for item in self.inputs(row)]
        return backbone.encode(inputs).grouped([self.pieces()] * len(rows))

    @property
    def paired(self) -> bool:
        """Whether two texts are read as one sequence."""
        return len(self.form.texts) > self.pieces()

    @property
    def reading(self) -> str:
        """How a row is read, in words, for other tasks to read it along."""
        return reading_of(len(self.fields), self.pieces())

    def pieces(self) -> int:
        """How many sequences are read of a row."""
        return self.reader.pieces

    def join(self, pooled: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """One vector a row `(B, W)`, of the vectors `(B · pieces, D)` of what was read of it."""
        del inputs
        return self.reader.join(pooled)

    def labels(self, golds: Iterable[float]) -> Numbers:
        """What is learned of the training rows' numbers; raises DataError where all are equal."""
        return learned(golds)

    def unseen(self, golds: Iterable[float], labels: Labels) -> list[str]:
        """No number is unknown."""
        del golds, labels
        return []

    def targets(self, golds: Sequence[float], labels: Numbers) -> Tensor:
        """Numbers less the training mean, in units of its standard deviation `(N,)`."""
        return torch.tensor((np.asarray(golds, dtype=np.float64) - labels.mean) / labels.spread, dtype=torch.float32)

    def examples(
        self, rows: Sequence[Mapping[str, Any]], golds: Sequence[float], encoding: Encoding, labels: Numbers
    ) -> tuple[Encoding, Tensor]:
        """What is learned from of rows: how they were read, and their targets."""
        del rows
        return encoding, self.targets(golds, labels)

    def head(self, width: int, labels: Labels, dropout: float) -> nn.Module:
        """A head with one output; the training numbers' mean and standard deviation are buffers of it.

        Of a cosine it begins with a slope that suits it, until it is solved.
        """
        head = HEADS.get(self.options.head)(self.reader.width(width), 1, 0.0 if self.alike else dropout)
        mean, spread = (labels.mean, labels.spread) if isinstance(labels, Numbers) else (0.0, 1.0)
        head.register_buffer("mean", torch.tensor(mean, dtype=torch.float64))
        head.register_buffer("spread", torch.tensor(spread, dtype=torch.float64))
        if self.alike:
            nn.init.constant_(head.affine()[0], SLOPE)
        return head

    def affine(self, head: Any, temperature: float) -> tuple[Tensor, Tensor]:
        """Weight `(1, W)` and bias `(1,)` that give numbers in their own units; a temperature means nothing here."""
        del temperature
        weight, bias = head.affine()
        return weight * head.spread, bias * head.spread + head.mean

    @property
    def alike(self) -> bool:
        """Whether the head sees nothing but a cosine."""
        return self.options.encoder == "cosine"

    def outputs_of(self, labels: Labels) -> int:
        """How many numbers the head says of a row: one."""
        del labels
        return 1

    def loss(self, outputs: Tensor, targets: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
        """Squared error a row.

        Args:
            outputs: `(B, 1)`.
            targets: `(B,)` in the same units.
            labels: Not needed.

        Returns:
            Total `(B,)` and weight `(B,)`, all one.
        """
        del labels
        return (outputs.squeeze(-1) - targets).square(), torch.ones_like(targets)

    def predictions(self, asked: Asked) -> list[Prediction]:
        """Answers rows that were read: numbers, without a confidence, for none is known."""
        head: Any = asked.head
        mean, spread = float(head.mean), float(head.spread)
        return [
            Prediction(rounded(mean + spread * float(output[0])), notices=notices, probabilities=output, margin=0.0)
            for output, notices in zip(asked.outputs, asked.notices, strict=True)
        ]

    def judged(
        self, name: str, predictions: Sequence[Prediction], golds: Sequence[float], labels: Labels
    ) -> NumberScores:
        """Predictions beside what was right."""
        del labels
        return NumberScores(name, list(golds), [found.answer for found in predictions], None)

    def metric(self, name: str) -> tuple[str, bool]:
        """A metric to choose on, and whether more of it is better; raises RecipeError where there is none such."""
        return metric_of(NumberScores, name)

    def metrics(self, answers: NumberScores) -> dict[str, float]:
        """Every metric of the task, by name."""
        return figures(answers)

    def baseline(self, name: str, train: Any, table: Any, labels: Labels, aids: Aids) -> list[Prediction]:
        """Answers as something that costs next to nothing would.

        Args:
            name: `majority`: the training mean. `tfidf`: ridge regression on TF-IDF. `zero_shot`: of two texts the
                cosine of their untuned vectors, scaled to the numbers of at most 2,000 training rows.
            train: The training rows.
            table: The rows to answer.
            labels: Not needed.
            aids: What TF-IDF and embeddings come from.

        Returns:
            One prediction a row.
        """
        del labels
        gold = np.asarray(train.golds(), dtype=np.float64)
        if name == "majority":
            found = np.full(len(table), gold.mean())
        elif name == "tfidf":
            found = ridge(train.texts(), gold, table.texts(), aids)
        else:
            kept = np.sort(np.random.default_rng(aids.seed).permutation(len(train))[:ROWS_FOR_LINE])
            texts = train.texts()
            known = cosines([texts[row] for row in kept], aids)
            found = line(known, gold[kept], cosines(table.texts(), aids))
        return [Prediction(float(value)) for value in found]


def cosines(texts: Sequence[str], aids: Aids) -> Any:
    """The cosine of the untuned vectors of each pair of joined texts `(N,)`."""
    if aids.embed is None:
        raise ValueError("embeddings were not asked for")
    first, second = (aids.embed([parts(text)[at] for text in texts]) for at in (0, 1))
    return (first.astype(np.float64) * second).sum(1)
