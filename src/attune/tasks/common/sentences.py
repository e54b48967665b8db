"""Where the sentences of a text stand: its lines, or what full stops and their like part, in English and in Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

Units = Literal["auto", "line", "sentence"]
Place = tuple[int, int]

LINE = re.compile(r"[^\r\n\u2028\u2029]*\S[^\r\n\u2028\u2029]*")
CLOSING = "\"'”’)\\]）」』】》"
STOP = re.compile(rf"(?:[。！？｡]+|…{{2,}})[…。！？]*[{CLOSING}]*|[.!?…]+[{CLOSING}]*(?=\s|$)")
"""What may end a sentence: Chinese marks wherever they stand, others before a space."""
WIDE_STOP = re.compile(r"[。！？｡]|…{2}")
WORD_BEFORE = re.compile(r"[\w.&-]*$")
LETTERS = re.compile(r"[A-HJ-Z]|(?:[^\W\d_]\.)+[^\W\d_]")
"""An initial (but for the word I), or letters with full stops between them: J, U.S, p.m."""
NUMBERED = re.compile(r"\s*[(\[]?(?:\d{1,3}|[ivxIVX]{1,4})$")
ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof sr jr st mt rev hon gen col lt sgt capt gov sen rep pres vs etc al cf fig figs eq no nos vol pp "
    "ed eds inc ltd co corp dept univ approx est ave blvd rd jan feb mar apr jun jul aug sep sept oct nov dec".split()
)


def sentences(text: str, units: Units = "auto") -> list[Place]:
    """Where each sentence of a text begins and ends, in characters, without space around it.

    Args:
        text: Any text.
        units: `line`: each line that is not blank. `sentence`: what full stops, question and exclamation marks part,
            line ends too. `auto`: lines where the text has several, else sentences.

    Returns:
        Places in order; none overlaps another.
    """
    lines = [stripped(text, *found.span()) for found in LINE.finditer(text)]
    if units == "line" or (units == "auto" and len(lines) > 1):
        return lines
    return [place for line in lines for place in parted(text, *line)]


def parted(text: str, start: int, end: int) -> Iterator[Place]:
    """The sentences of one line."""
    begin = start
    for stop in STOP.finditer(text, start, end):
        if stop.start() >= begin and stop.end() < end and ends_here(text, begin, stop):
            yield stripped(text, begin, stop.end())
            begin = stop.end()
    if text[begin:end].strip():
        yield stripped(text, begin, end)


def ends_here(text: str, begin: int, stop: re.Match[str]) -> bool:
    """Whether a mark ends the sentence that began at a place.

    Chinese marks always do. A full stop does not after an abbreviation, an initial or the number of an item, and no
    mark does where the next word begins with a small letter.
    """
    if WIDE_STOP.match(stop.group()):
        return True
    if text[stop.end() :].lstrip()[:1].islower():
        return False
    if stop.group() != ".":
        return True
    before = text[begin : stop.start()]
    found = WORD_BEFORE.search(before)
    word = found.group() if found else ""
    return not (word.lower() in ABBREVIATIONS or LETTERS.fullmatch(word) or NUMBERED.fullmatch(before))


def stripped(text: str, start: int, end: int) -> Place:
    """A place without the space at its ends."""
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())
