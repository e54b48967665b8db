"""Which row goes to which split: ranked by hash within a class, or by group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attune.data.external import HashSort, Records, contents, groups, keys
from attune.data.table import Table
from attune.errors import DataError

TRAIN, VALIDATION, TEST, LEFT_OUT, UNSET = 0, 1, 2, 3, 255
NAMES = ("train", "validation", "test", "left_out")
CHUNK = 1 << 16


@dataclass(frozen=True)
class Shares:
    """Shares to cut: `test` of all rows, then `validation` of the rest. 0 where nothing is cut."""

    test: float
    validation: float

    def quotas(self, count: int) -> tuple[int, int]:
        """How many of `count` rows go to test and to validation; at least one each where one row stays for train.

        Args:
            count: Rows, of a class or in all.

        Returns:
            Rows for test and for validation.
        """
        test = min(max(round(count * self.test), 1), max(count - 1, 0)) if self.test else 0
        rest = count - test
        validation = min(max(round(rest * self.validation), 1), max(rest - 1, 0)) if self.validation else 0
        return test, validation


def class_counts(table: Table) -> dict[str, int]:
    """How often each label occurs.

    Args:
        table: Rows with labels.

    Returns:
        Counts by label, in order of first occurrence; rows with several labels count for each. None without labels.
    """
    if not table.labelled:
        return {}
    counts: dict[str, int] = {}
    name = "labels" if table.multi_label else "label"
    for batch in table.arrow():
        column = batch.column(name)
        flat = column.flatten() if table.multi_label else column
        for entry in flat.value_counts().to_pylist():
            counts[entry["values"]] = counts.get(entry["values"], 0) + entry["counts"]
    return counts


def representative(labels: str | Sequence[str], counts: dict[str, int]) -> str:
    """The label a row is stratified by: its rarest.

    Args:
        labels: The row's label or labels.
        counts: How often each occurs.

    Returns:
        A label; empty where the row has none.
    """
    return labels if isinstance(labels, str) else min(labels, key=lambda label: (counts[label], label), default="")


def stratified(table: Table, assigned: NDArray[np.uint8], shares: Shares, seed: int, scratch: Path) -> None:
    """Cuts within classes: rows are ranked by a seeded hash of their text, the lowest go to test, then validation.

    Rows with equal texts stay together; a row added later moves no other but at the margin. Rows without labels are
    one class.

    Args:
        table: `N` rows.
        assigned: `(N,)` split of each row, `UNSET` where it is to be chosen; filled in place.
        shares: What to cut.
        seed: Of the hash.
        scratch: Folder for temporary files.
    """
    counts = class_counts(table)
    codes: dict[str, int] = {}
    order = HashSort(scratch / "ranks", [("row", "<i8"), ("code", "<i4")])
    sizes: dict[int, int] = {}
    start = 0
    for columns in table.batches():
        labels = columns.get("labels") or columns.get("label") or [""] * len(columns["text"])
        code = [codes.setdefault(representative(label, counts), len(codes)) for label in labels]
        for one in code:
            sizes[one] = sizes.get(one, 0) + 1
        rows = np.arange(start, start + len(code))
        order.add(keys(contents(columns), seed), row=rows, code=code)
        start += len(code)
    quotas = {code: shares.quotas(size) for code, size in sizes.items()}
    taken = {code: [0, 0] for code in sizes}
    _count_known(order, assigned, taken)
    for records in order.ranges():
        _fill(records, assigned, quotas, taken)


def _count_known(order: HashSort, assigned: NDArray[np.uint8], taken: dict[int, list[int]]) -> None:
    for records in order.ranges():
        sides = assigned[records["row"]]
        for side, place in ((TEST, 0), (VALIDATION, 1)):
            codes, counts = np.unique(records["code"][sides == side], return_counts=True)
            for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
                taken[code][place] += count


def _fill(
    records: Records, assigned: NDArray[np.uint8], quotas: dict[int, tuple[int, int]], taken: dict[int, list[int]]
) -> None:
    starts, sizes = groups(records)
    rows, codes = records["row"], records["code"].tolist()
    known = assigned[rows]
    chosen = known.copy()
    for start, size in zip(starts.tolist(), sizes.tolist(), strict=True):
        side = _known_side(known[start : start + size])
        if side == UNSET:
            side = _room(codes[start : start + size], quotas, taken)
        for place in range(start, start + size):
            if chosen[place] == UNSET:
                chosen[place] = side
                if side in (TEST, VALIDATION):
                    taken[codes[place]][0 if side == TEST else 1] += 1
    assigned[rows] = chosen


def _known_side(sides: NDArray[np.uint8]) -> int:
    """Where rows with this text already are; of several places the one furthest from training."""
    known = sides[sides <= TEST]
    return int(known.max()) if len(known) else UNSET


def _room(codes: list[int], quotas: dict[int, tuple[int, int]], taken: dict[int, list[int]]) -> int:
    for place, side in ((0, TEST), (1, VALIDATION)):
        if all(taken[code][place] + codes.count(code) <= quotas[code][place] for code in set(codes)):
            return side
    return TRAIN


def grouped(table: Table, assigned: NDArray[np.uint8], shares: Shares, seed: int, scratch: Path) -> None:
    """Cuts whole groups, ranked by a seeded hash of the group, until the shares are reached.

    Args:
        table: `N` rows with a group column.
        assigned: `(N,)` split of each row, `UNSET` where it is to be chosen; filled in place.
        shares: What to cut.
        seed: Of the hash.
        scratch: Folder for temporary files.

    Raises:
        DataError: If there are fewer groups than splits.
    """
    order = HashSort(scratch / "ranks", [("row", "<i8")])
    start = 0
    for columns in table.batches():
        count = len(columns["group"])
        order.add(keys(columns["group"], seed), row=np.arange(start, start + count))
        start += count
    quotas = shares.quotas(len(table))
    taken = [count_of(assigned, TEST), count_of(assigned, VALIDATION)]
    smallest: list[tuple[int, int, int]] = []
    trained = 0
    for records in order.ranges():
        for group in _each(records):
            rows, known = group["row"], _known_side(assigned[group["row"]])
            side = _group_side(len(rows), quotas, taken) if known == UNSET else known
            if known == UNSET and side != TRAIN:
                taken[0 if side == TEST else 1] += len(rows)
            elif side == TRAIN:
                trained += 1
                if known == UNSET:
                    smallest = sorted([*smallest, (len(rows), int(group["high"][0]), int(group["low"][0]))])[:2]
            _settle(assigned, rows, side)
    missing = [side for side, quota, have in zip((TEST, VALIDATION), quotas, taken, strict=True) if quota and not have]
    if trained <= len(missing) or len(smallest) < len(missing):
        raise DataError(
            f"{trained + sum(1 for have in taken if have)} groups cannot be cut into the splits asked for",
            where="data.group",
            expected="at least one group for each split",
            remedy="choose another group column, give split files, or set a share to 0",
        )
    _give(order, assigned, {key[1:]: side for key, side in zip(smallest, missing, strict=False)})


def _each(records: Records) -> Iterator[Records]:
    starts, sizes = groups(records)
    for start, size in zip(starts.tolist(), sizes.tolist(), strict=True):
        yield records[start : start + size]


def _settle(assigned: NDArray[np.uint8], rows: NDArray[np.int64], side: int) -> None:
    """Gives rows their side, but those that had one before keep it."""
    before = assigned[rows]
    assigned[rows] = np.where(before == UNSET, np.uint8(side), before)


def _give(order: HashSort, assigned: NDArray[np.uint8], sides: dict[tuple[int, int], int]) -> None:
    """Where every group was too large for a share, its smallest ones fill it all the same."""
    for records in order.ranges() if sides else ():
        for group in _each(records):
            side = sides.get((int(group["high"][0]), int(group["low"][0])))
            if side is not None:
                assigned[group["row"]] = side


def _group_side(size: int, quotas: tuple[int, int], taken: list[int]) -> int:
    for place, side in ((0, TEST), (1, VALIDATION)):
        room = quotas[place] - taken[place]
        if room > 0 and (size <= room * 1.2 + 1):
            return side
    return TRAIN


def parts(length: int) -> list[slice]:
    """Pieces of an array in a file, so that work on it holds one piece at a time.

    Args:
        length: Of the array.

    Returns:
        Slices that cover it.
    """
    return [slice(start, min(start + CHUNK, length)) for start in range(0, length, CHUNK)]


def count_of(assigned: NDArray[np.uint8], side: int) -> int:
    """How many rows have a side.

    Args:
        assigned: `(N,)` split of each row.
        side: Number of a split.

    Returns:
        The count.
    """
    return sum(int(np.count_nonzero(assigned[part] == side)) for part in parts(len(assigned)))


def leave_out(table: Table, assigned: NDArray[np.uint8], scratch: Path) -> int:
    """Leaves out of training (then validation) what equals a row further from it, where the cut could not prevent it.

    Args:
        table: `N` rows.
        assigned: `(N,)` split of each row; changed in place to `LEFT_OUT`.
        scratch: Folder for temporary files.

    Returns:
        How many rows were left out.
    """
    order = HashSort(scratch / "texts", [("row", "<i8")])
    start = 0
    for columns in table.batches():
        count = len(columns["text"])
        order.add(keys(contents(columns)), row=np.arange(start, start + count))
        start += count
    left = 0
    for group in order.repeated():
        sides = assigned[group["row"]]
        less = sides < max(sides[sides <= TEST], default=TRAIN)
        if less.any():
            assigned[group["row"][less]] = LEFT_OUT
            left += int(less.sum())
    return left
