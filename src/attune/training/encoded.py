"""A data set as token ids: flat, on disk, mapped into memory, so that it does not grow the process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from attune.core.texts import rows_of
from attune.model.assemble import Model

CHUNK = 2048


class Rows(Protocol):
    """What is read of a table: its texts and labels in order."""

    def __len__(self) -> int: ...

    def batches(self, size: int) -> Iterator[dict[str, Any]]:
        """Columns with the texts that the task reads, and `label` or `labels`, `size` rows at a time."""
        ...


class Encoded:
    """Token ids and targets of a set.

    Args:
        flat: All ids, one after another.
        starts: `(N + 1,)` where each row begins.
        targets: `(N,)` or `(N, K)`.

    Attributes:
        truncated: Rows of which the end was cut off.
        unknown: Tokens unknown to the backbone.
        words: Tokens that are not special.
        longest: Tokens of the longest thing read.
        affected: Rows with an unknown token.
    """

    def __init__(self, flat: NDArray[np.int32], starts: NDArray[np.int64], targets: torch.Tensor) -> None:
        self.flat = flat
        self.starts = starts
        self.targets = targets
        self.truncated = 0
        self.unknown = 0
        self.words = 0
        self.longest = 0
        self.affected = 0

    def __len__(self) -> int:
        return len(self.starts) - 1

    def row(self, index: int) -> NDArray[np.int32]:
        """Token ids of one row."""
        return self.flat[self.starts[index] : self.starts[index + 1]]

    def rows(self, indices: Iterable[int]) -> list[NDArray[np.int32]]:
        """Token ids of several rows."""
        return [self.row(index) for index in indices]

    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row."""
        return np.diff(self.starts)


def encode(model: Model, table: Rows, into: Path) -> Encoded:
    """Tokenises a table once.

    Args:
        model: The assembled model.
        table: The rows.
        into: File to which ids are appended and from which they are mapped.

    Returns:
        The encoded set.
    """
    lengths: list[NDArray[np.int64]] = [np.zeros(1, dtype=np.int64)]
    targets: list[torch.Tensor] = []
    counts = np.zeros(4, dtype=np.int64)
    longest = 0
    with into.open("wb") as stream:
        for batch in table.batches(CHUNK):
            encoding = model.encode(rows_of(batch, model.task.fields))
            stream.write(np.concatenate(encoding.ids).tobytes())
            lengths.append(np.asarray([len(row) for row in encoding.ids], dtype=np.int64))
            longest = max(longest, encoding.longest)
            golds = batch["labels" if model.task.multi_label else "label"]
            targets.append(model.task.targets(golds, model.labels))
            unknown = encoding.unknown
            counts += [encoding.truncated.sum(), unknown.sum(), encoding.words.sum(), (unknown > 0).sum()]
    flat = np.memmap(into, dtype=np.int32, mode="r")
    result = Encoded(flat, np.cumsum(np.concatenate(lengths)), torch.cat(targets))
    result.truncated, result.unknown, result.words, result.affected = (int(value) for value in counts)
    result.longest = longest
    return result


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
