"""Spreadsheets, folders of text files by class, and databases."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attune.data.batches import Record, plain
from attune.data.encodings import MARK, open_text
from attune.errors import DataError, MachineError, Problem, nearest


def read_sheet(path: Path, name: str, sheet: str, problems: list[Problem]) -> Iterator[Record | None]:
    """Reads one sheet of an Excel workbook with a header row.

    Args:
        path: The workbook.
        name: What to call it in messages.
        sheet: Name of the sheet; empty for the first.
        problems: Receives bad rows.

    Yields:
        One record a row that is not all empty; None for a bad one.

    Raises:
        DataError: If the sheet or its header is missing.
    """
    import openpyxl

    with path.open("rb") as stream:
        workbook = openpyxl.load_workbook(stream, read_only=True, data_only=True)
        try:
            if sheet and sheet not in workbook.sheetnames:
                raise DataError(f"unknown sheet {sheet!r}", where=name, remedy=nearest(sheet, workbook.sheetnames))
            rows = workbook[sheet or workbook.sheetnames[0]].iter_rows(values_only=True)
            header = ["" if cell is None else str(cell).strip() for cell in next(rows, ())]
            if not any(header):
                raise DataError("no header row", where=f"{name}:1", expected="column names in the first row")
            yield from _sheet_rows(rows, header, name, problems)
        finally:
            workbook.close()


def _sheet_rows(
    rows: Iterator[tuple[Any, ...]], header: list[str], name: str, problems: list[Problem]
) -> Iterator[Record | None]:
    for number, cells in enumerate(rows, 2):
        if all(cell is None for cell in cells):
            continue
        if any(cell is not None for cell in cells[len(header) :]):
            problems.append(Problem(f"{len(cells)} cells where the header has {len(header)}", f"{name}:{number}"))
            yield None
            continue
        row = {column: plain(cell) for column, cell in zip(header, cells, strict=False) if column}
        yield Record(number, row, sum(len(cell) for cell in row.values() if isinstance(cell, str)))


def read_folder(path: Path, name: str, encoding: str, problems: list[Problem]) -> Iterator[Record | None]:
    """Reads `folder/<label>/*.txt`: the text is the file, the label its folder.

    Args:
        path: The folder.
        name: What to call it in messages.
        encoding: Encoding of the files; empty for detection, file by file.
        problems: Receives files that cannot be read.

    Yields:
        One record a file, in the order of names; None for a bad one.

    Raises:
        DataError: If there are no such files.
    """
    found = False
    for folder in sorted(entry for entry in path.iterdir() if entry.is_dir()):
        for file in sorted(folder.glob("*.txt")):
            found = True
            shown = f"{name}/{folder.name}/{file.name}"
            with open_text(file, encoding) as stream:
                text = stream.read()
            if "\0" in text or MARK in text:
                bad = "NUL bytes" if "\0" in text else "bytes that do not decode"
                problems.append(Problem(bad, f"{shown}:1"))
                yield None
                continue
            yield Record(1, {"text": text, "label": folder.name}, len(text), shown)
    if not found:
        raise DataError(
            "a folder without text files by class",
            where=name,
            expected="folder/<label>/*.txt, or a folder written by datasets' save_to_disk",
            remedy="name a file, or arrange the folder so",
        )


@contextmanager
def _failures(name: str) -> Generator[None]:
    import sqlalchemy.exc

    try:
        yield
    except sqlalchemy.exc.NoSuchModuleError as error:
        raise DataError(
            "unknown kind of database",
            where=name,
            expected="an SQLAlchemy URL such as sqlite:///file.db or postgresql+psycopg://host/name",
        ) from error
    except ImportError as error:
        raise MachineError(
            f"the driver of this database is not installed ({error})",
            where=name,
            remedy='pip install "attune[postgres]", or the driver of your database',
        ) from error
    except sqlalchemy.exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise DataError(f"the database refused: {reason}", where=name, remedy="check the URL and the query") from error


def database_name(location: str) -> str:
    """A database URL without its password.

    Args:
        location: An SQLAlchemy URL.

    Returns:
        What may be shown.

    Raises:
        DataError: If it is no such URL.
    """
    import sqlalchemy.exc

    try:
        return sqlalchemy.make_url(location).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError as error:
        raise DataError("not a database URL", where=location.split("@")[-1]) from error


def read_query(location: str, root: Path, query: str) -> Iterator[Record]:
    """Reads the rows of an SQL query as they come.

    Args:
        location: SQLAlchemy URL; a relative SQLite file is relative to `root`.
        root: The data root.
        query: What to select.

    Yields:
        One record a row.

    Raises:
        DataError: If there is no query, no such database, or it refuses.
    """
    import sqlalchemy

    name = database_name(location)
    if not query.strip():
        raise DataError(
            "a database without a query", where=name, remedy="give data.query, such as SELECT text, label …"
        )
    url = sqlalchemy.make_url(location)
    if url.get_backend_name() == "sqlite" and url.database not in {None, "", ":memory:"}:
        file = root / str(url.database)
        if not file.exists():
            raise DataError("no such file", where=str(file), remedy="check the name and the data root")
        url = url.set(database=str(file))
    with _failures(name):
        engine = sqlalchemy.create_engine(url)
        try:
            with engine.connect() as connection:
                result = connection.execution_options(stream_results=True).execute(sqlalchemy.text(query))
                columns = list(result.keys())
                for number, row in enumerate(result.yield_per(1000), 1):
                    cells = [plain(cell) for cell in row]
                    size = sum(len(cell) for cell in cells if isinstance(cell, str))
                    yield Record(number, dict(zip(columns, cells, strict=True)), size)
        finally:
            engine.dispose()
