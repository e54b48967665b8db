"""The baseline of tagging: each word has the tag that it had most often in training."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from attune.core.records import Prediction, Span
from attune.core.texts import FIRST

WORD = re.compile("[\u3400-\u9fff\uf900-\ufaff]|[^\\W\u3400-\u9fff\uf900-\ufaff]+|[^\\w\\s]")
CHUNK = 1024

Tag = tuple[str, bool]
"""A label, and whether the word begins a span of it; an empty label outside of spans."""


def lookup(train: Any, table: Any) -> list[Prediction]:
    """Tags every row of a table.

    Args:
        train: The training rows, a table with `text` and `gold` spans.
        table: The rows to answer.

    Returns:
        One prediction a row, without confidence; neighbouring words of one label are one span unless one begins anew.
    """
    seen: dict[str, Counter[Tag]] = {}
    for batch in train.batches(CHUNK):
        for text, gold in zip(batch[FIRST], batch["gold"], strict=True):
            for word, tag in tagged(text, gold):
                seen.setdefault(word, Counter())[tag] += 1
    known = {word: max(tags, key=lambda tag: (tags[tag], tag)) for word, tags in seen.items()}
    return [answer(text, known) for batch in table.batches(CHUNK) for text in batch[FIRST]]


def tagged(text: str, gold: list[dict[str, Any]]) -> Iterator[tuple[str, Tag]]:
    """Each word, lower-cased, with its tag."""
    for found in WORD.finditer(text):
        inside = next((span for span in gold if span["start"] < found.end() and span["end"] > found.start()), None)
        yield found.group().lower(), (inside["label"], found.start() <= inside["start"]) if inside else ("", False)


def answer(text: str, known: dict[str, Tag]) -> Prediction:
    """One row by its words."""
    spans: list[list[Any]] = []
    before = ""
    for found in WORD.finditer(text):
        label, begins = known.get(found.group().lower(), ("", False))
        if label and (begins or label != before):
            spans.append([found.start(), found.end(), label])
        elif label:
            spans[-1][1] = found.end()
        before = label
    told = tuple(Span(start, end, label, text[start:end]) for start, end, label in spans)
    return Prediction([span.label for span in told], spans=told)
