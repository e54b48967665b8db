"""Equal texts over all rows: duplicates, leakage between splits, and texts with two labels; by external sort."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from attune.data.external import HashSort, Records, contents, keys
from attune.data.findings.record import SIDES, TRAIN, Collector, Finding
from attune.data.table import GOLD, Table


class _Repeats:
    def __init__(self, folder: Path, tables: dict[str, Table]) -> None:
        self.tables = tables
        self.duplicates = Collector(folder / "duplicates.rows")
        self.leakage = Collector(folder / "leakage.rows")
        self.contradictory = Collector(folder / "contradictory_labels.rows")
        self.held_out = 0

    def take(self, group: Records) -> None:
        sides, rows = group["side"].tolist(), group["row"].tolist()
        places = list(zip(sides, rows, strict=True))
        self._duplicates(group, places)
        if len(set(sides)) > 1:
            self._leakage(places)
        self._contradictory(group["label"].tolist(), places)

    def _contradictory(self, labels: list[int], places: list[tuple[int, int]]) -> None:
        one = labels[0]
        another = next((place for place, label in zip(places, labels, strict=True) if label != one), None)
        if another is None:
            return
        for place, label in zip(places, labels, strict=True):
            other = another if label == one else places[0]
            self.contradictory.add(*place, self._said("another label", other, with_label=True))

    def _duplicates(self, group: Records, places: list[tuple[int, int]]) -> None:
        first: dict[tuple[int, int, int], tuple[int, int]] = {}
        for place, label, gold in zip(places, group["label"].tolist(), group["gold"].tolist(), strict=True):
            known = first.setdefault((place[0], label, gold), place)
            if known != place:
                self.duplicates.add(*place, self._said("the same", known))

    def _leakage(self, places: list[tuple[int, int]]) -> None:
        """Every row whose text is also further from training, and the held-out rows they spoil."""
        furthest = max(places)
        for side, row in places:
            if side < furthest[0]:
                self.leakage.add(side, row, self._said("also", furthest))
            else:
                self.held_out += 1

    def _said(self, what: str, place: tuple[int, int], *, with_label: bool = False) -> str:
        """Where the other row is; read only for what is shown, so the text is made late."""
        return f"{what}|{place[0]}|{place[1]}|{int(with_label)}"


def _resolved(rows: list[dict[str, Any]], tables: dict[str, Table]) -> list[dict[str, Any]]:
    for row in rows:
        what, side, number, with_label = row["detail"].split("|")
        other = tables[SIDES[int(side)]].rows(int(number), int(number) + 1)[0]
        label = other.get("label", other.get("labels"))
        shown = f" ({label if isinstance(label, str) else ', '.join(label or ())})" if with_label == "1" else ""
        row["detail"] = f"{what}{shown} in {SIDES[int(side)]}, {other['file']}:{other['line']}"
    return rows


def check(tables: dict[str, Table], folder: Path, *, max_contradictory: float) -> list[Finding]:
    """Looks for equal texts, or equal pairs of texts; case, spaces and full-width forms make no difference.

    What is read of a row besides its texts must be equal too: one sentence may be asked about twice. A row is a
    duplicate only where what is right for it is the same, be that labels or more than labels.

    Args:
        tables: The splits.
        folder: For references and temporary files.
        max_contradictory: Share of training rows with a contradictory label above which the finding stops a run.

    Returns:
        Findings `leakage`, `contradictory_labels` and `duplicates`, those that there are.
    """
    order = HashSort(folder / "texts.sort", [("side", "u1"), ("row", "<i8"), ("label", "<u8"), ("gold", "<u8")])
    try:
        for side, table in ((SIDES.index(name), table) for name, table in tables.items()):
            _hash(table, side, order)
        repeats = _Repeats(folder, tables)
        for group in order.repeated():
            if group["high"][0] or group["low"][0]:
                repeats.take(group)
    finally:
        order.path.unlink(missing_ok=True)
    return _findings(repeats, max_contradictory)


def told_equal(columns: Mapping[str, Sequence[Any]], also: Sequence[str]) -> list[str]:
    """What rows are told equal by: texts in their normal form, and what else is read of a row."""
    texts = contents(columns)
    if not also:
        return texts
    rest = zip(*(columns[name] for name in also), strict=True)
    return [f"{text}\x1f{json.dumps(cells)}" if text else "" for text, cells in zip(texts, rest, strict=True)]


EMPTY = keys([""])[0]


def _hash(table: Table, side: int, order: HashSort) -> None:
    """Texts by hash; rows without text are set aside with key zero, for they equal each other in nothing."""
    start = 0
    for columns in table.batches():
        count = len(columns["id"])
        labels = columns.get("labels") or columns.get("label") or [""] * count
        joined = ["\x1f".join(sorted(label)) if isinstance(label, list) else label for label in labels]
        hashes = keys(told_equal(columns, table.also))
        hashes[(hashes == EMPTY).all(axis=1)] = 0
        gold = keys([json.dumps(cell) for cell in columns.get(GOLD, [None] * count)])[:, 0]
        rows = np.arange(start, start + count)
        order.add(hashes, side=side, row=rows, label=keys(joined)[:, 0], gold=gold)
        start += count


def _findings(repeats: _Repeats, max_contradictory: float) -> list[Finding]:
    tables = repeats.tables
    rows = sum(map(len, tables.values()))
    held = sum(len(table) for name, table in tables.items() if name != "train")
    found: list[Finding] = []
    if repeats.leakage.count:
        leaked, spoiled = repeats.leakage.count, repeats.held_out
        found.append(
            Finding(
                kind="leakage",
                severity="stop",
                count=leaked,
                share=leaked / rows,
                summary=f"{leaked:,} rows have the text of a row in a split further from training; "
                f"{spoiled:,} of {held:,} held-out rows ({spoiled / max(held, 1):.1%}) are known to it.",
                cost="The model is tested on what it has learned by heart; every figure is too high.",
                remedy="`attune audit --fix` removes them from the split nearer to training; "
                'or accept with data.acknowledge = ["leakage"].',
                rows=_resolved(repeats.leakage.close(tables), tables),
                references=repeats.leakage.path,
            )
        )
    if repeats.contradictory.count:
        found.append(_contradictory(repeats, max_contradictory))
    if repeats.duplicates.count:
        count = repeats.duplicates.count
        found.append(
            Finding(
                kind="duplicates",
                severity="warn",
                count=count,
                share=count / rows,
                summary=f"{count:,} rows repeat an earlier row of their split, text and label.",
                cost="Repeated rows weigh more than they should, in training and in every figure.",
                remedy="`attune audit --fix` keeps the first of each.",
                rows=_resolved(repeats.duplicates.close(tables), tables),
                references=repeats.duplicates.path,
            )
        )
    return found


def _contradictory(repeats: _Repeats, limit: float) -> Finding:
    count, in_train = repeats.contradictory.count, repeats.contradictory.by_side[TRAIN]
    share = in_train / max(len(repeats.tables["train"]), 1)
    stops = share > limit
    return Finding(
        kind="contradictory_labels",
        severity="stop" if stops else "warn",
        count=count,
        share=share,
        summary=f"{count:,} rows have a text that also occurs with another label; {share:.2%} of the training rows "
        f"(limit {limit:.2%}).",
        cost="No model can answer both right; the best figure that can be reached is lower, and which answer is "
        "learned is chance.",
        remedy="Decide which label is right, or make the task multi-label"
        + ('; or accept with data.acknowledge = ["contradictory_labels"].' if stops else "."),
        rows=_resolved(repeats.contradictory.close(repeats.tables), repeats.tables),
        references=repeats.contradictory.path,
    )
