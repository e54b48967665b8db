"""Ranking: which of a row's candidates answer its query; multiple choice, where one of them is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from attune.core.encoding import Encoding
from attune.core.form import Form, Gold
from attune.core.recipe import Options
from attune.core.records import Alternative, Input, Prediction
from attune.core.texts import FIRST
from attune.errors import DataError, RecipeError
from attune.tasks.common.aids import Aids
from attune.tasks.common.asked import Asked
from attune.tasks.common.bm25 import Bm25
from attune.tasks.common.candidates import SHOWN, RankingScores, candidates_of, ranked, right_of
from attune.tasks.common.labelled import Labels
from attune.tasks.common.pieces import encoded, parted, stacked
from attune.tasks.common.scored import confidences, figures, metric_of
from attune.tasks.heads.score import ScoreHead

NAME = "candidates"
ABSENT = -1
"""The target of a place at which a row has no candidate."""
SCALE = 20.0
"""What a cosine is multiplied by in the beginning: the usual scale of sentence embeddings."""


class RankingOptions(Options):
    """Which of a row's candidates answer its query."""

    name: Literal["ranking"] = "ranking"
    head: str = "linear"
    """How a candidate is scored: one linear map of what was read of it."""
    encoder: Literal["cross", "bi"] = "cross"
    """cross: the query and each candidate are read as one sequence. bi: each is read on its own, and a candidate's
    score is a multiple of the cosine of the two vectors; less exact, faster, and it answers well from the beginning."""
    candidates: int = Field(50, ge=2, le=1000)
    """The most candidates a row may have."""


class Ranking:
    """Candidates in the order in which they answer a query.

    The loss is the negative logarithm of the probability that all right candidates have together, a softmax over the
    candidates of a row (ListNet's top-one probability, Cao et al. 2007).

    Args:
        options: Validated options.
    """

    Options: ClassVar[type[RankingOptions]] = RankingOptions
    summary: ClassVar[str] = "which of a row's candidates answer its text, the best first; multiple choice"
    fields: ClassVar[tuple[str, ...]] = (FIRST,)
    features: ClassVar[str] = "pooled"
    needs: ClassVar[frozenset[str]] = frozenset()
    baselines: ClassVar[tuple[str, ...]] = ("majority", "tfidf", "bm25", "zero_shot")
    no_baseline: ClassVar[str] = "it does not fit the task"
    called: ClassVar[Mapping[str, str]] = {"majority": "often right", "zero_shot": "cosine"}
    """Baselines that are something else here."""
    cuts: ClassVar[bool] = True
    cut: ClassVar[str] = "only {limit} tokens were read; the end of the text or of a candidate was cut off"
    multi_label: ClassVar[bool] = False
    tempered: ClassVar[bool] = False

    def __init__(self, options: RankingOptions) -> None:
        if options.head != "linear":
            raise RecipeError(
                f"head {options.head!r} does not score candidates", where="task.head", expected="linear",
                remedy="leave task.head out",
            )  # fmt: skip
        self.options = options
        self.paired = options.encoder == "cross"
        """Whether two texts share a sequence."""

    @property
    def form(self) -> Form:
        """What a row must have."""
        most = self.options.candidates
        return Form(
            gold=Gold(
                lambda cell, row: right_of(cell, candidates_of(row[NAME], most)),
                lambda _: [],
                "the right candidates, by text or by position counted from 0,",
            ),
            also={NAME: lambda cell, _: candidates_of(cell, most)},
        )

    @property
    def limits(self) -> str:
        """What a user of the answers should know."""
        return "It ranks whatever candidates it is given: that one stands first does not say that it is right."

    def answers_with(self, labels: Labels) -> str:
        """What an answer is, for the card."""
        del labels
        return "Answers with the best of a row's candidates, the next ones after it"

    def inputs(self, row: Mapping[str, Any]) -> list[Input]:
        """What the backbone should read of a row: the query with each candidate, or the query and each candidate."""
        if self.paired:
            return [Input(row[FIRST], pair=text) for text in row[NAME]]
        return [Input(row[FIRST], "query"), *(Input(text, "candidate") for text in row[NAME])]

    def read(self, backbone: Any, rows: Sequence[Mapping[str, Any]]) -> Encoding:
        """Rows as token ids, ragged; the first token of a row is marked, so that a batch can be parted into rows."""
        return encoded(backbone, [self.inputs(row) for row in rows])

    def pieces(self) -> int:
        """How many sequences are read of a row, at least."""
        return 2 if self.paired else 3

    def join(self, pooled: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """What is known of each candidate, padded with zeros to the most that a row may have.

        Args:
            pooled: `(P, D)`, the vectors of all pieces of all rows.
            inputs: The collated batch, whose marks say where a row begins.

        Returns:
            `(B, M, D)`; with two encoders `(B, M, 1)`: cosines.
        """
        parts = parted(pooled, inputs)
        if not self.paired:
            parts = [F.cosine_similarity(part[:1], part[1:], dim=-1).unsqueeze(-1) for part in parts]
        return stacked(parts, self.options.candidates)

    def labels(self, golds: Iterable[Any]) -> Labels:
        """How many rows there are to learn from; no names."""
        count = sum(1 for _ in golds)
        if not count:
            raise DataError("no training row", where="data.train", expected="rows with candidates")
        return Labels((), (count,))

    def unseen(self, golds: Iterable[Any], labels: Labels) -> list[str]:
        """No label is unknown: there are none."""
        del golds, labels
        return []

    def examples(
        self, rows: Sequence[Mapping[str, Any]], golds: Sequence[Sequence[int]], encoding: Encoding, labels: Labels
    ) -> tuple[Encoding, Tensor]:
        """How rows were read, and their targets `(N, M)`: 1 right, 0 wrong, −1 where a row has no candidate."""
        del labels
        targets = torch.full((len(rows), self.options.candidates), ABSENT, dtype=torch.int8)
        for line, row, gold in zip(targets, rows, golds, strict=True):
            line[: len(row[NAME])] = 0
            line[list(gold)] = 1
        return encoding, targets

    def head(self, width: int, labels: Labels, dropout: float) -> nn.Module:
        """A head that scores candidates; of cosines it begins as the usual multiple."""
        del labels
        return ScoreHead(width, dropout=dropout) if self.paired else ScoreHead(1, SCALE)

    def outputs_of(self, labels: Labels) -> int:
        """How many numbers the head says of a row."""
        del labels
        return self.options.candidates

    def loss(self, outputs: Tensor, targets: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
        """Negative log of the probability that the right candidates have together.

        Args:
            outputs: `(B, M)`.
            targets: `(B, M)`, as `examples` made them.
            labels: Not needed.

        Returns:
            Total `(B,)` and weight `(B,)`, all one.
        """
        del labels
        there = outputs.masked_fill(targets == ABSENT, -torch.inf)
        right = outputs.masked_fill(targets != 1, -torch.inf)
        total = there.logsumexp(-1) - right.logsumexp(-1)
        return total, torch.ones_like(total)

    def predictions(self, asked: Asked) -> list[Prediction]:
        """Answers rows that were read."""
        triples = zip(asked.rows, asked.outputs, asked.notices, strict=True)
        return [self._prediction(row[NAME], outputs, notices) for row, outputs, notices in triples]

    def _prediction(self, texts: Sequence[str], outputs: Any, notices: tuple[str, ...]) -> Prediction:
        chances = torch.from_numpy(outputs[: len(texts)]).double().softmax(-1).numpy()
        order = ranked(texts, chances)
        best = tuple(Alternative(texts[place], float(chances[place])) for place in order[:SHOWN])
        margin = float(chances[order[0]] - chances[order[1]])
        return Prediction(best[0].label, best[0].confidence, best, notices, chances, margin=margin)

    def judged(
        self, name: str, predictions: Sequence[Prediction], golds: Sequence[Sequence[int]], labels: Labels
    ) -> RankingScores:
        """Predictions beside what was right; a prediction's probabilities say the order of all candidates."""
        del labels
        orders = [order_of(found) for found in predictions]
        return RankingScores(name, [list(gold) for gold in golds], orders, confidences(predictions))

    def metric(self, name: str) -> tuple[str, bool]:
        """A metric to choose on, and whether more of it is better; raises RecipeError where there is none such."""
        return metric_of(RankingScores, name)

    def metrics(self, answers: RankingScores) -> dict[str, float]:
        """Every metric of the task, by name."""
        return figures(answers)

    def baseline(self, name: str, train: Any, table: Any, labels: Labels, aids: Aids) -> list[Prediction]:
        """Ranks as something that costs next to nothing would.

        Args:
            name: `majority`: by how often a candidate's text was right in the training rows. `tfidf`: by the cosine of
                TF-IDF vectors. `bm25`: by the words they share, which are weighed by all candidates of the rows.
                `zero_shot`: by the cosine of untuned vectors.
            train: The training rows.
            table: The rows to answer.
            labels: Not needed.
            aids: What TF-IDF and embeddings come from.

        Returns:
            One prediction a row.
        """
        del labels
        texts, asked = table.texts(), table.column(NAME)
        if name == "majority":
            pairs = zip(train.column(NAME), train.golds(), strict=True)
            often = Counter(candidates[place] for candidates, gold in pairs for place in gold)
            return [by_scores(candidates, [often[text] for text in candidates]) for candidates in asked]
        if name == "tfidf":
            known = {*train.texts(), *(text for candidates in train.column(NAME) for text in candidates)}
            reader = aids.vectoriser().fit(sorted(known))
            queries = reader.transform(texts)
            return [
                by_scores(candidates, (reader.transform(candidates) @ queries[row].T).toarray()[:, 0])
                for row, candidates in enumerate(asked)
            ]
        several = sorted({text for candidates in asked for text in candidates})
        place = {text: row for row, text in enumerate(several)}
        if name == "bm25":
            index = Bm25(several)
            return [
                by_scores(candidates, index.scores([text])[0, [place[one] for one in candidates]])
                for text, candidates in zip(texts, asked, strict=True)
            ]
        if aids.embed is None:
            raise ValueError("embeddings were not asked for")
        vectors, queries = aids.embed(several), aids.embed(texts)
        return [
            by_scores(candidates, vectors[[place[text] for text in candidates]] @ queries[row])
            for row, candidates in enumerate(asked)
        ]


def by_scores(candidates: Sequence[str], scores: Any) -> Prediction:
    """A ranking by scores that are no probabilities; equal ones go by a hash of the text."""
    order = ranked(candidates, scores)
    places = np.empty(len(order), dtype=np.float32)
    places[order] = -np.arange(len(order), dtype=np.float32)
    return Prediction(candidates[order[0]], probabilities=places)


def order_of(found: Prediction) -> list[int]:
    """Positions of all candidates, the best first."""
    if found.probabilities is None:
        raise ValueError("a ranking without scores")
    return np.argsort(-found.probabilities, kind="stable").tolist()
