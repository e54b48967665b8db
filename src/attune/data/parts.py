"""Rows drawn by label and dealt to the parts of a cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attune.core.texts import text_of
from attune.data.cutting import class_counts, representative
from attune.data.table import Table


@dataclass(frozen=True)
class Parted:
    """Rows in the parts of a cross-validation.

    Attributes:
        rows: N rows.
        golds: Their labels.
        part: `(N,)` the part of the cross-validation each is in.
        stated: How many of how many, in words.
        folds: How many parts.
    """

    rows: list[dict[str, Any]]
    golds: list[Any]
    part: NDArray[np.int64]
    stated: str
    folds: int


def draw_parts(table: Table, size: int, seed: int, folds: int = 5) -> Parted:
    """Rows stratified by label, dealt to the parts of a cross-validation label by label.

    Rows of one group, or with one text, are in one part, so that no row is answered from its own twin.

    Args:
        table: Labelled rows.
        size: How many at most.
        seed: Of the draw.
        folds: How many parts.

    Returns:
        The sample, in the table's order.
    """
    counts, total = class_counts(table), len(table)
    keys = np.asarray([representative(labels, counts) for labels in table.labels()])
    shuffled = np.random.default_rng(seed).permutation(total)
    by_label = shuffled[np.argsort(keys[shuffled], kind="stable")]
    taken = min(size, total)
    chosen = by_label[np.arange(taken) * total // taken]
    deal = dict(zip(chosen.tolist(), range(len(chosen)), strict=True))
    chosen = np.sort(chosen)
    rows = table.select(chosen)
    part = dealt(units(rows, folds), [deal[row] for row in chosen.tolist()], folds)
    stated = f"all {total:,} rows" if len(rows) == total else f"{len(rows):,} of {total:,} rows, stratified by label"
    golds = [row["labels" if table.multi_label else "label"] for row in rows]
    return Parted(rows, golds, part, stated, folds)


def units(rows: Sequence[dict[str, Any]], folds: int) -> list[Any]:
    """What must not be in two parts: a row's group, its text, or where there are too few of either the row itself."""
    for found in ([row.get("group") for row in rows], [text_of(row) for row in rows]):
        if len(set(found)) >= folds:
            return found
    return list(range(len(rows)))


def dealt(of: Sequence[Any], deal: Sequence[int], folds: int) -> NDArray[np.int64]:
    """`(N,)` the part of each row: units are dealt out in turn, in the order in which their first row is dealt."""
    first: dict[Any, int] = {}
    for place in np.argsort(np.asarray(deal), kind="stable").tolist():
        first.setdefault(of[place], len(first) % folds)
    return np.asarray([first[unit] for unit in of], dtype=np.int64)
