"""A data set as token ids: flat, on disk, mapped into memory, so that it does not grow the process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attune.core.encoding import Encoding
from attune.core.packing import IGNORED, by_piece, in_one, pieces_of
from attune.core.texts import rows_of
from attune.errors import DataError
from attune.model.assemble import Model
from attune.model.rows import standing, told
from attune.objectives.base import Referred, Rewarded
from attune.tasks.common.parts import Given, Parts, Targets
from attune.training.draws import Grounds, grounds

CHUNK = 2048
NO_TOKEN = np.zeros(0, dtype=np.int64)
MOST_LOST = 0.001
"""Share of the gold labels that may be cut off or stand where no token does before a run stops."""


class Rows(Protocol):
    """What is read of a table: its fields, and what is right, in order."""

    def __len__(self) -> int: ...

    def batches(self, size: int) -> Iterator[dict[str, Any]]:
        """Columns with what the task reads, and `label`, `labels` or `gold`, `size` rows at a time."""
        ...


class Encoded:
    """Token ids and targets of a set.

    Args:
        flat: All ids, one after another.
        starts: `(N + 1,)` where each row begins.
        targets: `(N,)` or `(N, K)`; or, where each token has its own, flat as the ids are.

    Attributes:
        aligned: Whether each token has its own target.
        truncated: Rows of which the end was cut off.
        unknown: Tokens unknown to the backbone.
        words: Tokens that are not special.
        longest: Tokens of the longest thing read.
        affected: Rows with an unknown token.
        golds: Labels in the rows of a task that learns from tokens.
        lost: Those of them that no token stands for.
        parts: Of several tasks, by name: the same rows with the targets of each.
        there: Of several tasks, by name `(N,)`: which rows have gold.
        grounds: What texts drawn for the rows are rewarded by, where the objective draws such.
        reference: `(N, S)`, what the untuned model holds of the S texts of each row, where the objective compares with
            that.
    """

    def __init__(self, flat: NDArray[np.int64], starts: NDArray[np.int64], targets: Tensor | NDArray[np.int32]) -> None:
        self.flat = flat
        self.starts = starts
        self.aligned = not isinstance(targets, Tensor)
        self.each = targets
        self.truncated = 0
        self.unknown = 0
        self.words = 0
        self.longest = 0
        self.affected = 0
        self.golds = 0
        self.lost = 0
        self.parts: dict[str, Encoded] = {}
        self.there: dict[str, Tensor] = {}
        self.reference: Tensor | None = None
        self.grounds: Grounds | None = None

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def targets(self) -> Tensor:
        """The targets of all rows, `(N,)` or `(N, K)`; of all tokens `(T,)` where each has its own."""
        return self.each if isinstance(self.each, Tensor) else torch.from_numpy(np.asarray(self.each)).long()

    def row(self, index: int) -> NDArray[np.int64]:
        """Token ids of one row."""
        return self.flat[self.starts[index] : self.starts[index + 1]]

    def rows(self, indices: Iterable[int]) -> list[NDArray[np.int64]]:
        """Token ids of several rows."""
        return [self.row(index) for index in indices]

    def targets_of(self, indices: Sequence[int] | NDArray[np.int64]) -> Any:
        """Targets of several rows.

        Args:
            indices: `(B,)` row numbers.

        Returns:
            `(B,)` or `(B, K)`; or `(P, T)` int64 of the tokens of their P pieces, padded as `collate` pads them. Of
            several tasks `Targets`; with a reference `Referred`.
        """
        if self.parts:
            return self._of_several(indices)
        if self.reference is not None:
            return Referred(self.tokens_of(indices), self.reference[torch.as_tensor(np.asarray(indices))])
        return self.tokens_of(indices)

    def tokens_of(self, indices: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """Targets of several rows of one task, without a reference."""
        if isinstance(self.each, Tensor):
            return self.each[torch.as_tensor(np.asarray(indices), dtype=torch.int64)]
        return padded([part for index in indices for part in by_piece(self.targets_at(index), self.row(index))])

    def targets_at(self, index: int) -> NDArray[np.int32]:
        """Targets of the tokens of one row."""
        assert not isinstance(self.each, Tensor)
        return self.each[self.starts[index] : self.starts[index + 1]]

    def _of_several(self, indices: Sequence[int] | NDArray[np.int64]) -> Targets:
        places = torch.as_tensor(np.asarray(indices), dtype=torch.int64)
        counts = torch.tensor([len(pieces_of(self.row(int(index)))) for index in indices])
        return Targets(
            Parts({name: part.targets_of(indices) for name, part in self.parts.items()}),
            Parts({name: there[places] for name, there in self.there.items()}),
            torch.repeat_interleave(torch.arange(len(places)), counts),
        )

    def alone(self, name: str, *, first: bool) -> Encoded:
        """The rows of one of several tasks that have gold for it.

        Args:
            name: The task.
            first: Whether it sees the first piece of a row alone.

        Returns:
            They, with its targets; of a task that learns from tokens all rows, those without gold having no target.
        """
        part = self.parts[name]
        if part.aligned:
            return part
        chosen = torch.nonzero(self.there[name]).flatten()
        rows = [pieces_of(self.row(index))[0] if first else self.row(index) for index in chosen.tolist()]
        starts = np.cumsum([0, *map(len, rows)])
        return Encoded(np.concatenate(rows), starts, part.targets[chosen])

    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row."""
        return np.diff(self.starts)


def encode(model: Model, table: Rows, into: Path) -> Encoded:
    """Tokenises a table once.

    Args:
        model: The assembled model.
        table: The rows.
        into: File to which ids are appended and from which they are mapped; targets of tokens lie beside it.

    Returns:
        The encoded set.
    """
    lengths: list[NDArray[np.int64]] = [np.zeros(1, dtype=np.int64)]
    counts = np.zeros(4, dtype=np.int64)
    longest = 0
    form = model.task.form
    with into.open("wb") as stream, contextlib.ExitStack() as opened:
        targets = Collected(into, opened)
        for batch in table.batches(CHUNK):
            rows = rows_of(batch, form.fields)
            encoding, found = examples(model, rows, batch)
            stream.write(np.concatenate([NO_TOKEN, *encoding.ids]).tobytes())
            lengths.append(np.asarray([len(row) for row in encoding.ids], dtype=np.int64))
            longest = max(longest, encoding.longest)
            targets.add(found)
            unknown = encoding.unknown
            counts += [encoding.truncated.sum(), unknown.sum(), encoding.words.sum(), (unknown > 0).sum()]
    # a file of nothing cannot be mapped
    flat: NDArray[np.int64] = np.memmap(into, dtype=np.int64, mode="r") if into.stat().st_size else NO_TOKEN
    result = targets.beside(flat, np.cumsum(np.concatenate(lengths)))
    result.truncated, result.unknown, result.words, result.affected = map(int, counts)
    result.longest = longest
    return result


class Collected:
    """Targets as they come, a chunk of rows at a time; those of tokens go into a file.

    Args:
        into: The file of the token ids; that of targets lies beside it.
        opened: Closes files.
    """

    def __init__(self, into: Path, opened: contextlib.ExitStack) -> None:
        self.into = into
        self.opened = opened
        self.beside_it = into.with_suffix(".targets")
        self.stream: Any = None
        self.tensors: list[Tensor] = []
        self.parts: dict[str, Collected] = {}
        self.there: dict[str, list[Tensor]] = {}
        self.golds = self.lost = 0

    def add(self, found: Any) -> None:
        """Takes the targets of a chunk: a tensor, targets of tokens, or those of several tasks."""
        if isinstance(found, Given):
            for name, own in found.parts.items():
                part = self.parts.setdefault(
                    name, Collected(self.into.with_name(f"{self.into.stem}-{name}.ids"), self.opened)
                )
                part.add(own)
                self.there.setdefault(name, []).append(torch.from_numpy(found.there[name]))
        elif isinstance(found, Tensor):
            self.tensors.append(found)
        else:
            self.stream = self.stream or self.opened.enter_context(self.beside_it.open("wb"))
            self.stream.write(np.concatenate(found.each).astype(np.int32).tobytes())
            self.golds += found.golds
            self.lost += found.lost

    def beside(self, flat: NDArray[np.int64], starts: NDArray[np.int64]) -> Encoded:
        """The rows with what was taken; files are closed by then."""
        own = torch.cat(self.tensors) if self.tensors else torch.zeros(len(starts) - 1, 0)
        result = Encoded(flat, starts, np.memmap(self.beside_it, dtype=np.int32, mode="r") if self.stream else own)
        result.golds, result.lost = self.golds, self.lost
        result.parts = {name: part.beside(flat, starts) for name, part in self.parts.items()}
        result.there = {name: torch.cat(chunks) for name, chunks in self.there.items()}
        return result


def examples(model: Model, rows: Sequence[Mapping[str, Any]], batch: Mapping[str, Any]) -> tuple[Encoding, Any]:
    """What is learned from of rows: how they were read, and their targets; where those are drawn, zeros for them.

    A task with `examples_of` says itself what is kept of each, as the document that it is of.
    """
    form = model.task.form
    if hasattr(model.task, "examples_of"):
        return model.task.examples_of(model.backbone, standing(model.task, batch))
    if not form.labelled:
        encoding = model.task.blocks(model.backbone, rows)
        return encoding, torch.zeros(len(encoding.ids), dtype=torch.int64)
    golds = batch["gold" if form.gold else "labels" if form.several else "label"]
    return model.task.examples(rows, golds, model.encode(told(model.task, rows, batch)), model.labels)


def prepare(model: Model, rows: Encoded) -> None:
    """Tells a head with `learn` the tokens of the training rows, before anything is drawn by them.

    A task with `learn_of` is told of the rows themselves.
    """
    if hasattr(model.head, "learn"):
        head: Any = model.head
        head.learn(rows.flat)
    if hasattr(model.task, "learn_of"):
        model.task.learn_of(rows)


def ground(model: Model, rows: Encoded, table: Rows, into: Path) -> None:
    """Gives rows what texts drawn for them are rewarded by, where the model's objective draws such.

    Args:
        model: The assembled model; its task has learned of the rows.
        rows: Changed in place.
        table: What they were encoded from.
        into: A file for the rows as they are read.
    """
    if model.objective.draws:
        rows.grounds = grounds(model, table, into)


def learned_from(
    model: Model, rows: Encoded, indices: Sequence[int] | NDArray[np.int64], moment: tuple[int, ...]
) -> tuple[list[NDArray[np.int64]], Any]:
    """Rows as a model learns from them.

    Args:
        model: The assembled model.
        rows: An encoded set.
        indices: `(B,)` row numbers.
        moment: What targets that are drawn depend on besides the row: the seed, and the step.

    Returns:
        Token ids, ragged, and targets as `Encoded.targets_of` has them.
    """
    ids = rows.rows(indices)
    if rows.grounds:
        return with_draws(model, rows, indices, moment)
    if not hasattr(model.task, "draw"):
        return ids, rows.targets_of(indices)
    drawn, targets = model.task.draw(ids, indices, moment)
    return drawn, targets if isinstance(targets, Tensor) else padded(targets)


def with_draws(
    model: Model, rows: Encoded, indices: Sequence[int] | NDArray[np.int64], moment: tuple[int, ...]
) -> tuple[list[NDArray[np.int64]], Rewarded]:
    """Rows with the texts that the model draws for them as it stands.

    Args:
        model: The assembled model.
        rows: An encoded set, with its grounds.
        indices: `(B,)` row numbers.
        moment: As for `learned_from`.

    Returns:
        Token ids, ragged: of each row that with its right text, then with each that was drawn, as pieces; and targets.
    """
    assert rows.grounds
    drawn = rows.grounds.draw(model, indices, moment)
    ids: list[NDArray[np.int64]] = []
    targets: list[NDArray[np.int32]] = []
    for index, own in zip(map(int, indices), drawn.texts, strict=True):
        ids.append(in_one([rows.row(index), *(one.ids for one in own)]))
        targets += by_piece(np.concatenate([rows.targets_at(index), *(one.targets for one in own)]), ids[-1])
    return ids, Rewarded(padded(targets), torch.from_numpy(drawn.rewards))


def padded(parts: Sequence[NDArray[np.int32]]) -> Tensor:
    """Targets of tokens, ragged, as `(P, T)` int64."""
    found = np.full((len(parts), max(map(len, parts))), IGNORED, dtype=np.int64)
    for line, part in zip(found, parts, strict=True):
        line[: len(part)] = part
    return torch.from_numpy(found)


SPANS = (
    "gold spans begin or end inside a token, or where no token is",
    "mend the offsets (they count characters of the text as it is, the end is the first one after), set "
    'task.units = "token", or use a backbone whose tokenizer parts the text more finely',
)
"""How spans are lost, and what to do."""


def refuse_lost(rows: Encoded, where: str, how: tuple[str, str] = SPANS) -> str:
    """Stops where labels would vanish: what no token stands for cannot be learned or answered.

    Args:
        rows: An encoded set.
        where: Which.
        how: How the task loses what is right, and what to do.

    Returns:
        A notice where few are lost; empty where none is.

    Raises:
        DataError: More than 0.1 % are lost.
    """
    said = f"{rows.lost} of {rows.golds} {how[0]}"
    if rows.lost > MOST_LOST * rows.golds:
        raise DataError(
            said,
            where=where,
            expected=f"at most {MOST_LOST:.1%}",
            remedy=how[1],
        )
    return f"{where}: {said}" if rows.lost else ""


def epoch_order(lengths: NDArray[np.int64], batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """The micro-batches of one epoch: shuffled, rows of like length together within stretches of 32 batches.

    Args:
        lengths: Tokens of each row.
        batch_size: Rows in a micro-batch.
        seed: The run's seed.
        epoch: Counted from 0.

    Returns:
        Row indices of each micro-batch; a function of the arguments alone, so that a resume finds it again.
    """
    draw = np.random.default_rng([seed, epoch])
    order = draw.permutation(len(lengths))
    batches: list[NDArray[np.int64]] = []
    stretch = batch_size * 32
    for begin in range(0, len(order), stretch):
        part = order[begin : begin + stretch]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches.extend(part[at : at + batch_size] for at in range(0, len(part), batch_size))
    return [batches[index] for index in draw.permutation(len(batches))]
