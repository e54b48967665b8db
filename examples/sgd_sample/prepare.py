"""Dialogues without those in which a turn is empty, which nobody can learn or judge: `python prepare.py FOLDER OUT`."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    """Reads train.jsonl and test.jsonl and writes what is left of them: one dialogue of the test file falls out."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    for name in ("train.jsonl", "test.jsonl"):
        lines = (folder / name).read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if all(turn["content"].strip() for turn in json.loads(line)["messages"])]
        (out / name).write_text("".join(kept), encoding="utf-8")


if __name__ == "__main__":
    main()
