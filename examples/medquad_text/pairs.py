"""Makes pairs of a question and what its answer begins with: `python pairs.py FOLDER OUT`.

FOLDER holds train.txt and test.txt: for each disease a block of lines, questions (which end in a question mark) each
with the lines of its answer below it, and an empty line at the end. An answer is the first line below its question that
is more than a heading, cut after 300 characters at a word. `disease` is the block's first question: rows of one block
belong to one split.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

QUESTION = re.compile(r"(What|How|Who|Is|Do|Does|Are|Where|When|Why|Can|Which)\b.{3,150}\?$")
SHORTEST, LONGEST = 40, 300


def rows(text: str) -> list[dict[str, str]]:
    """Questions with answers, no pair twice."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for block in re.split(r"\n\s*\n", text):
        lines = [" ".join(line.split()) for line in block.splitlines()]
        questions = [at for at, line in enumerate(lines) if QUESTION.match(line)]
        for at, end in zip(questions, [*questions, len(lines)][1:], strict=True):
            told = next((line for line in lines[at + 1 : end] if len(line) >= SHORTEST), "")
            answer = told if len(told) <= LONGEST else told[:LONGEST].rsplit(" ", 1)[0]
            question = lines[at].replace(" ?", "?").replace("??", "?")
            if answer:
                row = {"text": question, "answer": answer, "disease": lines[questions[0]]}
                found.setdefault((question, answer), row)
    return list(found.values())


def main() -> None:
    """Reads two files and writes two."""
    folder, out = map(Path, sys.argv[1:3])
    out.mkdir(parents=True, exist_ok=True)
    for name in ("train", "test"):
        made = rows((folder / f"{name}.txt").read_text(encoding="utf-8"))
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made)
        (out / f"{name}.pairs.jsonl").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main()
