"""Plain text: a text a line; empty lines part documents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from attune.data.batches import Record
from attune.data.encodings import MARK, open_text
from attune.errors import Problem


def read(path: Path, name: str, encoding: str, problems: list[Problem]) -> Iterator[Record | None]:
    """Reads one text a line.

    Args:
        path: The file, possibly packed.
        name: What to call it in messages.
        encoding: Its encoding; empty for detection.
        problems: Receives bad rows.

    Yields:
        One record a line that is not empty, with `text` and, for `data.group`, `document`: the number of its document,
        which an empty line ends; None for a bad one.
    """
    document, between = 0, True
    with open_text(path, encoding) as stream:
        for number, line in enumerate(stream, 1):
            text = line.rstrip("\r\n")
            if not text or text.isspace():
                between = True
                continue
            document, between = document + between, False
            if "\0" in text or MARK in text:
                bad = "NUL bytes" if "\0" in text else "bytes that do not decode"
                problems.append(Problem(bad, f"{name}:{number}"))
                yield None
            else:
                yield Record(number, {"text": text, "document": str(document)}, len(text))
