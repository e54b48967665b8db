"""What tasks that learn from texts alone have in common: their targets are drawn, anew at every step."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from attune.core.encoding import Encoding
from attune.core.form import Form
from attune.core.packing import IGNORED
from attune.core.records import Input, Scores
from attune.core.texts import FIRST
from attune.errors import RecipeError, nearest
from attune.tasks.common import blocks
from attune.tasks.common.labelled import Labels
from attune.tasks.common.masking import Plan
from attune.tasks.common.vocabulary import Vocabulary
from attune.tasks.heads.registry import HEADS
from attune.tasks.metrics import higher_is_better

Rows = Sequence[Mapping[str, Any]]
"""Rows with their texts."""
TRIAL = Plan(share=0.15)
"""What every figure is measured on, whatever the recipe trains on, so that bundles can be compared."""
TRIAL_SEED = 20_261_123


@dataclass(frozen=True)
class Trial:
    """Rows with a fixed draw, packed as they are to be learned from.

    Attributes:
        ids: Token ids of each block `(T,)`.
        targets: Of each block `(T,)`; −100 where nothing is asked.
        owners: The row that each token is of `(T,)`; −1 between rows.
    """

    ids: list[NDArray[np.int64]]
    targets: list[NDArray[np.int32]]
    owners: list[NDArray[np.int64]]


@dataclass(frozen=True)
class Found:
    """What was answered to each token that was asked for, M of them.

    Attributes:
        owners: `(M,)` the row it is of.
        gold: `(M,)` its target.
        chosen: `(M,)` the answer.
        loss: `(M,)` in nats.
    """

    owners: NDArray[np.int64]
    gold: NDArray[np.int64]
    chosen: NDArray[np.int64]
    loss: NDArray[np.float64]


@dataclass(frozen=True)
class DrawnScores(Scores):
    """Answers to drawn tokens; a row's `gold` and `chosen` are lists of targets.

    Attributes:
        loss: `(N,)` sum over the row's drawn tokens, in nats.
        count: `(N,)` drawn tokens.
        hits: `(N,)` those that were answered right.
    """

    loss: NDArray[np.float64]
    count: NDArray[np.float64]
    hits: NDArray[np.float64]
    sums: ClassVar[tuple[str, ...]] = ("loss", "count", "hits")
    """What is kept as one number a row."""

    @classmethod
    def of(cls, name: str, rows: int, found: Found, **more: Any) -> Self:
        """Gathers what was answered by row.

        Args:
            name: Who answered.
            rows: N.
            found: By token, in the order of rows.
            **more: What the kind of scores has besides.

        Returns:
            The scores.
        """
        order = np.argsort(found.owners, kind="stable")
        ends = np.cumsum(np.bincount(found.owners, minlength=rows))[:-1]
        gold, chosen = (np.split(part[order], ends) for part in (found.gold, found.chosen))
        sums = {
            "loss": np.bincount(found.owners, found.loss, rows),
            "count": np.bincount(found.owners, minlength=rows).astype(np.float64),
            "hits": np.bincount(found.owners, found.gold == found.chosen, rows),
        }
        return cls(name, [part.tolist() for part in gold], [part.tolist() for part in chosen], None, **sums, **more)

    def right(self) -> NDArray[np.bool_]:
        """Which rows have every drawn token right `(N,)`."""
        return self.hits == self.count

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Some of the rows."""
        part = {name: getattr(self, name)[rows] for name in self.sums}
        return replace(super().take(rows), **part)

    def beside(self, other: Any) -> Self:
        """These rows, then those of another."""
        both = {name: np.append(getattr(self, name), getattr(other, name)) for name in self.sums}
        return replace(super().beside(other), **both)

    def means(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean loss and share of hits a token `(R,)`, under weights `(R, N)`; zero where nothing was drawn."""
        count = np.maximum(weights @ self.count, 1e-12)
        return weights @ self.loss / count, weights @ self.hits / count


class PlainTask(ABC):
    """A task that learns from texts alone: what is right for them is drawn.

    Args:
        options: Validated options.
        words: The backbone's vocabulary, once the backbone is there.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    features: ClassVar[str] = "tokens"
    over: ClassVar[str]
    """What its head must answer from."""
    fields: ClassVar[tuple[str, ...]] = (FIRST,)
    baselines: ClassVar[tuple[str, ...]] = ("majority",)
    no_baseline: ClassVar[str] = "rows have no labels"
    cuts: ClassVar[bool] = False
    cut: ClassVar[str] = "only the first {limit} tokens were read"
    tempered: ClassVar[bool] = False
    multi_label: ClassVar[bool] = False
    paired: ClassVar[bool] = False
    metric_names: ClassVar[tuple[str, ...]]

    def __init__(self, options: Any, words: Vocabulary | None = None) -> None:
        self.options = options
        self.words = words

    def on(self, backbone: Any) -> Self:
        """This task with the vocabulary of a backbone."""
        return type(self)(self.options, Vocabulary.of(backbone))

    @property
    def known(self) -> Vocabulary:
        """The vocabulary."""
        if self.words is None:
            raise ValueError("a task without its backbone")
        return self.words

    @abstractmethod
    def trial(self, backbone: Any, rows: Rows) -> Trial:
        """Rows with a draw that their own content decides."""

    @abstractmethod
    def counted(self, backbone: Any, rows: Rows) -> NDArray[np.int64]:
        """How often each answer is right in rows, for the baseline that knows nothing else."""

    @abstractmethod
    def scores(self, name: str, rows: Rows, found: Found) -> DrawnScores:
        """What was answered, gathered by row."""

    @abstractmethod
    def frequent(self, gold: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], Any]:
        """The baseline that knows only how frequent answers are.

        Args:
            gold: `(M,)` targets.
            counts: As `counted` made them of the training rows.

        Returns:
            Its answers `(M,)`, and their losses `(M,)`.
        """

    @property
    def form(self) -> Form:
        """A text, with nothing that is right for it."""
        return Form(self.fields, labelled=False)

    def inputs(self, row: Mapping[str, Any]) -> list[Input]:
        """What the backbone should read of a row: its text."""
        return [Input(row[FIRST])]

    def pieces(self) -> int:
        """How many things are read of a row."""
        return 1

    def labels(self, golds: Iterable[Any]) -> Labels:
        """No labels."""
        del golds
        return Labels((), ())

    def unseen(self, golds: Iterable[Any], labels: Labels) -> list[str]:
        """No labels that were never learned."""
        del golds, labels
        return []

    def join(self, features: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """What the head sees of tokens: their features."""
        del inputs
        return features

    def metric(self, name: str) -> tuple[str, bool]:
        """A metric to choose on, and whether more of it is better.

        Args:
            name: A metric of the task, `loss`, or nothing for the task's first.

        Returns:
            The name and the direction.

        Raises:
            RecipeError: The task has no such metric.
        """
        name, known = name or self.metric_names[0], (*self.metric_names, "loss")
        if name not in known:
            raise RecipeError(f"the task has no metric {name!r}", where="training.metric", remedy=nearest(name, known))
        return name, higher_is_better(name)

    def metrics(self, answers: DrawnScores) -> dict[str, float]:
        """Every metric of the task, and the mean loss of a token."""
        everything = np.ones((1, len(answers.gold)))
        found = {name: float(values[0]) for name, values in answers.measure(everything).items()}
        return {**found, "loss": float(answers.means(everything)[0][0])}


class DrawnTask(PlainTask):
    """A task that hides something of a text and asks for it, token by token.

    Args:
        options: Validated options.
        words: The backbone's vocabulary, once the backbone is there.
    """

    @property
    @abstractmethod
    def plan(self) -> Plan:
        """How tokens are hidden in training."""

    @abstractmethod
    def corrupted(
        self, ids: NDArray[np.int64], plan: Plan, draw: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Draws what is asked of a row.

        Args:
            ids: `(T,)`, with marks.
            plan: How tokens are hidden.
            draw: Source of chance.

        Returns:
            `(T,)` plain ids, and `(T,)` targets, −100 where nothing is asked.
        """

    def read(self, backbone: Any, rows: Rows) -> Encoding:
        """Rows to answer as token ids, ragged."""
        return self.whole(backbone, rows)

    def whole(self, backbone: Any, rows: Rows) -> Encoding:
        """Rows as token ids, ragged, with places; long texts in windows, so that nothing is cut."""
        encoding, counts = backbone.windows([item for row in rows for item in self.inputs(row)], overlap=0)
        return encoding.grouped(counts)

    def blocks(self, backbone: Any, rows: Sequence[Mapping[str, Any]]) -> Encoding:
        """Rows to learn from: texts joined and cut into blocks of the backbone's length."""
        inner = blocks.contents(self.whole(backbone, rows), words=self.plan.words)
        edges = inner.before[:, None], inner.after[:, None]
        found = blocks.cut([row[:, None] for row in inner.rows], *edges, backbone.max_length)
        return blocks.encoded(found, backbone.tokenizer.unk_token_id, len(inner.before) + len(inner.after))

    def draw(
        self, rows: Sequence[NDArray[np.int64]], numbers: Sequence[int], moment: tuple[int, ...]
    ) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int32]]]:
        """Draws what is asked of rows, each by itself, so that batches make no difference.

        Args:
            rows: Token ids of some blocks.
            numbers: Which blocks they are.
            moment: What else the draw depends on: the seed, and the step.

        Returns:
            Their ids as they are to be read, and their targets.
        """
        drawn = [
            self.corrupted(row, self.plan, np.random.default_rng([*moment, int(number)]))
            for row, number in zip(rows, numbers, strict=True)
        ]
        return [ids for ids, _ in drawn], [targets for _, targets in drawn]

    def trial(self, backbone: Any, rows: Sequence[Mapping[str, Any]]) -> Trial:
        """Rows with a draw that their own tokens decide, packed."""
        inner = blocks.contents(self.whole(backbone, rows), words=False)
        lines: list[blocks.Lines] = []
        for number, row in enumerate(inner.rows):
            chance = np.random.default_rng([TRIAL_SEED, zlib.crc32(row.tobytes())])
            ids, targets = self.corrupted(row, TRIAL, chance)
            lines.append(np.column_stack([ids, targets, np.full(len(ids), number)]))
        before, after = (blocks.beside(edge, IGNORED, -1) for edge in (inner.before, inner.after))
        made = blocks.cut(lines, before, after, backbone.max_length)
        return Trial(
            [block[:, 0] for block in made], [block[:, 1].astype(np.int32) for block in made], [b[:, 2] for b in made]
        )

    def counted(self, backbone: Any, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.int64]:
        """How often each token occurs in rows `(V,)`."""
        inner = blocks.contents(self.whole(backbone, rows), words=False)
        tokens = np.concatenate([*inner.rows, np.zeros(0, dtype=np.int64)])
        return np.bincount(tokens, minlength=len(self.known.special))

    def head(self, width: int, labels: Labels, dropout: float) -> nn.Module:
        """A head for a backbone whose vectors have `width` features."""
        del labels
        return HEADS.get(self.options.head)(width, self.known, dropout)
