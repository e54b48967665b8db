"""Units: what of a text has one tag, found among the tokens of its windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CASES = 5
"""Ways a unit may be written, counted from 1: without capitals, Capitalised, UPPER, mixed, with a digit."""


@dataclass(frozen=True)
class Units:
    """The units of one text, in its order.

    Attributes:
        first: `(U,)` place of each unit's first token among the tokens of all windows, one window after the other.
        spans: `(U, 2)` first and end character.
        marks: For each window `(T,)`: how the unit that begins there is written; 0 where none does, or where another
            window has more of what is around it.
    """

    first: NDArray[np.int64]
    spans: NDArray[np.int64]
    marks: list[NDArray[np.int64]]


def units_of(windows: Sequence[NDArray[np.int64]], text: str, *, words: bool) -> Units:
    """Finds the units.

    Args:
        windows: For each window `(T, 4)`: first and end character, word and text of each token, −1 for special ones.
        text: The text.
        words: Whether a unit is a word of the tokenizer; else each token is one.

    Returns:
        The units; one that several windows hold belongs to the one in which it stands further from the edge.
    """
    places = np.concatenate(windows)
    sizes = np.array([len(each) for each in windows])
    window, starts = np.repeat(np.arange(len(windows)), sizes), np.cumsum(sizes) - sizes
    real = np.flatnonzero((places[:, 3] >= 0) & (places[:, 1] > places[:, 0]))
    names, unit = np.unique(places[real, 2 if words else 0], return_inverse=True)
    start, end = np.full(len(names), len(text)), np.zeros(len(names), dtype=np.int64)
    np.minimum.at(start, unit, places[real, 0])
    np.maximum.at(end, unit, places[real, 1])
    beginning = places[real, 0] == start[unit]
    first, unit = real[beginning], unit[beginning]
    at = first - starts[window[first]]
    room = np.minimum(at, sizes[window[first]] - 1 - at)
    order = np.lexsort(
        (first, -room, unit)
    )  # of several windows the roomiest, of several bytes of a character the first
    chosen = order[np.unique(unit[order], return_index=True)[1]]
    first, spans = first[chosen], np.column_stack([start, end])
    marks = np.zeros(len(places), dtype=np.int64)
    marks[first] = np.asarray([written(text[one:other]) for one, other in spans], dtype=np.int64)
    return Units(first, spans, np.split(marks, starts[1:]))


def written(text: str) -> int:
    """How a unit is written, from 1 to `CASES`."""
    if any(letter.isdigit() for letter in text):
        return 5
    if text.islower() or text.upper() == text.lower():
        return 1
    if text.isupper() and len(text) > 1:
        return 3
    return 2 if text[:1].isupper() and text[1:] == text[1:].lower() else 4
