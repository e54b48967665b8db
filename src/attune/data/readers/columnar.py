"""Parquet, Arrow and Feather files, and folders written by `datasets`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from attune.data.batches import LINE, ROWS
from attune.errors import DataError, nearest


def read_parquet(path: Path) -> Iterator[pa.RecordBatch]:
    """Reads a Parquet file batch by batch.

    Args:
        path: The file.

    Yields:
        Batches with row numbers as lines.
    """
    with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
        names = _class_names(file.schema_arrow)
        yield from _numbered(file.iter_batches(batch_size=ROWS, use_threads=False), names)


def read_arrow(path: Path) -> Iterator[pa.RecordBatch]:
    """Reads an Arrow file or stream, or Feather, memory-mapped.

    Args:
        path: The file.

    Yields:
        Batches with row numbers as lines.
    """
    with pa.memory_map(str(path)) as source:
        yield from _numbered(_ipc_batches(source, path), _class_names(_ipc_schema(path)))


def read_dataset(path: Path, name: str, split: str) -> Iterator[pa.RecordBatch]:
    """Reads what `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote.

    Args:
        path: The folder.
        name: What to call it in messages.
        split: Name of the split; needed where the folder holds several.

    Yields:
        Batches with row numbers as lines.

    Raises:
        DataError: If the split is not named or does not exist.
    """
    several = path / "dataset_dict.json"
    if several.exists():
        splits: list[str] = json.loads(several.read_text(encoding="utf-8"))["splits"]
        if split not in splits:
            raise DataError(
                f"unknown split {split!r}" if split else "a dataset of several splits",
                where=name,
                expected=f"one of them, as {name.split('#')[0]}#{splits[0]}",
                remedy=nearest(split, splits),
            )
        path = path / split
    state = json.loads((path / "state.json").read_text(encoding="utf-8"))
    files = [path / entry["filename"] for entry in state["_data_files"]]
    names = _class_names(_ipc_schema(files[0])) if files else {}
    yield from _numbered(_several(files), names)


def is_dataset(path: Path) -> bool:
    """Whether a folder was written by `datasets`.

    Args:
        path: A folder.

    Returns:
        True if its index files are there.
    """
    return (path / "dataset_dict.json").exists() or (path / "state.json").exists()


def _several(files: list[Path]) -> Iterator[pa.RecordBatch]:
    for file in files:
        with pa.memory_map(str(file)) as source:
            yield from _ipc_batches(source, file)


def _is_file_format(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(6) == b"ARROW1"


def _ipc_schema(path: Path) -> pa.Schema:
    with pa.memory_map(str(path)) as source:
        return (pa.ipc.open_file if _is_file_format(path) else pa.ipc.open_stream)(source).schema


def _ipc_batches(source: pa.MemoryMappedFile, path: Path) -> Iterator[pa.RecordBatch]:
    if _is_file_format(path):
        reader = pa.ipc.open_file(source)
        batches: Iterator[pa.RecordBatch] = (reader.get_batch(i) for i in range(reader.num_record_batches))
    else:
        batches = iter(pa.ipc.open_stream(source))
    for batch in batches:
        for start in range(0, batch.num_rows, ROWS):
            yield batch.slice(start, ROWS)


def _numbered(batches: Iterator[pa.RecordBatch], names: dict[str, list[str]]) -> Iterator[pa.RecordBatch]:
    row = 1
    for batch in batches:
        columns = [_plain(column) for column in batch.columns]
        fields = [pa.field(name, column.type) for name, column in zip(batch.schema.names, columns, strict=True)]
        for index, field in enumerate(fields):
            if field.name in names:
                columns[index] = _named(columns[index], names[field.name])
                fields[index] = pa.field(field.name, pa.large_string())
        columns.append(pa.array(range(row, row + batch.num_rows), pa.int64()))
        row += batch.num_rows
        yield pa.RecordBatch.from_arrays(columns, schema=pa.schema([*fields, pa.field(LINE, pa.int64())]))


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _named(column: pa.Array, names: list[str]) -> pa.Array:
    """Class numbers by name; the -1 that stands for "no label" is null."""
    numbers = column.to_pylist()
    return pa.array([None if n is None or n < 0 else names[n] for n in numbers], pa.large_string())


def _class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Names of the classes of every `ClassLabel` column, which `datasets` stores as numbers."""
    stored = (schema.metadata or {}).get(b"huggingface")
    if not stored:
        return {}
    features: dict[str, Any] = (json.loads(stored).get("info") or {}).get("features") or {}
    return {
        name: feature["names"]
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names")
    }
