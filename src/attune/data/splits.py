"""Train, validation and test: given, or cut from train and recorded so that a later run cuts the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from attune.core.files import whole_file, workplace
from attune.core.form import Form
from attune.core.recipe import DataOptions
from attune.data import cutting, moments
from attune.data.cutting import LEFT_OUT, NAMES, TEST, TRAIN, UNSET, VALIDATION, Shares
from attune.data.external import HashSort, keys, scratch_array
from attune.data.ingest import ingest
from attune.data.sources import fingerprint, shown
from attune.data.table import Table
from attune.errors import DataError

ASSIGNMENTS = pa.schema([("id", pa.string()), ("split", pa.string()), ("file", pa.string())])
ROLES = ("train", "validation", "test")


@dataclass(frozen=True)
class Splits:
    """The rows of a run.

    Attributes:
        train: Rows to learn from.
        validation: Rows to stop and choose on, if any.
        test: Rows to report on, if any.
        assignments: `splits.parquet`: `id`, `split` and `file` of every row, in the order of reading. A row that
            equals a held-out one and could not go to its side has the split `left_out`.
        digest: SHA-256 over those rows; `digest_of` computes it again.
        notices: One sentence each.
        fingerprints: SHA-256 of every source, by `train`, `validation` and `test`.
    """

    train: Table
    validation: Table | None
    test: Table | None
    assignments: Path
    digest: str
    notices: list[str]
    fingerprints: dict[str, str] = field(default_factory=dict)

    def tables(self) -> dict[str, Table]:
        """The splits that are there.

        Returns:
            Tables by split name, train first.
        """
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: table for name, table in named.items() if table is not None}


def split(
    options: DataOptions,
    root: Path,
    into: Path,
    *,
    form: Form,
    keep_empty: bool = False,
) -> Splits:
    """Reads the sources and cuts what is not given.

    Args:
        options: Sources, columns, shares, rule and seed.
        root: The data root.
        into: Folder for the tables (`train.arrow`, …) and `splits.parquet`.
        form: What a row must have.
        keep_empty: Keep rows without text, for an audit to report.

    Returns:
        The splits.

    Raises:
        DataError: If a source is bad or is not the one the recipe was resolved with, if there is one class only, a
            class with one row (unless `rare_classes` is acknowledged), or no way to cut as asked. Nothing is left
            behind then.
    """
    marks = _fingerprints(options, root)
    with workplace(into) as scratch:
        tables: dict[str, Table] = {}
        notices: list[str] = []
        for role, location in _sources(options).items():
            path = scratch / f"{role}.read.arrow"
            done = ingest(location, root, options, form=form, into=path, keep_empty=keep_empty)
            tables[role] = done.table
            notices += done.notices
        notices += _check_classes(tables, options) if tables["train"].labelled and tables["train"].named else []
        assigned = _assign(tables, options, root, scratch, notices)
        files = _write(tables, assigned, scratch)
        if "train" not in files:
            raise DataError("no rows left to train on", where=options.train, remedy="lower the shares or add rows")
        digest = _record(tables, assigned, scratch / "splits.parquet")
        for name in (*(f"{role}.arrow" for role in ROLES), "splits.parquet"):
            if (scratch / name).exists():
                (scratch / name).replace(into / name)
            else:
                (into / name).unlink(missing_ok=True)
    ready = {role: Table(into / f"{role}.arrow") for role in files}
    return Splits(
        ready["train"], ready.get("validation"), ready.get("test"), into / "splits.parquet", digest, notices, marks
    )


def _sources(options: DataOptions) -> dict[str, str]:
    named = {"train": options.train, "validation": options.validation, "test": options.test}
    return {role: location for role, location in named.items() if location or role == "train"}


def _fingerprints(options: DataOptions, root: Path) -> dict[str, str]:
    marks = {role: fingerprint(location, root, options.query) for role, location in _sources(options).items()}
    for role, mark in marks.items():
        known = options.fingerprints.get(role)
        if known and known != mark:
            raise DataError(
                f"other content than the recipe was resolved with (SHA-256 {mark[:12]}…, not {known[:12]}…)",
                where=f"{shown(_sources(options)[role])}, data.fingerprints.{role}",
                expected="the same data",
                remedy="fetch the data of that run, or remove data.fingerprints to go on with this",
            )
    return marks


def _check_classes(tables: dict[str, Table], options: DataOptions) -> list[str]:
    counts = cutting.class_counts(tables["train"])
    if len(counts) < 2:
        raise DataError(
            f"one class only ({next(iter(counts))!r})" if counts else "no row has a label",
            where=f"{shown(options.train)}, column {options.label!r}",
            expected="at least two classes",
            remedy="name the right label column, or add rows of another class",
        )
    single = [label for label, count in counts.items() if count == 1]
    if single and "rare_classes" not in options.acknowledge:
        raise DataError(
            f"{len(single)} {'class has' if len(single) == 1 else 'classes have'} one row: {_listed(single)}",
            where=f"{shown(options.train)}, column {options.label!r}",
            expected="at least two rows a class, one to learn from and one to test on",
            remedy='add rows, merge or remove these classes, or accept with data.acknowledge = ["rare_classes"]',
        )
    notices: list[str] = []
    for role in ("validation", "test"):
        if role in tables:
            unknown = [label for label in cutting.class_counts(tables[role]) if label not in counts]
            if unknown:
                notices.append(f"{role}: {len(unknown)} classes that train does not have: {_listed(unknown)}")
    return notices


def _listed(labels: list[str]) -> str:
    return ", ".join(map(repr, labels[:10])) + (f" and {len(labels) - 10} more" if len(labels) > 10 else "")


def _assign(
    tables: dict[str, Table], options: DataOptions, root: Path, scratch: Path, notices: list[str]
) -> NDArray[np.uint8]:
    train = tables["train"]
    assigned = scratch_array(scratch / "assigned", len(train), "u1")
    assigned[:] = UNSET
    if options.splits:
        kept = _earlier(train, options, root, assigned, scratch)
        notices.append(f"{kept:,} of {len(train):,} rows keep their split of {options.splits}")
    shares = Shares(
        0.0 if options.test else options.test_share, 0.0 if options.validation else options.validation_share
    )
    _columns_for(options)
    if not (shares.test or shares.validation):
        for start in range(0, len(train), cutting.CHUNK):
            part = assigned[start : start + cutting.CHUNK]
            part[part == UNSET] = TRAIN
    elif options.split == "stratified":
        cutting.stratified(train, assigned, shares, options.seed, scratch)
    elif options.split == "grouped":
        cutting.grouped(train, assigned, shares, options.seed, scratch)
    else:
        moments.by_time(train, assigned, shares, scratch)
    if options.split != "stratified" and (shares.test or shares.validation):
        left = cutting.leave_out(train, assigned, scratch)
        if left:
            notices.append(f"{left:,} rows are left out: their text is also in a split further from training")
    return assigned


def _columns_for(options: DataOptions) -> None:
    needed = {"grouped": ("group", options.group), "time": ("time", options.time)}
    name, column = needed.get(options.split, ("", "-"))
    if not column:
        raise DataError(
            f"data.split is {options.split!r}, and no column is named for it",
            where=f"data.{name}",
            expected="the name of a column",
            remedy=f"set data.{name}",
        )


def _earlier(train: Table, options: DataOptions, root: Path, assigned: NDArray[np.uint8], scratch: Path) -> int:
    """Joins the rows with an earlier run's assignments, on disk. Returns how many kept theirs."""
    path = root / options.splits
    if not path.exists():
        raise DataError("no such file", where=f"{options.splits}, data.splits", remedy="check the name")
    order = HashSort(scratch / "join", [("row", "<i8"), ("side", "u1")])
    given = {shown(location) for role, location in _sources(options).items() if role != "train"}
    try:
        for batch in pq.ParquetFile(path, memory_map=True, pre_buffer=False).iter_batches(1 << 14, use_threads=False):
            known = [row for row in batch.to_pylist() if row["file"] not in given]
            sides = np.array([NAMES.index(row["split"]) for row in known], np.uint8)
            if known:
                order.add(keys([row["id"] for row in known]), row=-1, side=sides)
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise DataError(
            f"not an earlier run's splits ({error})", where=f"{options.splits}, data.splits", expected="splits.parquet"
        ) from error
    start = 0
    for columns in train.batches():
        count = len(columns["id"])
        order.add(keys(columns["id"]), row=np.arange(start, start + count), side=UNSET)
        start += count
    kept = 0
    for group in order.repeated():
        known, new = group[group["row"] < 0], group[group["row"] >= 0]
        if len(known):
            assigned[new["row"]] = known["side"][0]
            kept += len(new)
    return kept


def _write(tables: dict[str, Table], assigned: NDArray[np.uint8], scratch: Path) -> list[str]:
    """Writes each split's table; returns the names of those that have rows."""
    made: list[str] = []
    for side, role in ((TRAIN, "train"), (VALIDATION, "validation"), (TEST, "test")):
        batches = _filtered(tables["train"], assigned, side)
        if role in tables and role != "train":
            batches = _both(tables[role], batches)
        written = Table.write(scratch / f"{role}.arrow", tables["train"].schema, batches)
        if len(written):
            made.append(role)
        else:
            (scratch / f"{role}.arrow").unlink()
    return made


def _both(given: Table, kept: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """A given file, then rows that an earlier cut had put there."""
    yield from given.arrow()
    yield from kept


def _filtered(table: Table, assigned: NDArray[np.uint8], side: int) -> Iterator[pa.RecordBatch]:
    start = 0
    for batch in table.arrow():
        wanted = np.asarray(assigned[start : start + batch.num_rows]) == side
        start += batch.num_rows
        if wanted.all():
            yield batch
        elif wanted.any():
            yield batch.filter(pa.array(wanted))


def _record(tables: dict[str, Table], assigned: NDArray[np.uint8], path: Path) -> str:
    digest = hashlib.sha256()
    with whole_file(path) as partial, pq.ParquetWriter(str(partial), ASSIGNMENTS, compression="zstd") as writer:
        for role, table in tables.items():
            start = 0
            for columns in table.batches(1 << 14):
                count = len(columns["id"])
                sides = _names(assigned[start : start + count]) if role == "train" else [role] * count
                start += count
                rows = {"id": columns["id"], "split": sides, "file": columns["file"]}
                _update(digest, rows)
                writer.write_batch(pa.RecordBatch.from_pydict(rows, schema=ASSIGNMENTS))
    return digest.hexdigest()


def _names(sides: NDArray[np.uint8]) -> list[str]:
    return [NAMES[min(side, LEFT_OUT)] for side in sides.tolist()]


def _update(digest: Any, rows: dict[str, list[str]]) -> None:
    for row in zip(rows["id"], rows["split"], rows["file"], strict=True):
        digest.update("\x1f".join(row).encode() + b"\n")


def digest_of(assignments: Path) -> str:
    """SHA-256 over the rows of a `splits.parquet`, whatever library wrote its bytes.

    Args:
        assignments: The file.

    Returns:
        Hex digest.
    """
    digest = hashlib.sha256()
    for batch in pq.ParquetFile(assignments, memory_map=True).iter_batches(1 << 14):
        _update(digest, batch.to_pydict())
    return digest.hexdigest()
