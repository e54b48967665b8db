"""Chinese plain text of the catalogue, a text a line: `python prepare.py FOLDER OUT`.

FOLDER holds the data sets; texts are of what is not for testing alone. OUT gets texts.txt, one text a line, equal texts
once, in an order drawn by their content, so that a cut of the file is a sample of it; and for shopping.toml 4,000
labelled reviews of the training file, drawn in the same way, beside the test file as it is.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

FIELDS = {
    "online_shopping_10_cats/train.jsonl": ("text",),
    "chnsenticorp_htl/train.jsonl": ("text",),
    "fin_news_sentiment_zh/train.jsonl": ("text", "body"),
    "afqmc/train.jsonl": ("text", "text_pair"),
    "csl_title/dev.jsonl": ("source", "target"),
    "tatoeba_en_zh/train.jsonl": ("target",),
}
LINES = ("laws_zh/train.txt",)
HAN = re.compile("[\u4e00-\u9fff]")
SHORTEST = 8
REVIEWS = "online_shopping_10_cats"
LABELLED = 4000


def texts(folder: Path) -> Iterator[str]:
    """Every text, on one line."""
    for name, fields in FIELDS.items():
        for line in (folder / name).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            yield from (row[field] for field in fields if row.get(field))
    for name in LINES:
        yield from (folder / name).read_text(encoding="utf-8").splitlines()


def drawn(text: str) -> bytes:
    """What texts are put in order by."""
    return hashlib.sha256(text.encode()).digest()


def main() -> None:
    """Writes texts.txt, train.jsonl and test.jsonl."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    found = {" ".join(text.split()) for text in texts(folder)}
    kept = [text for text in found if len(HAN.findall(text)) >= SHORTEST]
    kept.sort(key=drawn)
    (out / "texts.txt").write_text("".join(f"{text}\n" for text in kept), encoding="utf-8")
    reviews = (folder / REVIEWS / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (out / "train.jsonl").write_text("".join(sorted(reviews, key=drawn)[:LABELLED]), encoding="utf-8")
    shutil.copy(folder / REVIEWS / "test.jsonl", out)


if __name__ == "__main__":
    main()
