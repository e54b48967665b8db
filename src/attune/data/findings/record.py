"""A finding: what is wrong, where, what it costs, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from attune.core.texts import displayed, text_of
from attune.data.splits import Splits
from attune.data.table import Table

Severity = Literal["stop", "warn", "note"]
TRAIN, VALIDATION, TEST = 0, 1, 2
SIDES = ("train", "validation", "test")
EXAMPLES = 20
EXCERPT = 160
REFERENCE = np.dtype([("side", "u1"), ("row", "<i8")])


@dataclass(frozen=True)
class Finding:
    """One kind of flaw in the data.

    Attributes:
        kind: Its name, such as `leakage`.
        severity: `stop` where the evaluation would be worthless, `warn` where the result suffers, `note` to know.
        count: Rows (or labels) concerned.
        share: Their share of what was looked at.
        summary: What it is, in a sentence.
        cost: What it does to the result.
        remedy: How to mend it.
        rows: Up to 20 examples: `file`, `line`, `id`, `split`, `text` (an excerpt), `detail`.
        references: Every row concerned, as a file of `(side, row)` records; None where it is not about rows.
        changes: What `--fix` would rename, old label to new.
    """

    kind: str
    severity: Severity
    count: int
    share: float
    summary: str
    cost: str
    remedy: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    references: Path | None = None
    changes: dict[str, str] = field(default_factory=dict)

    def where(self) -> NDArray[Any]:
        """Every row concerned.

        Returns:
            `(N,)` records of `side` (0 train, 1 validation, 2 test) and `row` (number in that split's table), sorted.
        """
        if self.references is None or not self.references.stat().st_size:
            return np.empty(0, REFERENCE)
        return np.sort(np.fromfile(self.references, REFERENCE), order=("side", "row"))

    def ids(self, splits: Splits) -> Iterator[tuple[str, str]]:
        """Split and id of every row concerned.

        Args:
            splits: What was audited.

        Yields:
            Pairs of split name and row id.
        """
        tables = splits.tables()
        for row in self.where():
            side = SIDES[row["side"]]
            yield side, tables[side].ids(int(row["row"]), int(row["row"]) + 1)[0]

    def as_dict(self) -> dict[str, Any]:
        """The finding as plain JSON values.

        Returns:
            Everything but the references.
        """
        named = ("kind", "severity", "count", "summary", "cost", "remedy", "rows", "changes")
        return {name: getattr(self, name) for name in named} | {"share": round(self.share, 6)}


class Collector:
    """Rows of one finding: all of them to a file, the first few with a detail."""

    def __init__(self, path: Path) -> None:
        """Starts an empty list.

        Args:
            path: File for the references.
        """
        self.path = path
        self.count = 0
        self.by_side = [0, 0, 0]
        self._details: dict[tuple[int, int], str] = {}
        self._held: list[tuple[int, int]] = []
        path.write_bytes(b"")

    def add(self, side: int, row: int, detail: str = "") -> None:
        """Adds a row.

        Args:
            side: Number of its split.
            row: Its number in that split.
            detail: What to say of it.
        """
        self.count += 1
        self.by_side[side] += 1
        self._held.append((side, row))
        if len(self._held) >= 1 << 14:
            self._flush()
        self._details[side, row] = detail
        if len(self._details) > 4 * EXAMPLES:
            self._details = {key: self._details[key] for key in self._first()}

    def _first(self) -> list[tuple[int, int]]:
        return sorted(self._details, key=lambda key: (-key[0], key[1]))[:EXAMPLES]

    def _flush(self) -> None:
        with self.path.open("ab") as stream:
            stream.write(np.array(self._held, REFERENCE).tobytes())
        self._held = []

    def close(self, tables: dict[str, Table], keep_order: bool = False) -> list[dict[str, Any]]:
        """Writes what is left and looks up the examples.

        Args:
            tables: The splits.
            keep_order: Show rows in the order of adding, not held-out rows first and then by line.

        Returns:
            Examples.
        """
        self._flush()
        keys = list(self._details)[:EXAMPLES] if keep_order else self._first()
        return [example(tables, side, row, self._details[side, row]) for side, row in keys]


def example(tables: dict[str, Table], side: int, row: int, detail: str = "") -> dict[str, Any]:
    """One row as an audit shows it.

    Args:
        tables: The splits.
        side: Number of its split.
        row: Its number there.
        detail: What to say of it.

    Returns:
        `file`, `line`, `id`, `split`, `label`, `text` (an excerpt) and `detail`.
    """
    found = tables[SIDES[side]].rows(row, row + 1)[0]
    label = found.get("label", found.get("labels"))
    shown = label if isinstance(label, str) else ", ".join(label or ())
    return {
        "file": found["file"],
        "line": found["line"],
        "id": found["id"],
        "split": SIDES[side],
        "label": shown,
        "text": displayed(text_of(found), EXCERPT),
        "detail": detail,
    }
