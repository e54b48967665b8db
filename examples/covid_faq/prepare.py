"""Makes rows with candidates of questions with answers: `python prepare.py FOLDER OUT`.

FOLDER holds train.jsonl and test.jsonl with `source` (a question) and `target` (its answer). Of a training question the
candidates are its answer and the nine of other training questions that share the most words with it by TF-IDF: hard
ones. Of a test question they are all answers of the test file. Every text is kept once; questions with two answers have
two right candidates.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

HARD = 9


def read(path: Path) -> dict[str, list[str]]:
    """Questions with their answers."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        answers = found.setdefault(row["source"], [])
        if row["target"] not in answers:
            answers.append(row["target"])
    return found


def hard(found: dict[str, list[str]], draw: np.random.Generator) -> list[dict[str, object]]:
    """Rows with the nearest wrong answers as candidates, in an order drawn."""
    answers = sorted({text for several in found.values() for text in several})
    reader = TfidfVectorizer(sublinear_tf=True).fit([*found, *answers])
    near = (reader.transform(list(found)) @ reader.transform(answers).T).toarray()
    rows: list[dict[str, object]] = []
    for (question, right), scores in zip(found.items(), near, strict=True):
        wrong = [answers[at] for at in np.argsort(-scores, kind="stable") if answers[at] not in right][:HARD]
        candidates = [str(text) for text in draw.permutation([*right, *wrong])]
        rows.append({"text": question, "candidates": candidates, "label": right})
    return rows


def every(found: dict[str, list[str]]) -> list[dict[str, object]]:
    """Rows with all answers as candidates."""
    answers = sorted({text for several in found.values() for text in several})
    return [{"text": question, "candidates": answers, "label": right} for question, right in found.items()]


def main() -> None:
    """Reads two files and writes two."""
    folder, out = map(Path, sys.argv[1:3])
    out.mkdir(parents=True, exist_ok=True)
    made = {
        "train": hard(read(folder / "train.jsonl"), np.random.default_rng(0)),
        "test": every(read(folder / "test.jsonl")),
    }
    for name, rows in made.items():
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (out / f"{name}.jsonl").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main()
