"""Cutting by time, on disk."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attune.data.cutting import TEST, TRAIN, UNSET, VALIDATION, Shares, count_of, parts
from attune.data.external import scratch_array
from attune.data.table import Table
from attune.errors import DataError, Problem


def by_time(table: Table, assigned: NDArray[np.uint8], shares: Shares, scratch: Path) -> None:
    """Cuts by time: the newest rows are test, those before them validation. Rows of one moment stay together.

    Args:
        table: `N` rows with a time column.
        assigned: `(N,)` split of each row, `UNSET` where it is to be chosen; filled in place.
        shares: What to cut.
        scratch: Folder for temporary files.

    Raises:
        DataError: If times are not numbers or ISO 8601, or all the same.
    """
    times = _times(table, scratch)
    quotas = shares.quotas(len(table))
    for quota, side in zip(quotas, (TEST, VALIDATION), strict=True):
        wanted = quota - count_of(assigned, side)
        if quota and wanted > 0:
            threshold = _threshold(times, assigned, wanted)
            for part in parts(len(table)):
                free = assigned[part] == UNSET
                assigned[part][free & (times[part] >= threshold)] = side
        if quota and not count_of(assigned, side):
            raise DataError(
                "too many rows of one moment to cut by time",
                where="data.time",
                expected="times that differ",
                remedy="name a finer time column, or cut by another rule in data.split",
            )
    for part in parts(len(table)):
        assigned[part][assigned[part] == UNSET] = TRAIN


def _times(table: Table, scratch: Path) -> NDArray[np.uint64]:
    """Times as integers of the same order, in a file."""
    times = scratch_array(scratch / "times", len(table), "<u8")
    problems: list[Problem] = []
    start = 0
    for columns in table.batches():
        parsed = np.zeros(len(columns["time"]))
        for index, value in enumerate(columns["time"]):
            try:
                parsed[index] = seconds(value)
            except ValueError:
                where = f"{columns['file'][index]}:{columns['line'][index]}"
                problems.append(Problem(f"{value!r} is no time", where, "time"))
        bits = parsed.view(np.int64)
        ordered = np.where(bits < 0, ~bits, bits | np.int64(-(1 << 63)))
        times[start : start + len(parsed)] = ordered.view(np.uint64)
        start += len(parsed)
    if problems:
        raise DataError(
            f"{len(problems)} rows without a time that can be read",
            where="data.time",
            expected="ISO 8601 (2026-01-31T12:00:00) or a number",
            remedy="mend these rows",
            problems=problems,
        )
    return times


def seconds(value: str) -> float:
    """A time as a number.

    Args:
        value: A number, or ISO 8601; without a zone it counts as UTC.

    Returns:
        The number, or seconds since 1970.

    Raises:
        ValueError: If it is neither.
    """
    try:
        number = float(value)
    except ValueError:
        moment = datetime.datetime.fromisoformat(value.strip().replace("/", "-"))
        number = (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError(value)
    return number + 0.0


def _threshold(times: NDArray[np.uint64], assigned: NDArray[np.uint8], wanted: int) -> np.uint64:
    """The smallest time from which on at most `wanted` free rows remain, found by halving."""

    def newer(limit: int) -> int:
        pieces = parts(len(times))
        return sum(int(np.count_nonzero((assigned[p] == UNSET) & (times[p] >= np.uint64(limit)))) for p in pieces)

    low, high = 0, (1 << 64) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if newer(middle) <= wanted else (middle + 1, high)
    return np.uint64(low)
