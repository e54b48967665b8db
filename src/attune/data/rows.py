"""One raw row to one good row: what counts as text, a label and an id, and what is refused."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from attune.core.form import Form, Read
from attune.core.texts import FIRST
from attune.errors import Problem

LONG = 100_000
"""Characters from which a row is worth a notice."""

WHOLE = re.compile(r"[+-]?\d+\s*\Z")
NUMBER = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+)([eE][+-]?\d+)?\s*\Z|nan\Z|[+-]?inf\Z", re.IGNORECASE)
FLOAT = (
    "a label that is a fractional number ({value!r}); write labels as text or as whole numbers, or set "
    'task.name = "regression"'
)


class BadValueError(ValueError):
    """A value that cannot be used; the message says why."""


@dataclass
class Seen:
    """What was seen on the way, for notices: counts, and the first line of each kind."""

    rows: int = 0
    whole: int = 0
    truths: int = 0
    long: list[str] = field(default_factory=list)
    long_count: int = 0
    numbers: int = 0
    fractions: list[Problem] = field(default_factory=list)
    words: int = 0


def text_of(value: Any, *, keep_empty: bool) -> str:
    """The text of a row.

    Args:
        value: As read.
        keep_empty: Whether a row without text is kept with an empty one.

    Returns:
        The text as it is.

    Raises:
        BadValueError: If it is empty, no text, or holds a NUL.
    """
    if isinstance(value, str):
        if "\0" in value:
            raise BadValueError("a NUL character")
        if keep_empty or not (value == "" or value.isspace()):
            return value
        raise BadValueError("an empty text")
    if value is None:
        if keep_empty:
            return ""
        raise BadValueError("no text")
    raise BadValueError(f"{kind(value)} where text was expected")


def label_of(value: Any, seen: Seen) -> str:
    """One label as text.

    Args:
        value: As read.
        seen: Counts whole numbers and truth values.

    Returns:
        The label; text is never changed, not even stripped.

    Raises:
        BadValueError: If it is missing, fractional, a list or an object.
    """
    if isinstance(value, str):
        if value == "":
            raise BadValueError("no label")
        if "\0" in value:
            raise BadValueError("a NUL character")
        return value
    if value is None:
        raise BadValueError("no label")
    if isinstance(value, bool):
        seen.truths += 1
        return "true" if value else "false"
    if isinstance(value, int):
        seen.whole += 1
        return str(value)
    if isinstance(value, float):
        raise BadValueError("no label" if value != value else FLOAT.format(value=value))
    if isinstance(value, list):
        raise BadValueError("a list of labels where the task has one; set task.multi_label = true")
    raise BadValueError(f"{kind(value)} where a label was expected")


def labels_of(value: Any, separator: str, seen: Seen) -> list[str]:
    """The labels of a multi-label row.

    Args:
        value: A list, or text with several labels joined by the separator; an empty one means none applies.
        separator: What separates them.
        seen: Counts whole numbers and truth values.

    Returns:
        Labels in order, each once.

    Raises:
        BadValueError: If the cell is missing or one of them is no label.
    """
    if value is None:
        raise BadValueError("no labels; a row to which none applies has an empty list")
    if isinstance(value, str):
        value = value.split(separator) if value and separator else [value] if value else []
    items: list[Any] = value if isinstance(value, list) else [value]
    return list(dict.fromkeys(label_of(item, seen) for item in items))


def whole(form: Form, cell: Any) -> dict[str, Any]:
    """A cell that holds a row's first text in another form, as that text; raises BadValueError where it is none."""
    try:
        return form.joined({FIRST: cell})
    except ValueError as error:
        raise BadValueError(str(error)) from None


def value_of(read: Read, value: Any, row: Mapping[str, Any]) -> Any:
    """A cell of a task's own form.

    Args:
        read: The task's check.
        value: As read; text of a flat file may hold JSON.
        row: What is read of the row already.

    Returns:
        A JSON value.

    Raises:
        BadValueError: It is missing, or the task cannot use it.
    """
    if value is None:
        raise BadValueError("nothing")
    try:
        return read(value, row)
    except ValueError as error:
        raise BadValueError(str(error)) from None


def value_if_any(read: Read, value: Any, row: Mapping[str, Any]) -> Any:
    """A cell that a row need not have; raises BadValueError where the task cannot use what is there."""
    return None if value is None else value_of(read, value, row)


def values_of(
    readers: Mapping[str, Callable[..., Any]],
    whole: Mapping[str, bool],
    cells: Mapping[str, Any],
    row: Mapping[str, Any],
) -> dict[str, Any]:
    """What is right for a row in each of several tasks.

    Args:
        readers: What reads a cell, by task.
        whole: Whether it reads the row too.
        cells: The row's cells by task.
        row: What is read of the row already.

    Returns:
        A value by task; nothing where the cell is empty.

    Raises:
        BadValueError: All are empty, or one cannot be used.
    """
    found: dict[str, Any] = {}
    for name, cell in cells.items():
        if cell is None or cell == "" or cell != cell:
            found[name] = None
            continue
        try:
            found[name] = readers[name](cell, row) if whole[name] else readers[name](cell)
        except BadValueError as error:
            raise BadValueError(f"{name}: {error}") from None
    if all(value is None for value in found.values()):
        raise BadValueError("nothing for any of the tasks")
    return found


def key_of(value: Any, what: str) -> str:
    """An id, a group or a time as text.

    Args:
        value: As read.
        what: Which of them, for the message.

    Returns:
        Text, not empty.

    Raises:
        BadValueError: If it is missing or no text, number or date.
    """
    if value is None or value == "" or value != value:
        raise BadValueError(f"no {what}")
    if isinstance(value, list | dict | bytes) or (isinstance(value, float) and what == "id"):
        raise BadValueError(f"{kind(value)} where the {what} was expected")
    text = value.isoformat() if isinstance(value, datetime.date | datetime.time) else str(value)
    if "\0" in text:
        raise BadValueError("a NUL character")
    return text


def kind(value: Any) -> str:
    """What a value is, in words.

    Args:
        value: Anything.

    Returns:
        With its article.
    """
    if value is None:
        return "nothing"
    names: dict[type, str] = {bool: "true or false", int: "a number", float: "a number", str: "text"}
    names |= {list: "a list", dict: "an object", bytes: "bytes"}
    return names.get(type(value), f"a {type(value).__name__}")


def watch_numbers(label: str, where: str, name: str, seen: Seen) -> None:
    """Notes whether the labels of a flat file look like numbers, which only the whole column can tell.

    Args:
        label: A label of a flat file.
        where: Its file and line.
        name: Its column.
        seen: Receives what was seen; a column is fractional if all labels are numbers and one is not whole.
    """
    if seen.words:
        return
    if WHOLE.match(label):
        seen.numbers += 1
    elif NUMBER.match(label):
        seen.numbers += 1
        if len(seen.fractions) < 1000:
            seen.fractions.append(Problem(FLOAT.format(value=label), where, name))
    else:
        seen.words += 1
        seen.fractions.clear()


def collect(make: Callable[[], Any], where: str, name: str, problems: list[Problem]) -> Any:
    """Calls `make`; what it refuses becomes a problem.

    Args:
        make: Reads one value.
        where: File and line.
        name: Column.
        problems: Receives the problem.

    Returns:
        The value, or None.
    """
    try:
        return make()
    except BadValueError as error:
        problems.append(Problem(str(error), where, name))
        return None


def content_key(text: str, labels: str | list[str] | None) -> str:
    """What a row without an id is known by.

    Args:
        text: Its text, or its texts joined.
        labels: Its label or labels.

    Returns:
        Text to hash; equal for equal content.
    """
    joined = labels if isinstance(labels, str) else "\x1e".join(labels or ())
    return f"{text}\x1f{joined}"
