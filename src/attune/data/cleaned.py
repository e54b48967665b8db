"""`--fix`: cleaned copies of the splits, and a list of what was changed. Sources are never touched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from attune.core.files import workplace
from attune.data.audit import Audit
from attune.data.external import scratch_array
from attune.data.findings.record import SIDES, Finding
from attune.data.splits import Splits
from attune.data.table import GOLD, Table

REMOVED = {"empty": "it has no text", "leakage": "its text is also further from training", "duplicates": "a repetition"}
REVIEWED = (
    "contradictory_labels",
    "label_errors",
    "similar_labels",
    "near_leakage",
    "near_duplicates",
    "unseen_classes",
)
KEPT, DROPPED = 0, {kind: number for number, kind in enumerate(REMOVED, 1)}
HELD = 1000


def fix(audit: Audit, splits: Splits, into: Path) -> list[dict[str, Any]]:
    """Writes a cleaned copy of each split as JSON lines, `changes.jsonl` and `review.jsonl`.

    Removed are rows without text, repetitions, and rows that leak from a split further from training. Spellings of
    one label name are merged into the most frequent. Contradictory and likely wrong labels, near duplicates and
    similar label names are listed for review and left as they are.

    Args:
        audit: What was found.
        splits: What was audited.
        into: Folder for the files; a source in it is not touched, and a file of such a name is replaced.

    Returns:
        One record a changed row: `action`, `reason`, `split`, `file`, `line`, `id`, `label`, `was`; at most the first
        1,000 of them (`changes.jsonl` has all), then one record `summary` with the counts.

    Raises:
        MachineError: If the disk is full; nothing partial is left then.
    """
    typos = audit.finding("label_typos")
    names = typos.changes if typos else {}
    with workplace(into) as scratch:
        changes: list[dict[str, Any]] = []
        counts: dict[str, int] = {}
        with (scratch / "changes.jsonl").open("w", encoding="utf-8") as log:
            for name, table in splits.tables().items():
                fates = _fates(audit, name, table, scratch)
                with (scratch / f"{name}.jsonl").open("w", encoding="utf-8") as out:
                    for change in _clean(name, table, fates, names, out):
                        _write(log, change)
                        counts[change["reason"]] = counts.get(change["reason"], 0) + 1
                        if len(changes) < HELD:
                            changes.append(change)
        _review(audit, splits, scratch / "review.jsonl")
        for path in sorted(scratch.glob("*.jsonl")):
            path.replace(into / path.name)
    return [*changes, {"action": "summary", "counts": counts}]


def _fates(audit: Audit, name: str, table: Table, scratch: Path) -> Any:
    """`(N,)` what becomes of each row of a split, in a file."""
    fates = scratch_array(scratch / f"{name}.fates", len(table), "u1")
    for kind, number in DROPPED.items():
        finding = audit.finding(kind)
        if finding:
            where = finding.where()
            rows = where["row"][where["side"] == SIDES.index(name)]
            fates[rows[fates[rows] == KEPT]] = number
    return fates


def _clean(name: str, table: Table, fates: Any, names: dict[str, str], out: TextIO) -> Iterator[dict[str, Any]]:
    reasons = list(REMOVED)
    start = 0
    for columns in table.batches():
        count = len(columns["id"])
        for index, fate in enumerate(np.asarray(fates[start : start + count]).tolist()):
            row = {column: cells[index] for column, cells in columns.items()}
            if fate:
                yield _change(name, row, "removed", reasons[fate - 1])
                continue
            was, now = _renamed(row, names) if table.labelled and table.named else (None, None)
            if now != was:
                row["labels" if table.multi_label else "label"] = now
                yield _change(name, row, "relabelled", "label_typos") | {"was": was}
            _write(out, _told(row))
        start += count


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """A row as a source would have it: what is right is its label."""
    if GOLD in row:
        row = {**row, "label": row[GOLD]}
        del row[GOLD], row["labels"]
    return {column: value for column, value in row.items() if column not in {"file", "line"}}


def _renamed(row: dict[str, Any], names: dict[str, str]) -> tuple[Any, Any]:
    was: Any = row.get("label", row.get("labels"))
    if isinstance(was, str):
        return was, names.get(was, was)
    return was, list(dict.fromkeys(names.get(label, label) for label in was))


def _change(name: str, row: dict[str, Any], action: str, reason: str) -> dict[str, Any]:
    label = row.get("label", row.get("labels"))
    place = {"split": name, "file": row["file"], "line": row["line"], "id": row["id"]}
    return {"action": action, "reason": reason, **place, "label": label, "was": label}


def _write(stream: TextIO, record: dict[str, Any]) -> None:
    stream.write(json.dumps(record, ensure_ascii=False) + "\n")


def _review(audit: Audit, splits: Splits, path: Path) -> None:
    """Every row that a person should look at, with the finding it belongs to."""
    tables = splits.tables()
    with path.open("w", encoding="utf-8") as stream:
        for finding in [one for kind in REVIEWED if (one := audit.finding(kind))]:
            details = {(row["split"], row["id"]): row["detail"] for row in finding.rows}
            for side, number in _places(finding):
                row = tables[side].rows(number, number + 1)[0]
                record = {"finding": finding.kind, "split": side, **row, "detail": details.get((side, row["id"]), "")}
                _write(stream, record)


def _places(finding: Finding) -> Iterator[tuple[str, int]]:
    for place in finding.where():
        yield SIDES[place["side"]], int(place["row"])
