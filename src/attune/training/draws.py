"""Texts that a model draws of rows as it stands, and what they earn: what an objective that draws learns from."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attune.core.decoding import Decoding, Told
from attune.core.texts import rows_of
from attune.errors import DataError
from attune.model.assemble import Model
from attune.tasks.common.prompts import Example
from attune.tasks.rewards.base import Function, earned, made_for, needs_of
from attune.tasks.rewards.registry import REWARDS

CHUNK = 2048
"""Rows that are in memory at once while they are written."""


@dataclass(frozen=True)
class Drawn:
    """Texts of B rows, n of each.

    Attributes:
        texts: Of each row, each with what was read.
        rewards: `(B, n)` what they earn.
    """

    texts: list[list[Example]]
    rewards: NDArray[np.float64]


class Grounds:
    """What texts that are drawn for rows are rewarded by: a function, and each row as it was read with what is right.

    Rows lie on disk, as JSON one after another.

    Args:
        flat: `(M,)` their bytes.
        starts: `(N + 1,)` where each begins.
        name: What the reward is called.
        reward: What scores a text.
    """

    def __init__(self, flat: NDArray[np.uint8], starts: NDArray[np.int64], name: str, reward: Function) -> None:
        self.flat = flat
        self.starts = starts
        self.name = name
        self.reward = reward

    def row(self, index: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """One row as it was read, and what is right for it."""
        read, right = json.loads(self.flat[self.starts[index] : self.starts[index + 1]].tobytes())
        return read, right

    def draw(self, model: Model, indices: Sequence[int] | NDArray[np.int64], moment: tuple[int, ...]) -> Drawn:
        """Draws texts of rows from the model's own probabilities, without dropout, and scores them.

        A row's draws depend on the model, the moment and the row's number, and on no other row.

        Args:
            model: The assembled model, as it stands.
            indices: `(B,)` row numbers.
            moment: The seed, and the step.

        Returns:
            The texts, and what they earn.
        """
        count: int = model.objective.options.samples
        rows = [self.row(int(index)) for index in indices]
        prompts = model.encode([read for read, _ in rows]).ids
        how = Decoding(longest=model.task.options.max_target, sample=True, candidates=count, bare=True)
        seeds = [[seed_of(moment, int(index), number) for number in range(count)] for index in indices]
        told = model.backbone.tell(prompts, how, at_once=count * len(rows), seeds=seeds)
        said = [model.task.said(ids) for one in told for ids in one.texts]
        reads, rights = zip(*(row for row in rows for _ in range(count)), strict=True)
        found = earned(self.name, self.reward, said, reads, rights)
        texts = [continued(model, prompt, one) for prompt, one in zip(prompts, told, strict=True)]
        return Drawn(texts, np.asarray(found, dtype=np.float64).reshape(-1, count))


def continued(model: Model, prompt: NDArray[np.int64], told: Told) -> list[Example]:
    """What was read with each text that was drawn, its end token included."""
    written = [np.concatenate(each) for each in zip(told.texts, told.ends, strict=True)]
    return [model.task.asked.continued(prompt, ids) for ids in written]


def seed_of(moment: Sequence[int], index: int, number: int) -> int:
    """The seed of one text: of the moment, the row's number and its own."""
    return zlib.crc32("/".join(map(str, (*moment, index, number))).encode())


def grounds(model: Model, table: Any, into: Path) -> Grounds:
    """Writes down what texts of a table's rows will be rewarded by.

    Args:
        model: With an objective that draws; its task has learned of the rows.
        table: The rows, as `encode` reads them.
        into: A file.

    Returns:
        The grounds, mapped from it.

    Raises:
        DataError: No row has what the reward goes by.
    """
    name: str = model.objective.options.reward
    entry = REWARDS.get(name)
    missing = set(needs_of(entry))
    lengths = [np.zeros(1, dtype=np.int64)]
    with into.open("wb") as stream:
        for batch in table.batches(CHUNK):
            lines = [line_of(*each) for each in zip(rows_of(batch, model.task.form.fields), batch["gold"], strict=True)]
            missing -= {key for gold in batch["gold"] for key in missing if gold.get(key)}
            lengths.append(np.asarray([len(line) for line in lines], dtype=np.int64))
            stream.writelines(lines)
    if missing:
        raise DataError(
            f"no training row has {' and '.join(sorted(missing))}, which the reward {name} goes by",
            where="objective.reward",
            expected="rows that have it",
            remedy="name another reward, or mend the rows",
        )
    flat = np.memmap(into, dtype=np.uint8, mode="r")
    return Grounds(flat, np.cumsum(np.concatenate(lengths)), name, made_for(entry, model.task, model.labels))


def line_of(row: Mapping[str, Any], gold: Mapping[str, Any]) -> bytes:
    """A row as it was read with what is right for it, as JSON."""
    return (json.dumps([row, gold]) + "\n").encode()
