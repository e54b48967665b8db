"""A row's texts as one string, for everything that compares, counts or shows rows rather than reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

SEPARATOR = "\x1f"
"""Stands between the two texts of a pair; ASCII's own unit separator, which no text needs."""
SHOWN = " ‖ "
"""What a person sees in its place."""
WIDE = re.compile("[\u3000-\u303f\u3400-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
"""A character of Chinese writing, its punctuation included."""
FIRST, SECOND = "text", "text_pair"


def joined(texts: Sequence[str]) -> str:
    """One or two texts as one string.

    Args:
        texts: One text, kept as it is; or two, in which a separator of their own becomes a space.

    Returns:
        A string that `parts` takes apart again.
    """
    return texts[0] if len(texts) == 1 else SEPARATOR.join(text.replace(SEPARATOR, " ") for text in texts)


def text_of_tokens(tokens: Sequence[str]) -> str:
    """Tokens as the text that they are read as: spaces between them, and none between two of Chinese writing."""
    return "".join(gap + token for gap, token in zip(gaps(tokens), tokens, strict=True))


def places_of_tokens(tokens: Sequence[str]) -> list[tuple[int, int]]:
    """First and end character of each token in that text."""
    found: list[tuple[int, int]] = []
    at = 0
    for gap, token in zip(gaps(tokens), tokens, strict=True):
        found.append((at + len(gap), at + len(gap) + len(token)))
        at = found[-1][1]
    return found


def gaps(tokens: Sequence[str]) -> list[str]:
    """What stands before each token."""
    return [
        "" if not number or (WIDE.match(tokens[number - 1][-1:]) and WIDE.match(token[:1])) else " "
        for number, token in enumerate(tokens)
    ]


def parts(text: str) -> list[str]:
    """The texts that were joined."""
    return text.split(SEPARATOR)


def each(change: Callable[[str], str], text: str) -> str:
    """Changes each of the joined texts by itself."""
    return SEPARATOR.join(change(part) for part in parts(text))


def row_of(text: str, fields: Sequence[str]) -> dict[str, str]:
    """The row that was joined.

    Args:
        text: From `joined`.
        fields: The fields of the texts that a row has.

    Returns:
        One text a field.
    """
    return dict(zip(fields, parts(text) if len(fields) > 1 else [text], strict=True))


def rows_of(columns: Mapping[str, Sequence[Any]], fields: Sequence[str]) -> list[dict[str, Any]]:
    """Columns as rows, only the fields asked for."""
    return [dict(zip(fields, cells, strict=True)) for cells in zip(*(columns[name] for name in fields), strict=True)]


def text_of(row: Mapping[str, Any]) -> str:
    """The joined texts of one row."""
    return joined([row[name] for name in (FIRST, SECOND) if name in row])


def displayed(text: str, most: int, change: Callable[[str], str] = str) -> str:
    """Joined texts as a person sees them.

    Args:
        text: From `joined`.
        most: Characters kept of each.
        change: Done to each before it is cut.

    Returns:
        One string; an ellipsis stands for what was cut.
    """
    whole = [change(part) for part in parts(text)]
    return SHOWN.join(part if len(part) <= most else part[: most - 1] + "…" for part in whole)


def texts_of(columns: Mapping[str, Sequence[str]]) -> list[str]:
    """The joined texts of every row of some columns."""
    fields = [name for name in (FIRST, SECOND) if name in columns]
    return [joined(texts) for texts in zip(*(columns[name] for name in fields), strict=True)]
