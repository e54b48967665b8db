"""Makes rows of plain text in which no character is lost: `python prepare.py FOLDER OUT`.

FOLDER holds train.txt and test.txt. A file with a text a line would lose its empty lines, and rows drawn for validation
would leave holes; so each file is cut into texts of about two thousand characters, behind a line break, in order. The
last tenth of the training texts is for choosing the checkpoint. Joined again, the texts are the file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

LENGTH = 2000
CHOOSING = 10


def pieces(text: str) -> list[str]:
    """A text in parts of at least `LENGTH` characters but the last, each with whole lines; nothing is left out."""
    found, part = [], ""
    for line in text.splitlines(keepends=True):
        part += line
        if len(part) >= LENGTH:
            found, part = [*found, part], ""
    return [*found, part] if part else found


def write(path: Path, texts: list[str]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")


def main() -> None:
    """Writes train.jsonl, validation.jsonl and test.jsonl."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    texts = pieces((folder / "train.txt").read_text(encoding="utf-8"))
    kept = len(texts) - len(texts) // CHOOSING
    write(out / "train.jsonl", texts[:kept])
    write(out / "validation.jsonl", texts[kept:])
    write(out / "test.jsonl", pieces((folder / "test.txt").read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
