"""JSON lines, and JSON files with an array of objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attune.data.batches import Record
from attune.data.encodings import MARK, open_text
from attune.errors import DataError, Problem

SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_lines(path: Path, name: str, encoding: str, problems: list[Problem]) -> Iterator[Record | None]:
    """Reads one JSON object a line; empty lines are skipped.

    Args:
        path: The file, possibly packed.
        name: What to call it in messages.
        encoding: Its encoding; empty for detection.
        problems: Receives bad rows.

    Yields:
        One record a line; None for a bad one.
    """
    with open_text(path, encoding) as stream:
        for number, line in enumerate(stream, 1):
            if line.isspace():
                continue
            bad = ""
            row: Any = None
            try:
                bad = _unreadable(line)
                row = None if bad else json.loads(line)
            except ValueError as error:
                bad = f"not JSON ({getattr(error, 'msg', error)})"
            except RecursionError:
                bad = "JSON nested too deep"
            bad = bad or _not_a_row(row, line)
            if bad:
                problems.append(Problem(bad, f"{name}:{number}"))
                yield None
            else:
                yield Record(number, row, len(line))


def _unreadable(line: str) -> str:
    if "\0" in line:
        return "NUL bytes"
    return "bytes that do not decode" if MARK in line else ""


def _not_a_row(row: Any, line: str) -> str:
    if not isinstance(row, dict):
        return f"{_kind(row)} where an object with columns was expected"
    if SURROGATE.search(line):
        try:
            json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return "half of a surrogate pair, which is no character"
    return ""


def _kind(value: Any) -> str:
    names = {list: "a list", str: "text", int: "a number", float: "a number", bool: "true or false"}
    return names.get(type(value), "null")


def read_array(path: Path, name: str, encoding: str, problems: list[Problem]) -> Iterator[Record | None]:
    """Reads a JSON array of objects, or an object that holds exactly one such array. Held in memory whole.

    A file that is JSON lines in truth is read as such.

    Args:
        path: The file, possibly packed.
        name: What to call it in messages.
        encoding: Its encoding; empty for detection.
        problems: Receives bad rows.

    Yields:
        One record an object, with its number in the array; None for a bad one.

    Raises:
        DataError: If there is no such array.
    """
    with open_text(path, encoding) as stream:
        content = stream.read()
    if not content.strip():
        return
    try:
        loaded: Any = json.loads(content)
    except ValueError as error:
        if _is_lines(content):
            yield from read_lines(path, name, encoding, problems)
            return
        where = f"{name}:{error.lineno}" if isinstance(error, json.JSONDecodeError) else name
        raise DataError(
            f"not JSON ({error})", where=where, expected="an array of objects", remedy="mend the file"
        ) from error
    for number, row in enumerate(_array(loaded, name), 1):
        shown = json.dumps(row, ensure_ascii=True)
        bad = _not_a_row(row, shown) or ("bytes that do not decode" if "\\uffff" in shown else "")
        if bad:
            problems.append(Problem(bad, f"{name}:{number}"))
            yield None
        else:
            yield Record(number, row, len(shown))


def _is_lines(content: str) -> bool:
    first = content.lstrip().split("\n", 1)[0]
    try:
        return isinstance(json.loads(first), dict)
    except ValueError:
        return False


def _array(loaded: Any, name: str) -> list[Any]:
    if isinstance(loaded, list):
        return loaded
    if isinstance(loaded, dict):
        if loaded and all(not isinstance(value, list | dict) for value in loaded.values()):
            return [loaded]
        arrays = [value for value in loaded.values() if isinstance(value, list)]
        if len(arrays) == 1:
            return arrays[0]
    raise DataError(
        f"{_kind(loaded) if not isinstance(loaded, dict) else 'an object'} at the top",
        where=name,
        expected="an array of objects, or an object that holds exactly one array",
        remedy="write the rows as JSON lines, one object a line",
    )
