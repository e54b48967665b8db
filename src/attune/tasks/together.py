"""Several tasks asked of the same rows at once: one reading, one backbone, a head and a loss for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attune.core.encoding import Encoding
from attune.core.form import Form, Gold
from attune.core.packing import IGNORED, PIECE
from attune.core.records import Answers, Input, Joint, Prediction, Scores
from attune.errors import DataError, RecipeError, UnsupportedError, nearest
from attune.tasks.common.aligned import Aligned
from attune.tasks.common.asked import Asked
from attune.tasks.common.labelled import Labels
from attune.tasks.common.parts import Given, Parts, Targets, by_row, chosen

MEAN, ALL_RIGHT = "mean", "all_right"
"""Metrics of several tasks: the mean of each one's first metric, and the share of rows in which all are right."""


@dataclass(frozen=True)
class LabelsOfSeveral(Labels):
    """What was learned of the labels of several tasks; names and counts are those of all, one task after the other."""

    parts: Mapping[str, Labels] = field(default_factory=dict[str, Labels])


def labels_of(parts: Mapping[str, Labels]) -> LabelsOfSeveral:
    """The labels of several tasks; each name says whose it is."""
    names = tuple(f"{name}={label}" for name, labels in parts.items() for label in labels.names)
    counts = tuple(count for labels in parts.values() for count in labels.counts)
    return LabelsOfSeveral(names, counts, parts)


class Heads(nn.Module):
    """A head a task.

    Args:
        tasks: By name.
        heads: By name.
        labels: By name.
        weights: How much each counts.
    """

    def __init__(
        self,
        tasks: Mapping[str, Any],
        heads: Mapping[str, nn.Module],
        labels: Mapping[str, Labels],
        weights: Mapping[str, float],
    ) -> None:
        super().__init__()
        self.tasks = dict(tasks)
        self.labels = dict(labels)
        self.weights = dict(weights)
        self.heads = nn.ModuleDict({f"{name}_head": head for name, head in heads.items()})

    def of(self, name: str) -> Any:
        """The head of one task."""
        return self.heads[f"{name}_head"]

    def forward(self, features: Parts) -> Parts:
        """What each head says of its features."""
        return Parts({name: self.of(name)(values) for name, values in features.items()})

    def loss(self, outputs: Parts, targets: Targets) -> tuple[Tensor, Tensor]:
        """The weighted losses of all tasks.

        A row counts in a task by the task's own weight for it; where a task learns from tokens by one, with the mean of
        its tokens' losses. What a row has no gold for counts nothing.

        Args:
            outputs: By task, of B rows or of their P pieces.
            targets: Of the same rows.

        Returns:
            Total and weight, both `(B,)`.
        """
        count = len(next(iter(targets.there.values())))
        totals: list[Tensor] = []
        weights: list[Tensor] = []
        for name, task in self.tasks.items():
            total, weight = self._loss(name, outputs[name], targets.parts[name])
            if task.features == "tokens":
                total, weight = by_row(total, targets.rows, count), by_row(weight, targets.rows, count)
                total, weight = total / weight.clamp(min=1), (weight > 0).to(weight)
            there = targets.there[name].to(weight)
            totals.append(self.weights[name] * total * there)
            weights.append(self.weights[name] * weight * there)
        return torch.stack(totals).sum(0), torch.stack(weights).sum(0)

    def _loss(self, name: str, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        head = self.of(name)
        if hasattr(head, "loss"):
            return head.loss(outputs, targets)
        return self.tasks[name].loss(outputs, targets, self.labels[name])


class Together:
    """Several tasks as one, which does for each what it would do by itself.

    Args:
        tasks: By name, in order; they read a row's text in one way (`why_apart` is empty).
        columns: By name the column of what is right.
        weights: By name how much a row's loss counts.
    """

    features: ClassVar[str] = "several"
    cuts: ClassVar[bool] = True
    multi_label: ClassVar[bool] = False

    def __init__(self, tasks: Mapping[str, Any], columns: Mapping[str, str], weights: Mapping[str, float]) -> None:
        self.tasks = dict(tasks)
        self.columns = dict(columns)
        self.weights = dict(weights)
        self.first = next(iter(self.tasks.values()))
        self.windowed: Any = next((task for task in self.tasks.values() if not task.cuts), None)

    @property
    def reads(self) -> str:
        """What is read of a backbone: `pooled`, `tokens` or `both`."""
        kinds = {task.features for task in self.tasks.values()}
        return kinds.pop() if len(kinds) == 1 else "both"

    @property
    def form(self) -> Form:
        """What a row must have: its texts, and for at least one task what is right."""
        forms = {name: task.form for name, task in self.tasks.items()}
        expected = " and ".join(f"{name} in {self.columns[name]!r}" for name in forms)
        return Form(
            self.first.form.texts,
            gold=Gold(lambda cell, row: cell, self._names, f"what is right for {expected}"),
            tokens=any(form.tokens for form in forms.values()),
            parts={name: (self.columns[name], form) for name, form in forms.items()},
        )

    def _names(self, gold: Mapping[str, Any]) -> list[str]:
        """The labels in a row's gold, each with its task."""
        found: list[str] = []
        for name, value in gold.items():
            form = self.tasks[name].form
            if value is not None:
                own: list[str] = form.gold.names(value) if form.gold else value if form.several else [value]
                found += [f"{name}={label}" for label in own]
        return found

    @property
    def cut(self) -> str:
        """What a person is told of a row that was too long."""
        if not self.windowed:
            return self.first.cut
        short = ", ".join(name for name, task in self.tasks.items() if task.cuts)
        return f"only the first {{limit}} tokens were read for {short}"

    @property
    def paired(self) -> bool:
        """Whether two texts are read as one sequence."""
        return self.first.paired

    def pieces(self) -> int:
        """How many things are read of a row that is not too long."""
        return self.first.pieces()

    def inputs(self, row: Mapping[str, Any]) -> list[Input]:
        """What the backbone should read of a row."""
        return self.first.inputs(row)

    def read(self, backbone: Any, rows: Sequence[Mapping[str, Any]]) -> Encoding:
        """Rows as token ids: in windows where a task asks for it. A task that cuts sees the first window."""
        encoding: Encoding = (self.windowed or self.first).read(backbone, rows)
        if self.windowed and any(task.cuts for task in self.tasks.values()):
            longer = [bool(ids[-1] >> PIECE) for ids in encoding.ids]
            encoding = replace(encoding, truncated=np.asarray(longer, dtype=np.bool_))
        return encoding

    def join(self, found: Any, inputs: Mapping[str, Tensor]) -> Parts:
        """What each head sees.

        Args:
            found: `pooled` or `tokens` of the batch, or both by name.
            inputs: The collated batch.

        Returns:
            By task `(B, W)` or `(P, T, W)`.
        """
        seen = Parts()
        for name, task in self.tasks.items():
            own = found if isinstance(found, Tensor) else found[task.features]
            if self.windowed and task.features == "pooled" and "rows" in inputs:
                own = own[begins(inputs["rows"])]
            seen[name] = task.join(own, inputs)
        return seen

    def labels(self, golds: Iterable[Mapping[str, Any]]) -> LabelsOfSeveral:
        """Learns the labels of each task from the rows that have gold for it.

        Args:
            golds: What is right for each row, by task.

        Returns:
            By task, and all of them.

        Raises:
            DataError: No row has gold for one of the tasks, or a task cannot learn from what there is.
        """
        given = list(golds)
        return labels_of({name: self._labels(name, [gold[name] for gold in given]) for name in self.tasks})

    def _labels(self, name: str, golds: Sequence[Any]) -> Labels:
        known = [gold for gold in golds if gold is not None]
        if not known:
            raise DataError(
                f"no training row has gold for {name}: the column {self.columns[name]!r} is empty in all "
                f"{len(golds)} of them",
                where=f"task.{name}.label",
                expected="what is right for it in some rows",
                remedy="name the column with it, or leave the task out",
            )
        try:
            return self.tasks[name].labels(known)
        except DataError as error:
            where = error.where.replace("data.label", f"task.{name}.label")
            raise DataError(
                f"{name}: {error.found}", where=where, expected=error.expected, remedy=error.remedy
            ) from None

    def known(self, golds: Iterable[Mapping[str, Any]], name: str) -> list[Any]:
        """What is right in one task, of the rows in which that is known."""
        return [gold[name] for gold in golds if gold[name] is not None]

    def unseen(self, golds: Iterable[Mapping[str, Any]], labels: LabelsOfSeveral) -> list[str]:
        """Labels that occur in rows but were never learned, each with its task."""
        given = list(golds)
        return [
            f"{name}={label}"
            for name, task in self.tasks.items()
            for label in task.unseen(self.known(given, name), labels.parts[name])
        ]

    def check(self, golds: Iterable[Mapping[str, Any]], where: str) -> None:
        """Refuses rows whose labels do not fit what the recipe says of them; raises DataError."""
        given = list(golds)
        for name, task in self.tasks.items():
            if hasattr(task, "check"):
                task.check(self.known(given, name), where)

    def examples(
        self,
        rows: Sequence[Mapping[str, Any]],
        golds: Sequence[Mapping[str, Any]],
        encoding: Encoding,
        labels: LabelsOfSeveral,
    ) -> tuple[Encoding, Given]:
        """Targets of each task; a row that has no gold for one has none there."""
        self._refuse_other_readings(rows)
        found: dict[str, Tensor | Aligned] = {}
        there: dict[str, NDArray[np.bool_]] = {}
        for name, task in self.tasks.items():
            there[name] = np.asarray([gold[name] is not None for gold in golds], dtype=np.bool_)
            places = [int(place) for place in np.flatnonzero(there[name])]
            own = [golds[place][name] for place in places]
            _, targets = task.examples([rows[i] for i in places], own, some(encoding, places), labels.parts[name])
            found[name] = spread(targets, there[name], encoding)
        return encoding, Given(found, there)

    def _refuse_other_readings(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """A task from elsewhere may say that it reads a text as it stands, and not do it."""
        for name, task in self.tasks.items():
            if any(task.inputs(row) != self.inputs(row) for row in rows):
                raise UnsupportedError(
                    f"task {name} reads a row's text otherwise than the others do",
                    where=f"task.{name}.type",
                    expected="tasks that share one reading",
                    remedy="train it by itself",
                )

    def outputs_of(self, labels: LabelsOfSeveral) -> int:
        """How many numbers all heads say together."""
        return sum(task.outputs_of(labels.parts[name]) for name, task in self.tasks.items())

    def head(self, width: int, labels: LabelsOfSeveral, dropout: float) -> Heads:
        """A head a task."""
        heads = {name: task.head(width, labels.parts[name], dropout) for name, task in self.tasks.items()}
        return Heads(self.tasks, heads, labels.parts, self.weights)

    def predictions(self, asked: Any) -> list[Prediction]:
        """Answers rows that were read: one prediction a row, with one for each task in it."""
        found = {name: self.tasks[name].predictions(self._asked(name, asked)) for name in self.tasks}
        return [
            joined(dict(zip(found, row, strict=True)), notices)
            for *row, notices in zip(*found.values(), asked.notices, strict=True)
        ]

    def _asked(self, name: str, asked: Asked) -> Asked:
        degree: Any = asked.temperature
        head: Any = asked.head
        return Asked(
            asked.rows,
            asked.encoding,
            [row[name] for row in asked.outputs],  # pyright: ignore[reportArgumentType, reportCallIssue] by task here
            asked.labels.parts[name],
            head.of(name),
            degree[name] if isinstance(degree, Mapping) else degree,
            [()] * len(asked.rows),
        )

    def judged(
        self, name: str, predictions: Sequence[Prediction], golds: Sequence[Any], labels: LabelsOfSeveral
    ) -> Joint:
        """Predictions beside what was right, task by task."""
        parts: dict[str, Answers | Scores] = {}
        rows: dict[str, NDArray[np.int64]] = {}
        for part, task in self.tasks.items():
            places = np.asarray([at for at, gold in enumerate(golds) if gold[part] is not None], dtype=np.int64)
            if len(places):
                own = [predictions[at].parts[part] for at in places]
                rows[part] = places
                parts[part] = task.judged(name, own, [golds[at][part] for at in places], labels.parts[part])
        return Joint(name, parts, rows, len(golds))

    def metric(self, name: str) -> tuple[str, bool]:
        """A metric to choose on, and whether more of it is better.

        Args:
            name: `mean`, `all_right`, `loss`, a metric of a task as `task.metric`; or nothing for `mean`.

        Returns:
            The name and the direction.

        Raises:
            RecipeError: There is no such metric.
        """
        name = name or MEAN
        if name in (MEAN, ALL_RIGHT, "loss"):
            return name, name != "loss"
        part, _, own = name.partition(".")
        if part in self.tasks and own and own != "loss":
            return name, self.tasks[part].metric(own)[1]
        known = [MEAN, ALL_RIGHT, "loss", *(f"{part}.{task.metric('')[0]}" for part, task in self.tasks.items())]
        raise RecipeError(
            f"several tasks have no metric {name!r}", where="training.metric", remedy=nearest(name, known)
        )

    def metrics(self, answers: Joint) -> dict[str, float]:
        """Every metric of every task as `task.metric`, their mean, and the share of rows in which all are right."""
        found: dict[str, float] = {}
        firsts: list[float] = []
        for name, own in answers.parts.items():
            figures = self.tasks[name].metrics(own)
            found |= {f"{name}.{metric}": value for metric, value in figures.items()}
            firsts.append(figures[self.tasks[name].metric("")[0]])
        return {MEAN: float(np.mean(firsts)), ALL_RIGHT: float(all_right(answers).mean()), **found}

    def answers_with(self, labels: LabelsOfSeveral) -> str:
        """What an answer is, for the card."""
        told = "; ".join(f"{name}: {task.answers_with(labels.parts[name])}" for name, task in self.tasks.items())
        return f"Answers {len(self.tasks)} tasks of each row. {told}"

    @property
    def limits(self) -> str:
        """What a user of the answers should know."""
        return " ".join(dict.fromkeys(task.limits for task in self.tasks.values()))


def why_apart(tasks: Mapping[str, Any], types: Mapping[str, str]) -> str:
    """Why tasks cannot be asked of one reading of a row.

    Args:
        tasks: By name.
        types: Their types by name.

    Returns:
        A sentence with what would work, or nothing where they can.
    """
    called = {name: f"{name} ({types[name]})" for name in tasks}
    for name, task in tasks.items():
        if task.form.also:
            also = " and ".join(task.form.also)
            return f"task {called[name]} reads {also} of a row besides its text; train it by itself"
        if not getattr(task, "reading", ""):
            return f"task {called[name]} does not read a row's text as it stands; train it by itself"
    readings = {name: task.reading for name, task in tasks.items()}
    if len(set(readings.values())) > 1:
        told = ", ".join(f"{called[name]} reads {reading}" for name, reading in readings.items())
        return f"{told}; tasks that are trained together read a row in one way"
    parting = {name: task.parting for name, task in tasks.items() if hasattr(task, "parting")}
    if len(set(parting.values())) > 1:
        told = ", ".join(f"{called[name]} parts it by {how}" for name, how in parting.items())
        return f"{told}; set units and overlap alike"
    return ""


def begins(rows: Tensor) -> Tensor:
    """Of pieces, the rows of which are given in order `(P,)`: the first of each row `(B,)`."""
    return torch.cat([rows.new_ones(1, dtype=torch.bool), rows[1:] != rows[:-1]]).nonzero().squeeze(1)


def some(encoding: Encoding, places: Sequence[int]) -> Encoding:
    """Some of the rows that were read."""
    return replace(
        encoding,
        ids=[encoding.ids[at] for at in places],
        truncated=encoding.truncated[list(places)],
        unknown=encoding.unknown[list(places)],
        words=encoding.words[list(places)],
        places=None if encoding.places is None else [encoding.places[at] for at in places],
    )


def spread(found: Any, there: NDArray[np.bool_], encoding: Encoding) -> Tensor | Aligned:
    """Targets of the rows that have gold as those of all rows, with nothing to learn from in between."""
    if isinstance(found, Tensor):
        return chosen(found, there)
    own: Iterator[NDArray[np.int32]] = iter(found.each)
    none: Callable[[int], NDArray[np.int32]] = lambda length: np.full(length, IGNORED, dtype=np.int32)  # noqa: E731
    each = [next(own) if known else none(len(ids)) for known, ids in zip(there, encoding.ids, strict=True)]
    return Aligned(each, found.golds, found.lost)


def joined(parts: dict[str, Prediction], notices: tuple[str, ...]) -> Prediction:
    """The answers to several tasks as one; what they were chosen by, one after the other."""
    numbers = [part.probabilities for part in parts.values() if part.probabilities is not None]
    return Prediction(
        {name: part.answer for name, part in parts.items()},
        notices=notices,
        probabilities=np.concatenate(numbers),
        parts=parts,
    )


def all_right(answers: Joint) -> NDArray[np.bool_]:
    """Rows in which every task that has gold there is answered right `(N,)`."""
    found = np.ones(answers.count, dtype=np.bool_)
    for name, own in answers.parts.items():
        found[answers.rows[name]] &= right(own)
    return found


def right(answers: Answers | Scores) -> NDArray[np.bool_]:
    """Which rows are answered exactly right `(N,)`."""
    if isinstance(answers, Scores):
        return answers.right()
    equal = answers.gold == answers.chosen
    return equal.all(axis=1) if answers.multi_label else equal
