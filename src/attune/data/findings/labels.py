"""Label names: counts, typos, and classes too rare to learn or to test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rapidfuzz.distance import DamerauLevenshtein
from rapidfuzz.process import cdist

from attune.data.cutting import class_counts
from attune.data.external import normalised
from attune.data.findings.record import SIDES, TRAIN, Collector, Finding
from attune.data.table import Table

LEARN = 8
"""Training rows below which a class is too rare to learn."""
CHECK = 5
"""Test rows below which a class's figure is mostly chance."""
MOST_NAMES = 3000
"""Label names up to which every pair is compared."""
RARE = 0.1
"""A name counts as a typo of a similar one that is at least ten times as frequent."""


def counts(tables: dict[str, Table]) -> dict[str, dict[str, int]]:
    """Rows of each class in each split.

    Args:
        tables: The splits.

    Returns:
        Counts by split, by label; labels by total count, the most frequent first.
    """
    by_split = {name: class_counts(table) for name, table in tables.items()}
    total: dict[str, int] = {}
    for one in by_split.values():
        for label, count in one.items():
            total[label] = total.get(label, 0) + count
    ordered = sorted(total, key=lambda label: (-total[label], label))
    return {label: {name: by_split[name].get(label, 0) for name in tables} for label in ordered}


def check(tables: dict[str, Table], by_class: dict[str, dict[str, int]], folder: Path) -> list[Finding]:
    """Looks at the label names and their counts.

    Args:
        tables: The splits.
        by_class: From `counts`.
        folder: For references.

    Returns:
        Findings `label_typos`, `similar_labels`, `rare_classes`, `thin_test_classes`, `unseen_classes`, those that
        there are.
    """
    total = {label: sum(row.values()) for label, row in by_class.items()}
    same, similar = same_names(total), similar_names(total)
    found = [_typos(tables, same, folder)] if same else []
    found += [_similar(tables, {a: b for a, b in similar.items() if a not in same}, folder)]
    found += [_rare(by_class, total), _thin(by_class), _unseen(tables, by_class, folder)]
    return [finding for finding in found if finding is not None]


def plain_name(label: str) -> str:
    """A label name without case, outer and repeated spaces, and the choice between space, `_` and `-`.

    Args:
        label: A label.

    Returns:
        The form under which names count as one.
    """
    return " ".join(re.sub(r"[\s_\-]+", " ", normalised(label)).split()) or label


def same_names(total: dict[str, int]) -> dict[str, str]:
    """Names that differ only in case, spaces or separators.

    Args:
        total: Rows by label.

    Returns:
        Each of the rarer spellings, to the most frequent one.
    """
    best: dict[str, str] = {}
    for label, count in total.items():
        known = best.setdefault(plain_name(label), label)
        if (count, known) > (total[known], label):
            best[plain_name(label)] = label
    return {label: best[plain_name(label)] for label in total if best[plain_name(label)] != label}


def similar_names(total: dict[str, int]) -> dict[str, str]:
    """Rare names one or two edits away from a frequent one; digits that differ are no typo.

    Args:
        total: Rows by label.

    Returns:
        The rare name, to the frequent one.
    """
    names = list(total)[:MOST_NAMES]
    if len(names) < 2:
        return {}
    plain = [plain_name(name) for name in names]
    distances = cdist(plain, plain, scorer=DamerauLevenshtein.distance, score_cutoff=2, dtype="uint8")
    found: dict[str, str] = {}
    for row, label in enumerate(names):
        allowed = 1 if len(label) < 8 else 2
        close = [
            other
            for column, other in enumerate(names)
            if plain[column] != plain[row]
            and distances[row, column] <= allowed
            and min(len(label), len(other)) >= 4
            and total[label] <= RARE * total[other]
            and re.sub(r"\D", "", label) == re.sub(r"\D", "", other)
        ]
        if close:
            found[label] = max(close, key=lambda other: total[other])
    return found


def _with_labels(tables: dict[str, Table], wanted: set[str]) -> Iterator[tuple[int, int, str]]:
    """Side, row and label of every row that has one of these labels."""
    for name, table in tables.items():
        row = 0
        for columns in table.batches():
            for label in columns["labels" if table.multi_label else "label"]:
                for one in [label] if isinstance(label, str) else label:
                    if one in wanted:
                        yield SIDES.index(name), row, one
                row += 1


def _renamed(tables: dict[str, Table], names: dict[str, str], path: Path, said: str) -> dict[str, Any]:
    rows = Collector(path)
    for side, row, label in _with_labels(tables, set(names)):
        rows.add(side, row, f"{label!r} {said} {names[label]!r}")
    share = rows.count / max(sum(map(len, tables.values())), 1)
    return {"count": rows.count, "share": share, "rows": rows.close(tables), "references": path, "changes": names}


def _listed(names: dict[str, str]) -> str:
    shown = [f"{old!r} for {new!r}" for old, new in list(names.items())[:5]]
    return ", ".join(shown) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _typos(tables: dict[str, Table], names: dict[str, str], folder: Path) -> Finding:
    return Finding(
        kind="label_typos",
        severity="warn",
        summary=f"{len(names)} label names differ from another only in case, spaces or separators: {_listed(names)}.",
        cost="Each spelling is a class of its own: its rows are lost to the right class and count as errors.",
        remedy="`attune audit --fix` merges them into the most frequent spelling.",
        **_renamed(tables, names, folder / "label_typos.rows", "is a spelling of"),
    )


def _similar(tables: dict[str, Table], names: dict[str, str], folder: Path) -> Finding | None:
    if not names:
        return None
    found = _renamed(tables, names, folder / "similar_labels.rows", "looks like a typo of")
    found["changes"] = {}
    return Finding(
        kind="similar_labels",
        severity="warn",
        summary=f"{len(names)} rare label names look like typos of a frequent one: {_listed(names)}.",
        cost="A mistyped label is a class of its own: its rows are lost to the right class and count as errors.",
        remedy="Correct them if they are typos; `--fix` lists them and leaves them as they are.",
        **found,
    )


def _names(labels: list[str]) -> str:
    return ", ".join(map(repr, labels[:8])) + (f" and {len(labels) - 8} more" if len(labels) > 8 else "")


def _rare(by_class: dict[str, dict[str, int]], total: dict[str, int]) -> Finding | None:
    rare = [label for label, row in by_class.items() if 0 < row["train"] < LEARN]
    if not rare:
        return None
    return Finding(
        kind="rare_classes",
        severity="warn",
        count=len(rare),
        share=len(rare) / len(by_class),
        summary=f"{len(rare)} of {len(by_class)} classes have fewer than {LEARN} training rows: {_names(rare)}.",
        cost="They will hardly ever be predicted, or only for texts very much like those rows.",
        remedy="Collect more rows of them, merge them with a neighbour, or leave them out.",
        rows=[_class_row(label, by_class[label], total[label]) for label in rare[:20]],
    )


def _thin(by_class: dict[str, dict[str, int]]) -> Finding | None:
    side = next((name for name in ("test", "validation") if any(name in row for row in by_class.values())), None)
    if side is None:
        return None
    thin = [label for label, row in by_class.items() if row[side] < CHECK and row["train"]]
    if not thin:
        return None
    return Finding(
        kind="thin_test_classes",
        severity="note",
        count=len(thin),
        share=len(thin) / len(by_class),
        summary=f"{len(thin)} of {len(by_class)} classes have fewer than {CHECK} {side} rows: {_names(thin)}.",
        cost="Their own figures are mostly chance; macro averages move with them.",
        remedy="Hold out more rows of them, and read their figures with their intervals.",
        rows=[_class_row(label, by_class[label], sum(by_class[label].values())) for label in thin[:20]],
    )


def _class_row(label: str, row: dict[str, int], total: int) -> dict[str, Any]:
    shown = ", ".join(f"{count} {name}" for name, count in row.items())
    return {
        "file": "",
        "line": 0,
        "id": "",
        "split": "",
        "label": label,
        "text": "",
        "detail": f"{total} rows: {shown}",
    }


def _unseen(tables: dict[str, Table], by_class: dict[str, dict[str, int]], folder: Path) -> Finding | None:
    unseen = [label for label, row in by_class.items() if not row["train"]]
    if not unseen:
        return None
    rows = Collector(folder / "unseen_classes.rows")
    for side, row, label in _with_labels(tables, set(unseen)):
        if side != TRAIN:
            rows.add(side, row, f"{label!r} is not in train")
    held = sum(len(table) for name, table in tables.items() if name != "train")
    return Finding(
        kind="unseen_classes",
        severity="warn",
        count=rows.count,
        share=rows.count / max(held, 1),
        summary=f"{len(unseen)} classes of the held-out rows do not occur in train: {_names(unseen)}.",
        cost="They cannot be learned: every such row counts as an error.",
        remedy="Add training rows of them, or correct their labels.",
        rows=rows.close(tables),
        references=rows.path,
    )
