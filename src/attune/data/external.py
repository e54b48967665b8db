"""Sorting by hash on disk, so that memory does not grow with the rows."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from attune.core.texts import FIRST, SECOND, joined

Records = NDArray[Any]
"""A structured array: `high` and `low` (the 128-bit key), then the payload."""

RUN = 1 << 15
BUCKETS = 256


def normalised(text: str) -> str:
    """A text without what does not make it another: case, kinds and number of spaces, full-width forms.

    Args:
        text: Any text.

    Returns:
        The form under which texts count as equal.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def contents(columns: Mapping[str, Sequence[str]]) -> list[str]:
    """What rows are told equal by: their text in its normal form, or both texts of a pair in theirs, in their order.

    Args:
        columns: `text`, and `text_pair` where a row is two.

    Returns:
        One string a row, empty where no text is there.
    """
    first = [normalised(text) for text in columns[FIRST]]
    if SECOND not in columns:
        return first
    return [
        joined([text, normalised(other)]) if text or other.strip() else ""
        for text, other in zip(first, columns[SECOND], strict=True)
    ]


def keys(texts: Sequence[str], seed: int = 0) -> NDArray[np.uint64]:
    """128-bit hashes (XXH3).

    Args:
        texts: `N` texts.
        seed: Another seed gives other hashes.

    Returns:
        `(N, 2)` uint64.
    """
    joined = b"".join(xxhash.xxh3_128_digest(text.encode(), seed) for text in texts)
    return np.frombuffer(joined, dtype=">u8").astype(np.uint64).reshape(-1, 2)


class HashSort:
    """Sorts records by a 128-bit hash through one file of sorted runs.

    Records are kept in runs of 32,768, each ordered by the first byte of the key. Reading takes one of 256 key
    ranges at a time from all runs, so it holds about 1/256 of the records (more only where many share a key).
    Records with equal keys come in the order in which they were added.
    """

    def __init__(self, path: Path, payload: Sequence[tuple[str, str]]) -> None:
        """An empty sort.

        Args:
            path: Scratch file; the caller removes it.
            payload: Names and numpy types of what each record carries.
        """
        self.path = path
        self.dtype = np.dtype([("high", "<u8"), ("low", "<u8"), *payload])
        self._held: list[Records] = []
        self._count = 0
        self._offsets: list[NDArray[np.int64]] = []
        self._written = 0
        path.write_bytes(b"")

    def add(self, hashes: NDArray[np.uint64], **payload: Any) -> None:
        """Adds records.

        Args:
            hashes: `(N, 2)` keys.
            **payload: `(N,)` values or one value, by name.
        """
        records = np.empty(len(hashes), self.dtype)
        records["high"], records["low"] = hashes[:, 0], hashes[:, 1]
        for name, value in payload.items():
            records[name] = value
        self._held.append(records)
        self._count += len(records)
        if self._count >= RUN:
            self._flush()

    def _flush(self) -> None:
        run = np.concatenate(self._held)
        buckets = run["high"] >> np.uint64(56)
        order = np.argsort(buckets, kind="stable")
        ends = np.searchsorted(buckets[order], np.arange(BUCKETS + 1, dtype=np.uint64))
        self._offsets.append(ends.astype(np.int64) + self._written)
        self._written += len(run)
        with self.path.open("ab") as stream:
            stream.write(run[order].tobytes())
        self._held, self._count = [], 0

    def ranges(self) -> Iterator[Records]:
        """All records in key order, a range of keys at a time; equal keys are never in two ranges.

        Yields:
            Sorted structured arrays, none of them empty.
        """
        if self._held:
            self._flush()
        size = self.dtype.itemsize
        with self.path.open("rb") as stream:
            for bucket in range(BUCKETS):
                parts: list[bytes] = []
                for offsets in self._offsets:
                    start, stop = int(offsets[bucket]), int(offsets[bucket + 1])
                    if stop > start:
                        stream.seek(start * size)
                        parts.append(stream.read((stop - start) * size))
                if parts:
                    records = np.frombuffer(b"".join(parts), self.dtype)
                    yield records[np.lexsort((records["low"], records["high"]))]

    def repeated(self) -> Iterator[Records]:
        """Groups of records with equal keys, of two or more.

        Yields:
            Structured arrays in the order of adding.
        """
        for records in self.ranges():
            starts, sizes = groups(records)
            for index in np.flatnonzero(sizes > 1):
                start = int(starts[index])
                yield records[start : start + int(sizes[index])]


def groups(records: Records) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where groups of equal keys start in a sorted array, and how long they are.

    Args:
        records: `(N,)` sorted records, N at least 1.

    Returns:
        `(G,)` starts and `(G,)` sizes.
    """
    differs = (records["high"][1:] != records["high"][:-1]) | (records["low"][1:] != records["low"][:-1])
    starts = np.concatenate(([0], np.flatnonzero(differs) + 1)).astype(np.int64)
    return starts, np.diff(np.append(starts, len(records))).astype(np.int64)


def scratch_array(path: Path, length: int, dtype: str) -> NDArray[Any]:
    """A zeroed array in a file, for one value a row without the memory for it.

    Args:
        path: Scratch file; the caller removes it.
        length: Number of values.
        dtype: numpy type.

    Returns:
        `(length,)` memory-mapped array.
    """
    return np.memmap(path, dtype=dtype, mode="w+", shape=(max(length, 1),))[:length]
