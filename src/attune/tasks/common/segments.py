"""Segments of a long text: parts that can be read each by itself, cut where paragraphs or sentences end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from attune.tasks.common.sentences import sentences

PARAGRAPH = re.compile(r"\n\s*\n")
Fits = Callable[[str], bool]
Cut = Callable[[str], list[str]]


def segments(text: str, fits: Fits) -> list[str]:
    """Cuts a text into parts that fit, as few as come of filling one after the other.

    Args:
        text: Any text.
        fits: Whether a part can be read whole; a shorter one always can where a longer one can.

    Returns:
        The parts in order: joined they are the text, to the last character. One that cannot be cut may not fit.
    """
    return fitted(text, fits, (paragraphs, in_sentences))


def fitted(text: str, fits: Fits, cuts: Sequence[Cut]) -> list[str]:
    """Parts that fit, by the first of some cuts, and by the next ones where a part is still too long."""
    if len(text) < 2 or fits(text):
        return [text]
    if not cuts:
        return [part for half in halves(text) for part in fitted(half, fits, ())]
    return filled((part for whole in cuts[0](text) for part in fitted(whole, fits, cuts[1:])), fits)


def filled(parts: Iterable[str], fits: Fits) -> list[str]:
    """Neighbouring parts joined as long as they fit."""
    found: list[str] = []
    for part in parts:
        if found and fits(found[-1] + part):
            found[-1] += part
        else:
            found.append(part)
    return found


def paragraphs(text: str) -> list[str]:
    """What empty lines part, each with the empty lines behind it."""
    return between(text, [stop.end() for stop in PARAGRAPH.finditer(text)])


def in_sentences(text: str) -> list[str]:
    """The sentences and lines of a text, each with the space behind it."""
    return between(text, [start for start, _ in sentences(text, "sentence")][1:])


def halves(text: str) -> list[str]:
    """Two parts, cut at the space nearest to the middle; in the middle where there is none."""
    middle = len(text) // 2
    spaces = [space.end() for space in re.finditer(r"\s+", text) if 0 < space.end() < len(text)]
    return between(text, [min(spaces, key=lambda at: abs(at - middle), default=middle)])


def between(text: str, places: Sequence[int]) -> list[str]:
    """The parts of a text between some places in it."""
    return [text[start:end] for start, end in pairwise([0, *places, len(text)]) if start < end]
