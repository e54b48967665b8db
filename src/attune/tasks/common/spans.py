"""Spans that a row gives: read, and held against the text they lie in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any


def json_of(cell: Any) -> Any:
    """A cell's value; text of a flat file is read as JSON.

    Args:
        cell: As read.

    Returns:
        A JSON value.

    Raises:
        ValueError: The text is not JSON.
    """
    if not isinstance(cell, str):
        return cell
    try:
        return json.loads(cell)
    except ValueError:
        raise ValueError(f"text that is not JSON: {cell[:60]!r}") from None


def span_of(given: Any, text: str, what: str) -> dict[str, Any]:
    """One span, held against its text.

    Args:
        given: An object with `start` and `end`, which count characters of the text and of which the end is the first
            one after the span; `label`, and `text` where the span's own is told.
        text: What it lies in.
        what: What to call it.

    Returns:
        `start`, `end` and, where it is known, `label`.

    Raises:
        ValueError: It is no such object, leaves the text, holds nothing, or the text says something else there.
    """
    if not isinstance(given, Mapping):
        raise ValueError(f"{what} is no object with start and end")
    start, end = (number_of(given.get(name), f"{what} has no {name}") for name in ("start", "end"))
    if not 0 <= start < end <= len(text):
        raise ValueError(f"{what} goes from {start} to {end}, and the text has {len(text)} characters")
    if not text[start:end].strip():
        raise ValueError(f"{what} is nothing but space, from {start} to {end}")
    if isinstance(said := given.get("text"), str) and said != text[start:end]:
        raise ValueError(f"{what} is said to be {said[:60]!r}, and the text has {text[start:end][:60]!r} there")
    label = given.get("label")
    if label is not None and not isinstance(label, str):
        raise ValueError(f"the label of {what} is no text: {label!r}")
    return {"start": start, "end": end, **({"label": label} if label else {})}


def number_of(value: Any, missing: str) -> int:
    """A count of characters.

    Args:
        value: As read.
        missing: What to say where there is none.

    Returns:
        A whole number.

    Raises:
        ValueError: It is none.
    """
    if value is None:
        raise ValueError(missing)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"an offset that is no whole number: {value!r}")
    return value


def refuse_overlap(spans: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    """Stops where two spans share a character.

    Args:
        spans: Spans of one text.
        names: What to call them.

    Raises:
        ValueError: Two overlap; the first such two are named.
    """
    order = sorted(range(len(spans)), key=lambda which: (spans[which]["start"], spans[which]["end"]))
    for one, other in pairwise(order):
        if spans[other]["start"] < spans[one]["end"]:
            first, second = spans[one], spans[other]
            raise ValueError(
                f"{names[one]} ({first['start']} to {first['end']}) and {names[other]} "
                f"({second['start']} to {second['end']}) overlap"
            )
