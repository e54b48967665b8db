"""Answering streams of rows: from texts, lines or files, to a file or to whoever writes."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from attune.core.files import whole_file
from attune.core.form import Form
from attune.core.records import Prediction
from attune.core.texts import FIRST, rows_of
from attune.data.batches import FILE, LINE, values
from attune.data.sources import scan
from attune.errors import DataError, Problem, RecipeError, nearest
from attune.model.bundle import Bundle
from attune.model.rows import as_row, fault

CHUNK = 512
KEPT_PROBLEMS = 1000
NESTED = ("alternatives", "spans", "levels", "tasks")
SUFFIXES = (".jsonl", ".csv", ".parquet")

Record = dict[str, Any]
Write = Callable[[Record], None]


@dataclass(frozen=True)
class Asked:
    """One row to answer, or what is wrong with it."""

    where: str
    line: int
    row: Any
    problem: Problem | None = None


@dataclass
class Summary:
    """How many rows were answered, and which were bad."""

    answered: int = 0
    bad: int = 0
    problems: list[Problem] = field(default_factory=list)

    def add(self, problem: Problem) -> None:
        """Counts a bad row and keeps the first thousand."""
        self.bad += 1
        if len(self.problems) < KEPT_PROBLEMS:
            self.problems.append(problem)


def rows_of_texts(texts: Sequence[str], form: Form) -> Iterator[Asked]:
    """Texts given by hand.

    Args:
        texts: One a row.
        form: What a row must have.

    Returns:
        One row a text.

    Raises:
        DataError: A row is more than a text, which cannot be told on a command line.
    """
    if len(form.fields) > 1:
        read = "two texts" if not form.also else " and ".join(form.fields)
        line = ", ".join(f'"{name}": "…"' for name in form.fields)
        raise DataError(
            f"this bundle reads {read} a row, and texts on the command line are one each",
            where="attune predict",
            expected=f"rows with {' and '.join(form.fields)}",
            remedy="give a file with --file, or JSON lines on standard input: "
            f"echo '{{{line}}}' | attune predict BUNDLE",
        )
    return (Asked(f"text {index}", index, text) for index, text in enumerate(texts, 1))


def lines_of(stream: BinaryIO) -> Iterator[Asked]:
    """Lines of standard input: plain text, or JSON objects with the texts by field; empty lines are passed over."""
    for index, raw in enumerate(stream, 1):
        where = f"standard input:{index}"
        try:
            line = raw.decode("utf-8-sig" if index == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            yield Asked(where, index, None, Problem(f"not UTF-8: {error.reason}", where))
            continue
        if line.strip():
            yield of_line(line, index, where)


def of_line(line: str, index: int, where: str) -> Asked:
    """One line as a row: a JSON object where it is one, else the line itself."""
    if not line.lstrip().startswith("{"):
        return Asked(where, index, line)
    try:
        document = json.loads(line)
    except ValueError as error:
        return Asked(where, index, None, Problem(f"not JSON: {error}", where))
    return Asked(where, index, document)


def rows_of_file(location: str, root: Path, columns: Mapping[str, str]) -> Iterator[Asked]:
    """Rows of a data file.

    Args:
        location: The file, of any format `train` reads.
        root: Folder it is relative to.
        columns: The column of each text, by its field.

    Yields:
        One row a row, and one problem a row that cannot be read.

    Raises:
        DataError: There is no such column.
    """
    problems: list[Problem] = []
    known = False
    for batch in scan(location, root, problems=problems):
        yield from drained(problems)
        if batch.num_rows and not known:
            known = True
            names = [name for name in batch.schema.names if name not in {LINE, FILE}]
            require_columns(columns, names, location)
        rows = rows_of({field: values(batch, column) for field, column in columns.items()}, list(columns))
        for line, row in zip(values(batch, LINE), rows, strict=True):
            yield Asked(f"{location}:{line}", line, row)
    yield from drained(problems)


def require_columns(columns: Mapping[str, str], names: Sequence[str], where: str) -> None:
    """Refuses a file without a column that is read."""
    for name, column in columns.items():
        if column not in names:
            expected = "the column with the text" if name == FIRST else "the column with the second text"
            raise DataError(f"no column {column!r}", where=where, expected=expected, remedy=nearest(column, names))


def drained(problems: list[Problem]) -> Iterator[Asked]:
    """What the reader could not read so far; the list is emptied."""
    found, problems[:] = list(problems), []
    return (Asked(problem.where, 0, None, problem) for problem in found)


def answer(
    bundle: Bundle,
    source: Iterable[Asked],
    out: Path | None,
    *,
    strict: bool,
    write: Write,
    tick: Callable[[int], None] = lambda rows: None,
    task: str = "",
) -> Summary:
    """Answers a stream of rows.

    Args:
        bundle: Who answers.
        source: Rows, bad ones among them.
        out: A file that appears whole at the end; None to hand every record to `write`.
        strict: Any bad row is an error, and nothing is written.
        write: Takes records where `out` is None.
        tick: Hears how many rows are done.
        task: The one of several tasks that is answered alone; all of them where not given.

    Returns:
        Counts and problems.

    Raises:
        DataError: `strict` and a bad row, or an `out` of a format that cannot be written.
        RecipeError: The bundle has no such task.
    """
    refuse_unknown(bundle, task)
    summary = Summary()
    if strict and out is None:
        records = list(answered(bundle, source, summary, tick, task))
        refuse(summary)
        for record in records:
            write(record)
        return summary
    with sink(out, write, bundle.model.task.form) as put:
        for record in answered(bundle, source, summary, tick, task):
            put(record)
        if strict:
            refuse(summary)
    return summary


def refuse_unknown(bundle: Bundle, task: str) -> None:
    """Stops where a bundle is asked for a task that it does not have."""
    known = list(bundle.manifest.tasks)
    if task and task not in known:
        raise RecipeError(
            f"the bundle has no task {task!r}" if known else "the bundle answers one task, which has no name",
            where="--task",
            expected="one of several tasks that a bundle was made for",
            remedy=nearest(task, known) if known else "leave out --task",
        )


def of_task(found: Prediction, task: str) -> Prediction:
    """The answer to one of several tasks, or to all."""
    return replace(found.parts[task], notices=found.notices) if task else found


def refuse(summary: Summary) -> None:
    """Raises where there were bad rows."""
    if summary.bad:
        raise DataError(
            f"{summary.bad} bad row(s)",
            where="--strict",
            expected="the texts in every row",
            remedy="mend the rows listed, or leave out --strict to answer the others",
            problems=summary.problems,
        )


def answered(
    bundle: Bundle, source: Iterable[Asked], summary: Summary, tick: Callable[[int], None], task: str = ""
) -> Iterator[Record]:
    """Records of the good rows, in order; bad ones go into the summary."""
    rows, form = iter(source), bundle.model.task.form
    while chunk := list(islice(rows, CHUNK)):
        good: list[Asked] = []
        for asked in chunk:
            problem = asked.problem or problem_of(asked, form)
            if problem:
                summary.add(problem)
            else:
                good.append(asked)
        for asked, found in zip(good, bundle.predict([asked.row for asked in good]), strict=True):
            row = as_row(asked.row, form)
            yield {"line": asked.line, **{field: row[field] for field in form.fields}, **of_task(found, task).as_dict()}
        summary.answered += len(good)
        tick(summary.answered)


def problem_of(asked: Asked, form: Form) -> Problem | None:
    """What is wrong with a row that was read."""
    found = fault(asked.row, form)
    return Problem(found[1], asked.where, found[0]) if found else None


@contextlib.contextmanager
def sink(out: Path | None, write: Write, form: Form) -> Generator[Write]:
    """Where records go: a whole file of the format its name says, or `write`."""
    if out is None:
        yield write
        return
    if out.suffix not in SUFFIXES:
        raise DataError(
            f"cannot write {out.suffix or 'a file without an ending'}",
            where=str(out),
            expected=f"a name that ends in {', '.join(SUFFIXES)}",
            remedy="choose one of them",
        )
    opener = {".jsonl": jsonl, ".csv": flat_csv, ".parquet": parquet}[out.suffix]
    with whole_file(out) as path, opener(path, form) as put:
        yield put


@contextlib.contextmanager
def jsonl(path: Path, _form: Form) -> Generator[Write]:
    """JSON lines."""
    with path.open("w", encoding="utf-8") as stream:
        yield lambda record: print_line(stream, record)


def print_line(stream: Any, record: Record) -> None:
    """One record as one line."""
    stream.write(json.dumps(record, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def flat_csv(path: Path, form: Form) -> Generator[Write]:
    """CSV: lists joined by `|`, what is nested as JSON; the columns are those of the first record."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer: csv.DictWriter[str] | None = None

        def put(record: Record) -> None:
            nonlocal writer
            writer = writer or headed(stream, list(record))
            writer.writerow(flattened(record, form))

        yield put
        if writer is None:
            headed(stream, ["line", *form.fields, "answer", "confidence", "alternatives", "notices", "spans"])


def headed(stream: Any, columns: Sequence[str]) -> csv.DictWriter[str]:
    """A writer that has written the names of its columns."""
    writer = csv.DictWriter(stream, columns)
    writer.writeheader()
    return writer


def flattened(record: Record, form: Form) -> Record:
    """A record without nested values."""
    given = record["answer"]
    return {
        **record,
        **{name: coded(record[name]) for name in (*form.also, *NESTED) if name in record},
        "answer": "|".join(map(str, given))
        if isinstance(given, list)
        else coded(given)
        if isinstance(given, dict)
        else given,
        "notices": "|".join(record["notices"]),
    }


def coded(value: Any) -> str:
    """A nested value as JSON."""
    return json.dumps(value, ensure_ascii=False)


@contextlib.contextmanager
def parquet(path: Path, form: Form) -> Generator[Write]:
    """Parquet, a row group for every few thousand records."""
    waiting: list[Record] = []
    writer: pq.ParquetWriter | None = None

    def put(record: Record) -> None:
        several = {name: coded(record[name]) for name in ("answer", "tasks") if "tasks" in record}
        waiting.append({**record, **several, **{name: coded(record[name]) for name in form.also}})
        if len(waiting) >= 8 * CHUNK:
            flush()

    def flush() -> None:
        nonlocal writer
        batch = pa.Table.from_pylist(
            waiting, schema=parquet_schema(waiting[0], form) if writer is None else writer.schema
        )
        writer = writer or pq.ParquetWriter(path, batch.schema)
        writer.write_table(batch)
        waiting.clear()

    try:
        yield put
        if waiting:
            flush()
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        pq.write_table(pa.table({"line": pa.array([], pa.int64())}), path)


def parquet_schema(record: Record, form: Form) -> pa.Schema:
    """Columns of the answers, by what the first of them is."""
    alternative = pa.struct([("label", pa.string()), ("confidence", pa.float64())])
    span = pa.struct(
        [("start", pa.int64()), ("end", pa.int64()), ("label", pa.string()), ("text", pa.large_string()),
         ("confidence", pa.float64())]
    )  # fmt: skip
    plain: dict[type, pa.DataType] = {str: pa.string(), float: pa.float64()}
    vector = isinstance(record["answer"], list) and any(isinstance(item, float) for item in record["answer"])
    given = plain.get(type(record["answer"]), pa.list_(pa.float64() if vector else pa.string()))
    return pa.schema(
        [
            ("line", pa.int64()), *((field, pa.large_string()) for field in form.fields), ("answer", given),
            ("confidence", pa.float64()), ("alternatives", pa.list_(alternative)), ("notices", pa.list_(pa.string())),
            ("spans", pa.list_(span)),
            *([("levels", pa.list_(pa.list_(alternative)))] if "levels" in record else []),
            *([("tasks", pa.large_string())] if "tasks" in record else []),
        ]
    )  # fmt: skip
