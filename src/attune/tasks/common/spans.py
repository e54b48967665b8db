"""Spans of a text as people write them down: offsets, or a tag a token."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from attune.core.texts import FIRST, places_of_tokens

TAG = re.compile(r"(?:O|([BIES])-(.+))\Z")
NAMES = ("label", "type", "entity")
"""Keys under which a span's label is looked for."""
STATED = ("text", "value")
"""Keys under which a span may repeat its text, which is checked."""

Plain = dict[str, Any]


def read_spans(value: Any, row: Mapping[str, Any]) -> list[Plain]:
    """Reads the spans of one row.

    Args:
        value: Spans `{start, end, label}`, or one tag a token (BIO or BIOES; BMES' M counts as I); or that as JSON; or
            tags parted by spaces.
        row: The row's text, and its `tokens` where the text came as a list of them.

    Returns:
        `{start, end, label}` in the order of the text.

    Raises:
        ValueError: A span does not fit the text, overlaps another, or the tags are no legal sequence; says which.
    """
    value = parsed(value)
    if not isinstance(value, list):
        raise ValueError(f"a {type(value).__name__} where spans or tags were expected")
    if value and all(isinstance(item, str) for item in value):
        return spans_of_tags(value, row)
    found = [read_span(item, row[FIRST]) for item in value]
    return apart(sorted(found, key=lambda span: (span["start"], span["end"])))


def parsed(value: Any) -> Any:
    """A cell of a flat file as what it says."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"spans that are not JSON ({error})") from None
    return value.split()


def read_span(item: Any, text: str, *, labelled: bool = True) -> Plain:
    """One span, checked against its text; it may be `labelled`, or must be."""
    if not isinstance(item, Mapping):
        raise ValueError(f"{item!r} where a span {{start, end, label}} was expected")
    start: Any = item.get("start")
    end: Any = item.get("end")
    label = next((item[name] for name in NAMES if name in item), None)
    if label is None and not labelled:
        label = ""
    elif not isinstance(label, str) or not label:
        raise ValueError(f"a span without a label: {dict(item)!r}")
    if not all(isinstance(place, int) and not isinstance(place, bool) for place in (start, end)):
        raise ValueError(f"a span whose start and end are not whole numbers: {dict(item)!r}")
    if not 0 <= start < end <= len(text):
        raise ValueError(f"the span {called(start, end, label)} does not lie in the text of {len(text)} characters")
    said = next((item[name] for name in STATED if isinstance(item.get(name), str)), None)
    if said is not None and said != text[start:end]:
        raise ValueError(
            f"the span {called(start, end, label)} says {said!r} and the text there is {text[start:end]!r}"
        )
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    if start == end:
        raise ValueError(f"the span {called(item['start'], item['end'], label)} holds nothing but space")
    return {"start": start, "end": end, "label": label}


def called(start: int, end: int, label: str) -> str:
    """A span as a person is told of it."""
    return f"{start}–{end} ({label})" if label else f"{start}–{end}"


def apart(spans: list[Plain]) -> list[Plain]:
    """Refuses spans that overlap."""
    for one, other in pairwise(spans):
        if other["start"] < one["end"]:
            raise ValueError(f"the spans {called(**one)} and {called(**other)} overlap")
    return spans


def spans_of_tags(tags: Sequence[str], row: Mapping[str, Any]) -> list[Plain]:
    """Spans from one tag a token.

    Args:
        tags: BIO or BIOES; M is read as I, as in BMES.
        row: The text, and its `tokens`; without them the text is parted at spaces.

    Returns:
        Spans in order.

    Raises:
        ValueError: There are not as many tags as tokens, or a tag cannot follow the one before.
    """
    text: str = row[FIRST]
    places = places_of_tokens(row["tokens"]) if "tokens" in row else [m.span() for m in re.finditer(r"\S+", text)]
    if len(places) != len(tags):
        raise ValueError(f"{len(tags)} tags for {len(places)} tokens")
    spans: list[Plain] = []
    open_label = ""
    for number, (tag, (start, end)) in enumerate(zip(tags, places, strict=True), 1):
        match = TAG.match("I" + tag[1:] if tag.startswith("M-") else tag)
        if not match:
            raise ValueError(f"tag {number} is {tag!r}; tags are O, B-LABEL, I-LABEL, and E-LABEL, S-LABEL in BIOES")
        kind, label = match.group(1), match.group(2)
        if kind in ("I", "E"):
            if open_label != label:
                before = tags[number - 2] if number > 1 else "the start"
                raise ValueError(f"tag {number} is {tag!r} after {before!r}; it continues a span that is not open")
            spans[-1]["end"] = end
        elif kind:
            spans.append({"start": start, "end": end, "label": label})
        open_label = label if kind in ("B", "I") else ""
    return spans


def names_in(gold: Sequence[Mapping[str, Any]]) -> list[str]:
    """The labels of a row's spans, each once, in order."""
    return list(dict.fromkeys(span["label"] for span in gold))
