"""E2E's published rows as attune reads them: `python prepare.py FOLDER-WITH-dev.jsonl-AND-test.jsonl FOLDER`.

The official training file is not at hand, so the development rows are trained on, one a text. Of the test rows those
of one meaning representation become one row with all its texts, against which BLEU is computed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(source: Path, target: Path) -> None:
    """Writes train.jsonl and test.jsonl."""
    target.mkdir(parents=True, exist_ok=True)
    (target / "train.jsonl").write_bytes((source / "dev.jsonl").read_bytes())
    texts: dict[str, list[str]] = {}
    for line in (source / "test.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        texts.setdefault(row["source"], []).append(row["target"])
    with (target / "test.jsonl").open("w", encoding="utf-8") as stream:
        for meaning, right in texts.items():
            stream.write(json.dumps({"source": meaning, "target": right}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
