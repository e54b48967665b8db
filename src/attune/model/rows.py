"""Rows on their way to an answer: what is checked of each, wherever it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attune.errors import DataError, Problem


def fault(row: Any) -> str:
    """What is wrong with a row; nothing where it can be answered.

    Args:
        row: A text, or a mapping with the key `text`.

    Returns:
        A clause, or an empty string.
    """
    text = row.get("text") if isinstance(row, Mapping) else row
    if text is None:
        return "has no text"
    if not isinstance(text, str):
        return f"its text is a {type(text).__name__}"
    if not text.strip():
        return "its text is empty"
    if "\x00" in text:
        return "its text holds a NUL byte"
    return ""


def as_row(row: str | Mapping[str, Any]) -> dict[str, Any]:
    """A row as a mapping."""
    return {"text": row} if isinstance(row, str) else dict(row)


def checked(rows: Sequence[str | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows that can be answered.

    Args:
        rows: Texts or mappings.

    Returns:
        Mappings.

    Raises:
        DataError: Some cannot be answered; all of them are listed.
    """
    problems = [Problem(reason, f"row {index + 1}", "text") for index, row in enumerate(rows) if (reason := fault(row))]
    if problems:
        raise DataError(
            f"{len(problems)} of {len(rows)} rows cannot be answered",
            expected="a text in every row",
            remedy="mend or leave out the rows listed",
            problems=problems,
        )
    return [as_row(row) for row in rows]
