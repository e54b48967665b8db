"""SemEval-2010 task 8 with `head` and `tail` a row as rows of the task `relation`: `prepare.py FROM INTO`."""

import json
import sys
from pathlib import Path


def main() -> None:
    """Writes train.jsonl and test.jsonl with both entities in one list, the first one first."""
    source, target = map(Path, sys.argv[1:3])
    target.mkdir(parents=True, exist_ok=True)
    for name in ("train.jsonl", "test.jsonl"):
        rows = [json.loads(line) for line in (source / name).read_text(encoding="utf-8").splitlines()]
        made = [{"text": row["text"], "entities": [row["head"], row["tail"]], "label": row["label"]} for row in rows]
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in made]
        (target / name).write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
