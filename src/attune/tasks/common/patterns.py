"""Patterns that lay a row out in words: what stands around its text, and where a word is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attune.core.encoding import Encoding
from attune.core.records import Input
from attune.errors import DataError

TEXT, MASK, LABEL = "text", "mask", "label"
"""What a pattern has places for, in braces."""
PLACE = re.compile(r"\{(text|mask|label)\}")
WHOLE = 1 << 24
"""More tokens than a text has: nothing is cut by the tokenizer."""

Place = tuple[int, int]


def flaw(pattern: str, asked: str) -> str:
    """What is wrong with a pattern; empty where it has one place for the text and one for what is asked.

    Args:
        pattern: As the recipe has it.
        asked: `mask` or `label`.

    Returns:
        A clause.
    """
    found = PLACE.findall(pattern)
    if asked == LABEL and found == [LABEL, TEXT]:
        return f"{pattern!r} has {{{LABEL}}} before {{{TEXT}}}, and a label is what the backbone goes on with"
    if sorted(found) == sorted((TEXT, asked)):
        return ""
    return f"{pattern!r} has not the places {{{TEXT}}} and {{{asked}}}, each once, and no other"


@dataclass(frozen=True)
class Laid:
    """A row laid out.

    Attributes:
        text: What is read.
        at: Where the row's own text stands in it: its first character, and the first one after it.
    """

    text: str
    at: Place


def laid(pattern: str, values: Mapping[str, str], lead: str = "") -> tuple[str, dict[str, Place]]:
    """A pattern with its places filled; what stands in the values is not looked at.

    Args:
        pattern: With places in braces.
        values: What goes into each place.
        lead: What stands before it.

    Returns:
        The text, and where each value stands in it.
    """
    text, places = lead, dict[str, Place]()
    for number, part in enumerate(PLACE.split(pattern)):
        value = values[part] if number % 2 else part
        if number % 2:
            places[part] = (len(text), len(text) + len(value))
        text += value
    return text, places


def read_whole(backbone: Any, rows: Sequence[Laid]) -> Encoding:
    """Rows laid out, as token ids with their places; none is cut."""
    return backbone.encode([Input(row.text) for row in rows], max_length=WHOLE, placed=True)


def kept(places: NDArray[np.int64], row: Laid, room: int) -> NDArray[np.bool_]:
    """Which tokens are read of a row for which there is too little room: its text loses its end, all else stays.

    Args:
        places: `(T, 4)`, as `Encoding.places` has them.
        row: What was read.
        room: Tokens that can be read.

    Returns:
        `(T,)`.

    Raises:
        DataError: No token of the text would be left.
    """
    stays = np.ones(len(places), dtype=np.bool_)
    over = len(places) - room
    if over <= 0:
        return stays
    first, last = row.at
    own = np.flatnonzero((places[:, 3] == 0) & (places[:, 0] >= first) & (places[:, 1] <= last))
    if over >= len(own):
        raise DataError(
            f"{len(places) - len(own)} tokens stand around a text of {len(own)}",
            where="task.pattern",
            expected=f"at most {room} tokens, with a part of the text among them",
            remedy="shorten the pattern, show fewer or shorter rows, or raise backbone.max_length",
        )
    stays[own[-over:]] = False
    return stays


def cut_to(encoding: Encoding, rows: Sequence[Laid], room: int) -> Encoding:
    """Rows as they can be read; places go with their tokens."""
    places = encoding.places or []
    stays = [kept(own, row, room) for own, row in zip(places, rows, strict=True)]
    ids = [own[which] for own, which in zip(encoding.ids, stays, strict=True)]
    return replace(
        encoding,
        ids=ids,
        truncated=np.asarray([not which.all() for which in stays], dtype=np.bool_),
        longest=max(map(len, ids), default=0),
        places=[own[which] for own, which in zip(places, stays, strict=True)],
    )
