"""Rows that have passed ingest: a memory-mapped Arrow file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from attune.core.files import whole_file
from attune.core.form import Form
from attune.core.texts import FIRST, SECOND, texts_of
from attune.data.batches import MIXED

GOLD = "gold"
"""The column of what is right, as JSON, where that is more than labels."""


def schema(form: Form, *, labelled: bool = True, group: bool = False, time: bool = False) -> pa.Schema:
    """Columns of a table.

    Args:
        form: What a row has.
        labelled: Whether it is known what is right.
        group: Whether there is a group column.
        time: Whether there is a time column.

    Returns:
        `id`, the texts, what else is read as JSON, `label` or `labels`, `gold`, `group`, `time`, `file`, `line`.
    """
    fields: list[Any] = [("id", pa.string()), *((name, pa.large_string()) for name in form.texts)]
    fields += [pa.field(name, pa.large_string(), metadata=MIXED) for name in form.also]
    if labelled:
        fields.append(("labels", pa.list_(pa.string())) if form.several or form.gold else ("label", pa.string()))
        fields += [pa.field(GOLD, pa.large_string(), metadata=MIXED)] * bool(form.gold)
    fields += [("group", pa.string())] * group + [("time", pa.string())] * time
    return pa.schema([*fields, ("file", pa.string()), ("line", pa.int64())])


class Table:
    """Rows in a memory-mapped Arrow IPC file; opening it reads nothing.

    Columns: `id` (text, not empty, unique), `text`, `text_pair` where a row is two texts, `label` (text) or `labels`
    (list of text), `gold` where what is right is more than labels, `group` and `time` where the recipe maps them,
    `file` and `line` (where the row was read). Columns of JSON are read as the values they hold.

    Attributes:
        path: The file.
        multi_label: Whether rows have a list of labels.
        labelled: Whether it is known what is right.
        named: Whether what is right is labels by name, and nothing more.
        schema: The Arrow schema.
        columns: Names of the columns.
    """

    def __init__(self, path: Path) -> None:
        """Opens a table.

        Args:
            path: A file that `Table.write` wrote.
        """
        self.path = path
        self._source = pa.memory_map(str(path))
        self._reader = pa.ipc.open_file(self._source)
        self._starts = self._batch_starts()
        self.schema: pa.Schema = self._reader.schema
        self.columns: tuple[str, ...] = tuple(self.schema.names)
        self.multi_label = "labels" in self.columns
        self.labelled = self.multi_label or "label" in self.columns
        self.named = GOLD not in self.columns
        self._json = frozenset(name for name in self.columns if self.schema.field(name).metadata == MIXED)

    def _batch_starts(self) -> NDArray[np.int64]:
        counts = [self._reader.get_batch(i).num_rows for i in range(self._reader.num_record_batches)]
        return np.cumsum([0, *counts], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def also(self) -> tuple[str, ...]:
        """Columns of what is read of a row besides its texts."""
        return tuple(name for name in self.columns if name in self._json and name != GOLD)

    def __reduce__(self) -> tuple[type[Table], tuple[Path]]:
        return Table, (self.path,)

    def column(self, name: str, start: int = 0, stop: int | None = None) -> list[Any]:
        """Values of one column.

        Args:
            name: The column.
            start: First row.
            stop: Row after the last; None for the end.

        Returns:
            One value a row.
        """
        found = [value for batch in self._slices(start, stop) for value in batch.column(name).to_pylist()]
        return [json.loads(value) for value in found] if name in self._json else found

    def texts(self, start: int = 0, stop: int | None = None) -> list[str]:
        """Texts of the rows from `start` to `stop`, the two of a pair joined (`attune.core.texts`).

        Args:
            start: First row.
            stop: Row after the last; None for the end.

        Returns:
            One text a row.
        """
        return texts_of({name: self.column(name, start, stop) for name in self.columns if name in (FIRST, SECOND)})

    def labels(self, start: int = 0, stop: int | None = None) -> list[Any]:
        """Labels of the rows from `start` to `stop`.

        Args:
            start: First row.
            stop: Row after the last; None for the end.

        Returns:
            One label a row, or one list of labels where the table is multi-label.
        """
        return self.column("labels" if self.multi_label else "label", start, stop)

    def golds(self, start: int = 0, stop: int | None = None) -> list[Any]:
        """What is right for the rows from `start` to `stop`.

        Args:
            start: First row.
            stop: Row after the last; None for the end.

        Returns:
            One label, list of labels, or value of the task's own form a row; nothing where nothing is right for a row.
        """
        if not self.labelled:
            return [None] * len(range(len(self))[start:stop])
        return self.labels(start, stop) if self.named else self.column(GOLD, start, stop)

    def ids(self, start: int = 0, stop: int | None = None) -> list[str]:
        """Identifiers of the rows from `start` to `stop`.

        Args:
            start: First row.
            stop: Row after the last; None for the end.

        Returns:
            One id a row.
        """
        return self.column("id", start, stop)

    def rows(self, start: int = 0, stop: int | None = None) -> list[dict[str, Any]]:
        """Whole rows from `start` to `stop`.

        Args:
            start: First row.
            stop: Row after the last; None for the end.

        Returns:
            One dictionary a row.
        """
        return [self._read(row) for batch in self._slices(start, stop) for row in batch.to_pylist()]

    def select(self, indices: Sequence[int] | NDArray[Any]) -> list[dict[str, Any]]:
        """Rows by number, in the order asked for.

        Args:
            indices: `(N,)` row numbers.

        Returns:
            `N` dictionaries.

        Raises:
            IndexError: If a number is not below the length.
        """
        wanted = np.asarray(indices, dtype=np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(f"rows 0 to {len(self) - 1}, got {wanted.min()} to {wanted.max()}")
        found: list[dict[str, Any]] = [{} for _ in range(len(wanted))]
        numbers = np.searchsorted(self._starts, wanted, side="right") - 1
        for number in np.unique(numbers):
            batch = self._reader.get_batch(int(number))
            places = np.flatnonzero(numbers == number)
            taken = batch.take(pa.array(wanted[places] - self._starts[number]))
            for place, row in zip(places, taken.to_pylist(), strict=True):
                found[place] = self._read(row)
        return found

    def batches(self, size: int = 4096) -> Iterator[dict[str, list[Any]]]:
        """All rows in order as columns of plain values.

        Args:
            size: Most rows at a time.

        Yields:
            Columns by name; between 1 and `size` rows.
        """
        for batch in self.arrow():
            for start in range(0, batch.num_rows, size):
                columns = batch.slice(start, size).to_pydict()
                yield {
                    name: [json.loads(cell) for cell in cells] if name in self._json else cells
                    for name, cells in columns.items()
                }

    def _read(self, row: dict[str, Any]) -> dict[str, Any]:
        return {name: json.loads(value) if name in self._json else value for name, value in row.items()}

    def arrow(self) -> Iterator[pa.RecordBatch]:
        """All rows in order as record batches, without copying.

        Yields:
            Arrow record batches with this table's columns.
        """
        for index in range(self._reader.num_record_batches):
            yield self._reader.get_batch(index)

    def _slices(self, start: int, stop: int | None) -> Iterator[pa.RecordBatch]:
        stop = len(self) if stop is None else min(stop, len(self))
        first = max(int(np.searchsorted(self._starts, start, side="right")) - 1, 0)
        for index in range(first, self._reader.num_record_batches):
            begin = int(self._starts[index])
            if begin >= stop:
                return
            low = max(start - begin, 0)
            yield self._reader.get_batch(index).slice(low, stop - begin - low)

    @classmethod
    def write(cls, path: Path, columns: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Table:
        """Writes a table under a temporary name, moves it into place and opens it.

        Args:
            path: Where it shall be.
            columns: From `schema`.
            batches: Rows.

        Returns:
            The table.

        Raises:
            MachineError: If the disk is full or the folder may not be written.
        """
        with (
            whole_file(path) as partial,
            pa.OSFile(str(partial), "wb") as sink,
            pa.ipc.new_file(sink, columns) as writer,
        ):
            for batch in batches:
                if batch.num_rows:
                    writer.write_batch(batch)
        return cls(path)
