"""CSV and TSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from attune.data.batches import Record
from attune.data.encodings import MARK, open_text
from attune.errors import DataError, Problem

if TYPE_CHECKING:
    from _csv import Reader

LONGEST_CELL = 1 << 24


def read(path: Path, name: str, encoding: str, delimiter: str, problems: list[Problem]) -> Iterator[Record | None]:
    """Reads a delimited file with a header row; every value stays text.

    Args:
        path: The file, possibly packed.
        name: What to call it in messages.
        encoding: Its encoding; empty for detection.
        delimiter: What separates cells; empty to choose between comma, semicolon and tab by the header.
        problems: Receives bad rows.

    Yields:
        One record a row, with the line on which it starts; None for a bad one.

    Raises:
        DataError: If the header is missing or names a column twice.
    """
    csv.field_size_limit(LONGEST_CELL)
    with open_text(path, encoding) as stream:
        first = stream.readline()
        if not first.strip():
            raise DataError("no header row", where=f"{name}:1", expected="column names in the first row")
        delimiter = delimiter or _delimiter(first)
        reader = csv.reader(_chain(first, stream), delimiter=delimiter)
        header = _header(next(reader), name)
        yield from _rows(reader, header, name, problems)


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count) if not header.count(",") else ","


def _header(cells: list[str], name: str) -> list[str]:
    header = [cell.strip() or f"column_{number}" for number, cell in enumerate(cells, 1)]
    twice = sorted({cell for cell in header if header.count(cell) > 1})
    if twice:
        raise DataError(f"column {twice[0]!r} is there twice", where=f"{name}:1", expected="one column of each name")
    return header


def _rows(reader: Reader, header: list[str], name: str, problems: list[Problem]) -> Iterator[Record | None]:
    start = reader.line_num + 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problems.append(Problem(f"cannot be read as delimited text from here on ({error})", f"{name}:{start}"))
            return
        line, start = start, reader.line_num + 1
        if not cells:
            continue
        bad = _bad(cells, header)
        if bad:
            problems.append(Problem(bad, f"{name}:{line}"))
            yield None
            continue
        yield Record(line, dict(zip(header, cells, strict=True)), sum(map(len, cells)))


def _bad(cells: list[str], header: list[str]) -> str:
    if any("\0" in cell for cell in cells):
        return "NUL bytes"
    if any(MARK in cell for cell in cells):
        return "bytes that do not decode"
    if len(cells) != len(header):
        return f"{len(cells)} cells where the header has {len(header)}"
    return ""
