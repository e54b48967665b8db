"""Paragraphs of WikiText-2 as rows: `python prepare.py FOLDER OUT`.

FOLDER holds valid.txt, which stands in for the official training file, and test.txt. Headings, empty lines and
paragraphs of fewer than four sentences are left out, so that each row holds two segments of two sentences.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

SENTENCES = 4
FILES = {"valid.txt": "train.jsonl", "test.txt": "test.jsonl"}


def paragraphs(text: str) -> list[str]:
    """Every paragraph that is long enough, once."""
    lines = [line.strip() for line in text.splitlines()]
    kept = [line for line in lines if not line.startswith("=") and f"{line} ".count(" . ") >= SENTENCES]
    return list(dict.fromkeys(kept))


def main() -> None:
    """Writes train.jsonl and test.jsonl."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    for name, made in FILES.items():
        rows = paragraphs((folder / name).read_text(encoding="utf-8"))
        lines = [json.dumps({"text": row}, ensure_ascii=False) + "\n" for row in rows]
        (out / made).write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
