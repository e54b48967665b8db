"""A source to a table: columns mapped, every row checked, every bad row collected."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from attune.core.files import workplace
from attune.core.form import Form
from attune.core.recipe import DataOptions
from attune.core.texts import FIRST, SECOND, texts_of
from attune.data import rows, table
from attune.data.batches import FILE, LINE, MIXED, values
from attune.data.encodings import CERTAIN
from attune.data.external import HashSort, keys, scratch_array
from attune.data.sources import encoding_of, is_flat, scan, shown
from attune.data.table import Table
from attune.errors import DataError, Problem, nearest

MOST_PROBLEMS = 10_000
"""Reading stops at so many bad rows: past that the file is not what the recipe takes it for."""


@dataclass(frozen=True)
class Ingested:
    """A table and what is worth knowing about its making.

    Attributes:
        table: The rows.
        notices: One sentence each.
    """

    table: Table
    notices: list[str]


@dataclass(frozen=True)
class Mapping:
    """Which columns matter and what the rows must be.

    Attributes:
        name: What to call the source.
        columns: Column names of the source by `text`, `text_pair`, what else the form reads, `label`, `id`, `group`
            and `time`; absent ones are not mapped.
        form: What a row has.
        golds: Where what is right stands in several columns, by name each one's key in the recipe and the column.
        separator: What separates several labels in one cell.
        flat: Whether the format knows nothing but text.
        keep_empty: Whether rows without text are kept.
    """

    name: str
    columns: dict[str, str]
    form: Form
    golds: dict[str, tuple[str, str]]
    separator: str
    flat: bool
    keep_empty: bool

    @property
    def schema(self) -> pa.Schema:
        """Columns of the table to be."""
        return table.schema(
            self.form,
            labelled="label" in self.columns,
            group="group" in self.columns,
            time="time" in self.columns,
        )


def ingest(
    location: str,
    root: Path,
    options: DataOptions,
    *,
    form: Form,
    labelled: bool = True,
    into: Path,
    keep_empty: bool = False,
) -> Ingested:
    """Reads a source into a table.

    Args:
        location: File, folder or SQLAlchemy URL; relative to `root`.
        root: The data root.
        options: Which columns matter; also query, encoding and label separator.
        form: What a row must have.
        labelled: Whether the label column is read, where the form has one.
        into: The table's file.
        keep_empty: Keep rows without text, with an empty one, for an audit to report.

    Returns:
        The table and notices.

    Raises:
        DataError: If the source cannot be read, a column is unknown, there are no rows, or rows are bad; all bad
            rows are in its `problems` (reading stops at 10,000). Nothing is left behind then.
    """
    mapping = Mapping(
        name=shown(location),
        columns=_columns(options, form, labelled and form.labelled),
        form=form,
        golds=_golds(options, form),
        separator=options.label_separator,
        flat=is_flat(location, root),
        keep_empty=keep_empty,
    )
    problems: list[Problem] = []
    seen = rows.Seen()
    batches = scan(location, root, query=options.query, encoding=options.encoding, problems=problems)
    with workplace(into.parent) as scratch:
        order = HashSort(scratch / "keys", [("row", "<i8")])
        raw = Table.write(scratch / "rows.arrow", mapping.schema, _good(batches, mapping, order, problems, seen))
        problems.extend(seen.fractions if not seen.words else [])
        if "id" in mapping.columns and len(problems) < MOST_PROBLEMS:
            problems.extend(_repeated_ids(order, raw, mapping.columns["id"]))
        _refuse(problems, seen, mapping)
        if "id" in mapping.columns:
            (scratch / "rows.arrow").replace(into)
            made = Table(into)
        else:
            made = Table.write(into, mapping.schema, _with_ids(raw, order, scratch))
    return Ingested(made, [*_guessed(location, root, options), *_notices(seen, mapping)])


def _guessed(location: str, root: Path, options: DataOptions) -> list[str]:
    """A notice where the encoding was a guess: reading a file wrongly must not pass in silence."""
    encoding = "" if options.encoding else encoding_of(location, root)
    if not encoding or encoding in CERTAIN:
        return []
    return [f"{location}: read as {encoding}, which is a guess; name another in data.encoding if letters look wrong"]


def _columns(options: DataOptions, form: Form, labelled: bool) -> dict[str, str]:
    wanted = {name: options.column(name) for name in form.fields} | {
        "id": options.id,
        "group": options.group,
        "time": options.time,
    }
    label = ", ".join(column for _, column in _golds(options, form).values()) or options.label
    beside = {name: options.columns[name] for name in form.beside if name in options.columns}
    wanted |= {"label": label, **beside} if labelled else {}
    return {role: name for role, name in wanted.items() if name}


def _golds(options: DataOptions, form: Form) -> dict[str, tuple[str, str]]:
    """Where what is right stands in several columns: of each task, or of each field that it is made of."""
    of = form.gold.of if form.gold else ()
    parts = {name: (f"task.{name}.label", column) for name, (column, _) in form.parts.items()}
    return parts or {name: (f"data.columns.{name}", options.column(name)) for name in of}


def _refuse(problems: list[Problem], seen: rows.Seen, mapping: Mapping) -> None:
    if problems:
        more = "; reading stopped there" if len(problems) >= MOST_PROBLEMS else ""
        raise DataError(
            f"{len(problems)} bad {'row' if len(problems) == 1 else 'rows'}, {seen.rows} good ones{more}",
            where=mapping.name,
            expected=_expected(mapping),
            remedy="mend or remove the rows below"
            + (", or name the encoding in data.encoding" if any("decode" in p.found for p in problems) else ""),
            problems=problems,
        )
    if not seen.rows:
        raise DataError("no rows", where=mapping.name, expected=_expected(mapping), remedy="name a source with rows")


def _expected(mapping: Mapping) -> str:
    column = mapping.columns.get("label")
    texts = (
        f"text in {' and '.join(repr(mapping.columns[name]) for name in (FIRST, SECOND) if name in mapping.columns)}"
    )
    if column is None:
        return texts
    if mapping.form.gold:
        return f"{texts} and {mapping.form.gold.expected}" + ("" if mapping.form.parts else f" in {column!r}")
    form = f"a list of labels, or labels joined by {mapping.separator!r}," if mapping.form.several else "a label"
    return f"{texts} and {form} in {column!r}"


def _known(batch: pa.RecordBatch, mapping: Mapping) -> None:
    columns = [name for name in batch.schema.names if name not in {LINE, FILE}]
    wanted = {f"data.{role}": name for role, name in mapping.columns.items()}
    if mapping.golds and wanted.pop("data.label", ""):
        wanted |= dict(mapping.golds.values())
    for key, name in wanted.items():
        if name not in columns:
            raise DataError(
                f"unknown column {name!r}",
                where=f"{mapping.name}, {key}",
                expected="a column of the source",
                remedy=nearest(name, columns),
            )


def _good(
    batches: Iterator[pa.RecordBatch], mapping: Mapping, order: HashSort, problems: list[Problem], seen: rows.Seen
) -> Iterator[pa.RecordBatch]:
    """Good rows as record batches; their keys go to `order`, bad ones to `problems`."""
    first = True
    for batch in batches:
        if first and batch.num_rows:
            _known(batch, mapping)
            first = False
        columns = _check(batch, mapping, problems, seen)
        count = len(columns["text"])
        if count:
            names = columns["id"] if "id" in mapping.columns else _contents(columns)
            hashes = keys(names)
            order.add(hashes, row=np.arange(seen.rows - count, seen.rows))
            coded = {name: stored(cells, mapping.schema.field(name)) for name, cells in columns.items()}
            yield pa.RecordBatch.from_pydict(coded, schema=mapping.schema)
        if len(problems) >= MOST_PROBLEMS:
            return


def stored(cells: list[Any], field: pa.Field) -> list[Any]:
    """Values as a column holds them: JSON text where it is marked so."""
    if field.metadata != MIXED:
        return cells
    return [json.dumps(cell, ensure_ascii=False, sort_keys=True) for cell in cells]


def _contents(columns: dict[str, list[Any]]) -> list[str]:
    labels = columns.get("labels") or columns.get("label") or [None] * len(columns["text"])
    return [rows.content_key(text, label) for text, label in zip(texts_of(columns), labels, strict=True)]


def _check(batch: pa.RecordBatch, mapping: Mapping, problems: list[Problem], seen: rows.Seen) -> dict[str, list[Any]]:
    lines: list[int] = values(batch, LINE)
    files: list[str | None] = values(batch, FILE)
    readers = _readers(mapping, seen)
    needing = {*mapping.form.also, *mapping.form.beside, *(["label"] if mapping.form.gold else [])}
    cells = {role: _cells(batch, mapping, role) for role in readers}
    columns: dict[str, list[Any]] = {name: [] for name in mapping.schema.names}
    gold = mapping.form.gold
    label_role = "gold" if gold else "labels" if mapping.form.several else "label"
    for index, line in enumerate(lines):
        file = files[index] or mapping.name
        where = f"{file}:{line}"
        before = len(problems)
        row: dict[str, Any] = {"id": "", "file": file, "line": line}
        for role, read in readers.items():
            if role in needing and len(problems) > before:
                break
            cell = cells[role][index]
            if role == FIRST and (isinstance(cell, list) or mapping.form.made):
                row |= (
                    rows.collect(partial(rows.whole, mapping.form, cell), where, mapping.columns[role], problems) or {}
                )
                if len(problems) > before:
                    continue
                cell = row.get(FIRST, cell)
            given = (cell, row) if role in needing else (cell,)
            value = rows.collect(partial(read, *given), where, mapping.columns[role], problems)
            row[label_role if role == "label" else role] = value
        if len(problems) > before:
            continue
        if gold and "label" in readers:
            row["labels"] = gold.names(row["gold"])
        _watch(row, where, mapping, seen)
        for name, column in columns.items():
            column.append(row[name])
    return columns


def _cells(batch: pa.RecordBatch, mapping: Mapping, role: str) -> list[Any]:
    """The cells of a role; where what is right stands in several columns those of each row, by name."""
    if role != "label" or not mapping.golds:
        return values(batch, mapping.columns[role])
    columns = {name: values(batch, column) for name, (_, column) in mapping.golds.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _readers(mapping: Mapping, seen: rows.Seen) -> dict[str, Callable[..., Any]]:
    readers: dict[str, Callable[..., Any]] = {
        FIRST: partial(rows.text_of, keep_empty=mapping.keep_empty),
        SECOND: partial(rows.text_of, keep_empty=mapping.keep_empty),
        **{name: partial(rows.value_of, read) for name, read in mapping.form.also.items()},
        **{name: partial(rows.value_if_any, read) for name, read in mapping.form.beside.items()},
        "label": _label_reader(mapping.form, mapping.separator, seen),
        "id": partial(rows.key_of, what="id"),
        "group": partial(rows.key_of, what="group"),
        "time": partial(rows.key_of, what="time"),
    }
    return {role: readers[role] for role in readers if role in mapping.columns}


def _label_reader(form: Form, separator: str, seen: rows.Seen) -> Callable[..., Any]:
    if form.parts:
        readers = {name: _label_reader(part, separator, seen) for name, (_, part) in form.parts.items()}
        return partial(rows.values_of, readers, {name: part.gold is not None for name, (_, part) in form.parts.items()})
    if form.gold:
        return partial(rows.value_of, form.gold.read)
    if form.several:
        return partial(rows.labels_of, separator=separator, seen=seen)
    return partial(rows.label_of, seen=seen)


def _watch(row: dict[str, Any], where: str, mapping: Mapping, seen: rows.Seen) -> None:
    seen.rows += 1
    longest = max(len(row[name]) for name in (FIRST, SECOND) if name in mapping.columns)
    if longest > rows.LONG:
        seen.long_count += 1
        if len(seen.long) < 3:
            seen.long.append(f"{where} ({longest:,} characters)")
    if mapping.flat and "label" in mapping.columns and mapping.form.named:
        for label in row["labels"] if mapping.form.several else [row["label"]]:
            rows.watch_numbers(label, where, mapping.columns["label"], seen)


def _repeated_ids(order: HashSort, raw: Table, column: str) -> list[Problem]:
    problems: list[Problem] = []
    for group in order.repeated():
        found = raw.select(group["row"][: MOST_PROBLEMS + 1])
        first = found[0]
        for row in found[1:]:
            said = f"id {row['id']!r} is already on {first['file']}:{first['line']}"
            problems.append(Problem(said, f"{row['file']}:{row['line']}", column))
        if len(problems) >= MOST_PROBLEMS:
            break
    return problems


def _with_ids(raw: Table, order: HashSort, scratch: Path) -> Iterator[pa.RecordBatch]:
    """Rows with ids from their content: its hash, and for a repeated row which one it is."""
    occurrence = scratch_array(scratch / "occurrence", len(raw), "<u4")
    for group in order.repeated():
        occurrence[group["row"]] = np.arange(len(group), dtype=np.uint32)
    start = 0
    for batch in raw.arrow():
        hashes = keys(_contents(batch.to_pydict()))
        ids = [
            f"{int(high):016x}{int(low):016x}" + (f"-{which}" if which else "")
            for (high, low), which in zip(hashes, occurrence[start : start + len(hashes)], strict=True)
        ]
        start += len(hashes)
        yield batch.set_column(0, "id", pa.array(ids, pa.string()))


def _notices(seen: rows.Seen, mapping: Mapping) -> list[str]:
    notices: list[str] = []
    whole = seen.whole or (seen.numbers if not seen.words else 0)
    if whole:
        notices.append(f"{mapping.name}: {whole:,} labels are whole numbers and were read as text")
    if seen.truths:
        notices.append(f"{mapping.name}: {seen.truths:,} labels are truth values and were read as 'true' and 'false'")
    if seen.long_count:
        places = ", ".join(seen.long)
        notices.append(f"{mapping.name}: {seen.long_count:,} rows have more than {rows.LONG:,} characters: {places}")
    return notices
