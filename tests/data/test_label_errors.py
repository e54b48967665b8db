"""Label errors, duplicates and leaks planted in Banking77 are found (Shows 9)."""

import json
import os
import random
from pathlib import Path

import pytest

from attune.core.recipe import parse
from attune.data.findings.record import SIDES
from attune.lifecycle.audit import Audited, audited
from attune.model.assemble import AXES

pytestmark = pytest.mark.slow

FLIPPED = 0.03
SEED = int(os.environ.get("ATTUNE_TEST_SEED", "0"))


def rows_of(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path: Path, rows: list[dict[str, str]]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path.name


def places(found: Audited, kind: str) -> set[tuple[str, int]]:
    """File and line of every row of a finding."""
    finding = found.audit.finding(kind)
    assert finding is not None
    tables = found.splits.tables()
    where = finding.where()
    result: set[tuple[str, int]] = set()
    for side, name in enumerate(SIDES):
        if name in tables:
            rows = tables[name].select(where["row"][where["side"] == side])
            result |= {(row["file"], row["line"]) for row in rows}
    return result


def test_four_of_five_flipped_labels_are_flagged_among_six_per_cent(public_data, tmp_path) -> None:
    rows = rows_of(public_data / "banking77" / "train.jsonl")
    draw = random.Random(SEED)
    names = sorted({row["label"] for row in rows})
    flipped = set(draw.sample(range(len(rows)), round(FLIPPED * len(rows))))
    for place in flipped:
        rows[place]["label"] = draw.choice([name for name in names if name != rows[place]["label"]])
    recipe = parse({"data": {"train": write(tmp_path / "train.jsonl", rows)}}, AXES)
    with audited(recipe, tmp_path) as found:
        flagged = places(found, "label_errors")
        assert sum(map(len, found.splits.tables().values())) == len(rows)
    hit = {("train.jsonl", place + 1) for place in flipped} & flagged
    recall, share = len(hit) / len(flipped), len(flagged) / len(rows)
    print(f"seed {SEED}: {recall:.1%} of {len(flipped)} flips among {len(flagged)} flagged rows ({share:.2%})")  # noqa: T201
    assert recall >= 0.80
    assert share <= 0.06


def test_planted_duplicates_and_leaks_are_all_found(public_data, tmp_path) -> None:
    train = rows_of(public_data / "banking77" / "train.jsonl")
    test = rows_of(public_data / "banking77" / "test.jsonl")
    draw = random.Random(0)
    chosen = draw.sample(range(len(train)), 200)
    copied, leaked = chosen[:100], chosen[100:]
    count, held = len(train), len(test)
    train += [{**train[place], "text": f"  {train[place]['text'].upper()} "} for place in copied]
    test += [{**train[place], "text": train[place]["text"].replace(" ", "  ")} for place in leaked]
    document = {
        "train": write(tmp_path / "train.jsonl", train),
        "test": write(tmp_path / "test.jsonl", test),
        "validation_share": 0.0,
    }
    with audited(parse({"data": document}, AXES), tmp_path, sample=100) as found:
        assert {("train.jsonl", count + place + 1) for place in range(100)} <= places(found, "duplicates")
        assert {("train.jsonl", place + 1) for place in leaked} <= places(found, "leakage")
        leakage = found.audit.finding("leakage")
        assert leakage is not None and leakage in found.audit.stops()
        assert all(row["detail"].startswith("also in test, test.jsonl:") for row in leakage.rows)
        assert len(found.splits.tables()["test"]) == held + len(leaked)
