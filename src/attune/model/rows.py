"""Rows on their way to an answer: what is checked of each, wherever it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attune.core.form import Form
from attune.core.texts import FIRST, rows_of
from attune.errors import DataError, Problem


def fault(row: Any, form: Form) -> tuple[str, str] | None:
    """What is wrong with a row.

    Args:
        row: A mapping, or, where a row is one text, a text.
        form: What a row must have.

    Returns:
        The field and a clause; None where the row can be answered.
    """
    if not isinstance(row, Mapping) and len(form.fields) > 1 and row is not None:
        return form.fields[0], f"is one text where {' and '.join(form.fields)} were expected"
    try:
        cells: Mapping[str, Any] = form.joined(row if isinstance(row, Mapping) else {FIRST: row})
    except ValueError as error:
        return form.alias or FIRST, str(error)
    for field in form.texts:
        if reason := flaw(cells.get(field), field):
            return field, reason
    if form.asks and (reason := form.asks(cells[FIRST])):
        return FIRST, reason
    for field, read in form.also.items():
        if cells.get(field) is None:
            return field, f"has no {field}"
        try:
            read(cells[field], cells)
        except ValueError as error:
            return field, f"its {field}: {error}"
    return None


def flaw(text: Any, field: str) -> str:
    """What is wrong with one text; nothing where it can be read."""
    if text is None:
        return f"has no {field}"
    if not isinstance(text, str):
        return f"its {field} is a {type(text).__name__}"
    if not text.strip():
        return f"its {field} is empty"
    if "\x00" in text:
        return f"its {field} holds a NUL byte"
    return ""


def as_row(row: str | Mapping[str, Any], form: Form) -> dict[str, Any]:
    """A row as a mapping, what is read of it besides texts in the form that the task made of it."""
    row = form.joined(row if isinstance(row, Mapping) else {FIRST: row})
    return {**row, **{name: read(row[name], row) for name, read in form.also.items()}}


def checked(rows: Sequence[str | Mapping[str, Any]], form: Form) -> list[dict[str, Any]]:
    """Rows that can be answered.

    Args:
        rows: Texts or mappings.
        form: What a row must have.

    Returns:
        Mappings.

    Raises:
        DataError: Some cannot be answered; all of them are listed.
    """
    refuse([fault(row, form) for row in rows], form.fields)
    return [as_row(row, form) for row in rows]


def told(task: Any, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Rows as they are read to be learned from or judged: a task may have what is right for them read as well.

    Args:
        task: The task; one with `with_gold` says what such a row is.
        rows: Rows as they are answered.
        columns: Their columns, with what is right for them.

    Returns:
        Rows.
    """
    return task.with_gold(rows, columns["gold" if task.form.gold else "label"]) if hasattr(task, "with_gold") else rows


def standing(task: Any, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of texts to learn from or to be judged by; with where they stand, for a task that says so in `beside`.

    Args:
        task: The task.
        columns: The rows' columns.

    Returns:
        Rows.
    """
    more = [name for name in getattr(task, "beside", ()) if name in columns]
    return rows_of(columns, (*task.form.fields, *more))


def refuse(faults: Sequence[tuple[str, str] | None], fields: Sequence[str]) -> None:
    """Raises where there are rows that cannot be answered.

    Args:
        faults: What is wrong with each row.
        fields: The fields that rows are asked for.

    Raises:
        DataError: All of them are listed.
    """
    problems = [Problem(wrong[1], f"row {index}", wrong[0]) for index, wrong in enumerate(faults, 1) if wrong]
    if problems:
        raise DataError(
            f"{len(problems)} of {len(faults)} rows cannot be answered",
            expected="a text in every row" if len(fields) == 1 else f"{' and '.join(fields)} in every row",
            remedy="mend or leave out the rows listed",
            problems=problems,
        )
