"""The rows of one of several tasks as a table of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from attune.core.form import Form
from attune.data.ingest import stored
from attune.data.table import GOLD, Table, schema


def known(table: Table, name: str) -> NDArray[np.int64]:
    """The numbers of the rows whose gold a task has, ascending."""
    return np.asarray([row for row, gold in enumerate(table.golds()) if gold[name] is not None], dtype=np.int64)


def of_task(table: Table, name: str, form: Form, into: Path) -> Table:
    """The rows whose gold a task has.

    Args:
        table: Rows with the gold of several tasks.
        name: The task.
        form: Its form.
        into: The file to write.

    Returns:
        A table as if the task had been asked for alone.
    """
    columns = schema(form, group="group" in table.columns, time="time" in table.columns)
    return Table.write(into, columns, _batches(table, name, form, columns))


def _batches(table: Table, name: str, form: Form, columns: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in table.batches():
        kept = [at for at, gold in enumerate(batch[GOLD]) if gold[name] is not None]
        own: dict[str, list[Any]] = {key: [cells[at] for at in kept] for key, cells in batch.items()}
        gold = [value[name] for value in own[GOLD]]
        own |= {GOLD: gold, "label": gold, "labels": [form.gold.names(value) for value in gold] if form.gold else gold}
        coded = {key: stored(own[key], columns.field(key)) for key in columns.names}
        yield pa.RecordBatch.from_pydict(coded, schema=columns)
