"""Rows of plain values to Arrow record batches of bounded size, and back without losing a value's type."""

from __future__ import annotations

import datetime
import decimal
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

LINE = "__line__"
FILE = "__file__"
ROWS = 4096
CHARACTERS = 1 << 22
MIXED = {b"attune": b"json"}
NOTHING = pa.RecordBatch.from_arrays([pa.array([], pa.int64())], names=[LINE])


@dataclass(slots=True)
class Record:
    """One row as read: its line, its values by column, about how many characters, and its own file if it has one."""

    line: int
    values: dict[str, Any]
    size: int
    file: str = ""


def batched(records: Iterable[Record | None]) -> Iterator[pa.RecordBatch]:
    """Collects rows into batches of at most 4,096 rows or about 4 million characters.

    Args:
        records: Rows in order, None for a bad one. Rows may differ in their columns; what a row lacks is null.

    Yields:
        Record batches whose last column is the int64 line number; one without rows where 4,096 in a row were bad, so
        that whoever reads can look at the problems.
    """
    held: list[Record] = []
    size = bad = 0
    for record in records:
        if record is None:
            bad += 1
        else:
            held.append(record)
            size += record.size
        if len(held) + bad >= ROWS or size >= CHARACTERS:
            yield to_batch(held) if held else NOTHING
            held, size, bad = [], 0, 0
    if held:
        yield to_batch(held)


def to_batch(records: list[Record]) -> pa.RecordBatch:
    """One batch of rows.

    Args:
        records: At least one row.

    Returns:
        Every column that occurs, `__file__` where rows have their own file, and `__line__`.
    """
    names = dict.fromkeys(name for record in records for name in record.values)
    arrays: list[pa.Array] = []
    fields: list[pa.Field] = []
    for name in names:
        array, metadata = typed([record.values.get(name) for record in records])
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata=metadata))
    if records[0].file:
        arrays.append(pa.array([record.file for record in records], pa.large_string()))
        fields.append(pa.field(FILE, pa.large_string()))
    arrays.append(pa.array([record.line for record in records], pa.int64()))
    fields.append(pa.field(LINE, pa.int64()))
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def typed(values: list[Any]) -> tuple[pa.Array, dict[bytes, bytes] | None]:
    """An Arrow array that keeps each value's type; a mix of types becomes JSON text, marked as such.

    Args:
        values: Plain values.

    Returns:
        The array, and the field metadata where the values are JSON text.
    """
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {str}:
        return pa.array(values, pa.large_string()), None
    if kinds == {bool}:
        return pa.array(values, pa.bool_()), None
    if kinds == {float}:
        return pa.array(values, pa.float64()), None
    if kinds == {int} and all(value is None or -(1 << 63) <= value < 1 << 63 for value in values):
        return pa.array(values, pa.int64()), None
    if kinds == {list} and all(isinstance(item, str) for value in values if value for item in value):
        return pa.array(values, pa.list_(pa.large_string())), None
    encoded = [None if value is None else json.dumps(value, ensure_ascii=False, default=str) for value in values]
    return pa.array(encoded, pa.large_string()), MIXED


def values(batch: pa.RecordBatch, name: str) -> list[Any]:
    """A column as plain values of their own types.

    Args:
        batch: A batch from `scan`.
        name: A column; one that is not there is all null.

    Returns:
        One value a row.
    """
    index = batch.schema.get_field_index(name)
    if index < 0:
        return [None] * batch.num_rows
    column = batch.column(index).to_pylist()
    if (batch.schema.field(index).metadata or {}).get(b"attune") == b"json":
        return [None if value is None else json.loads(value) for value in column]
    return column


def plain(value: Any) -> Any:
    """A value of a database or a spreadsheet as a JSON value; dates as ISO 8601.

    Args:
        value: Anything.

    Returns:
        Text, number, truth value, list, dict or None.
    """
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if value is None or isinstance(value, str | int | float | bool | list | dict):
        return value
    return str(value)
