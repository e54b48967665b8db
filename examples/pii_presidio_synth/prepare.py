"""The two parts of presidio's made-up texts, which lie in one file, as two: `prepare.py FROM INTO`."""

import json
import sys
from pathlib import Path


def main() -> None:
    """Writes train.jsonl and test.jsonl; no template is in both."""
    source, target = map(Path, sys.argv[1:3])
    target.mkdir(parents=True, exist_ok=True)
    lines = (source / "pii.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    for part in ("train", "test"):
        own = [line for line in lines if json.loads(line)["split"] == part]
        (target / f"{part}.jsonl").write_text("".join(own), encoding="utf-8")


if __name__ == "__main__":
    main()
