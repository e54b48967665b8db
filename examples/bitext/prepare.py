"""Joins a row's category and intent to one path, as hierarchical.toml has its labels: `prepare.py FROM INTO`."""

import json
import sys
from pathlib import Path


def main() -> None:
    """Writes train.jsonl, dev.jsonl and test.jsonl with `label` as `CATEGORY/intent`; all else stays."""
    source, target = map(Path, sys.argv[1:3])
    target.mkdir(parents=True, exist_ok=True)
    for name in ("train.jsonl", "dev.jsonl", "test.jsonl"):
        rows = [json.loads(line) for line in (source / name).read_text(encoding="utf-8").splitlines()]
        made = [row | {"label": f"{row['category']}/{row['label']}"} for row in rows]
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in made]
        (target / name).write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
