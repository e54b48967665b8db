"""XQuAD in five folds by paragraph: `prepare.py FROM INTO`.

Of each fold `fold-N.train.jsonl` and `fold-N.test.jsonl`, and the same as `swapped-N.…`, in which every second question
is asked of another paragraph of its part too, which does not answer it.
"""

import json
import random
import sys
from pathlib import Path

FOLDS = 5


def main() -> None:
    """Writes the folds."""
    source, target = map(Path, sys.argv[1:3])
    target.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in (source / "test.jsonl").read_text(encoding="utf-8").splitlines()]
    contexts = list(dict.fromkeys(row["context"] for row in rows))
    random.Random(0).shuffle(contexts)
    fold = {context: number % FOLDS for number, context in enumerate(contexts)}
    for number in range(FOLDS):
        parts = {
            "train": [row for row in rows if fold[row["context"]] != number],
            "test": [row for row in rows if fold[row["context"]] == number],
        }
        for name, part in parts.items():
            write(target / f"fold-{number}.{name}.jsonl", part)
            write(target / f"swapped-{number}.{name}.jsonl", part + swapped(part, number))


def swapped(rows: list[dict], seed: int) -> list[dict]:
    """Every second question beside a paragraph that holds none of its answers."""
    draw = random.Random(seed)
    contexts = sorted({row["context"] for row in rows})
    made = []
    for row in rows[::2]:
        others = [other for other in contexts if all(answer["text"] not in other for answer in row["answers"])]
        made.append({**row, "context": draw.choice(others), "answers": [], "id": f"{row['id']}-swapped"})
    return made


def write(path: Path, rows: list[dict]) -> None:
    """Writes rows as JSON lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
