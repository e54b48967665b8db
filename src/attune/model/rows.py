"""Rows on their way to an answer: what is checked of each, wherever it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attune.core.texts import FIRST
from attune.errors import DataError, Problem


def fault(row: Any, fields: Sequence[str]) -> tuple[str, str] | None:
    """What is wrong with a row.

    Args:
        row: A mapping, or, where a row is one text, a text.
        fields: The fields that hold its texts.

    Returns:
        The field and a clause; None where the row can be answered.
    """
    if not isinstance(row, Mapping) and len(fields) > 1 and row is not None:
        return fields[0], f"is one text where {' and '.join(fields)} were expected"
    for field in fields:
        if reason := flaw(row.get(field) if isinstance(row, Mapping) else row, field):
            return field, reason
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


def as_row(row: str | Mapping[str, Any]) -> dict[str, Any]:
    """A row as a mapping."""
    return {FIRST: row} if isinstance(row, str) else dict(row)


def checked(rows: Sequence[str | Mapping[str, Any]], fields: Sequence[str]) -> list[dict[str, Any]]:
    """Rows that can be answered.

    Args:
        rows: Texts or mappings.
        fields: The fields that hold a row's texts.

    Returns:
        Mappings.

    Raises:
        DataError: Some cannot be answered; all of them are listed.
    """
    refuse([fault(row, fields) for row in rows], fields)
    return [as_row(row) for row in rows]


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
