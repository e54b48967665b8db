"""Every kind of source as a stream of raw record batches, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from attune.data.batches import batched
from attune.data.encodings import detect
from attune.data.readers import columnar, delimited, objects, others, plain
from attune.errors import DataError, Problem

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".txt": "txt",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
}
TEXT_FORMATS = frozenset({"csv", "tsv", "jsonl", "json", "txt"})
PACKED = frozenset({".gz", ".zst", ".zstd"})
SUPPORTED = (
    "csv, tsv, jsonl, ndjson, json and txt with a text a line (each also .gz or .zst), parquet, arrow, feather, xlsx, "
    "a folder of text files by class, a folder written by datasets, an SQLAlchemy URL with a query"
)
"""What can be read, in words for messages."""


def is_database(location: str) -> bool:
    """Whether a location is a database URL.

    Args:
        location: As in a recipe.

    Returns:
        True for anything with a scheme.
    """
    return "://" in location


def shown(location: str) -> str:
    """A location as messages may show it: a database URL without its password.

    Args:
        location: As in a recipe.

    Returns:
        The name.
    """
    return others.database_name(location) if is_database(location) else location


def find(location: str, root: Path) -> tuple[Path, str]:
    """The path of a file or folder, and what follows `#` (a sheet, or a split of a dataset).

    Args:
        location: As in a recipe.
        root: The data root.

    Returns:
        Path and part.

    Raises:
        DataError: If it is not there or is an empty file.
    """
    if not location:
        raise DataError("no source named", where="data.train", expected=SUPPORTED, remedy="name a file")
    path, part = root / location, ""
    if not path.exists() and "#" in location:
        before, part = location.rsplit("#", 1)
        path = root / before
    if not path.exists():
        raise DataError(
            "no such file or folder",
            where=location,
            expected=f"a file below {root}",
            remedy="check the name, and the data root it is relative to",
        )
    if path.is_file() and path.stat().st_size == 0:
        raise DataError("an empty file", where=location, expected="rows", remedy="name a file that has some")
    return path, part


def format_of(path: Path, location: str) -> str:
    """The format of a file or folder, by its name.

    Args:
        path: The file or folder.
        location: What to call it in messages.

    Returns:
        One of csv, tsv, jsonl, json, txt, parquet, arrow, xlsx, dataset, folder.

    Raises:
        DataError: If it is none of these.
    """
    if path.is_dir():
        return "dataset" if columnar.is_dataset(path) else "folder"
    packed = path.suffix.lower() in PACKED
    suffix = Path(path.stem).suffix.lower() if packed else path.suffix.lower()
    if suffix == ".xls":
        raise DataError("the old Excel format", where=location, remedy="save it as .xlsx or .csv")
    found = SUFFIXES.get(suffix, "")
    if not found or (packed and found not in TEXT_FORMATS):
        raise DataError(f"unknown format {''.join(path.suffixes)!r}", where=location, expected=SUPPORTED)
    return found


def is_flat(location: str, root: Path) -> bool:
    """Whether every value of a source is text because its format knows nothing else.

    Args:
        location: As in a recipe.
        root: The data root.

    Returns:
        True for CSV and TSV.
    """
    if is_database(location):
        return False
    return format_of(find(location, root)[0], location) in {"csv", "tsv"}


def encoding_of(location: str, root: Path) -> str:
    """The encoding detected for a text file.

    Args:
        location: As in a recipe.
        root: The data root.

    Returns:
        A codec name; empty for what is no single text file.
    """
    if is_database(location):
        return ""
    path, _ = find(location, root)
    return detect(path) if format_of(path, location) in TEXT_FORMATS else ""


def scan(
    location: str,
    root: Path,
    *,
    query: str = "",
    encoding: str = "",
    problems: list[Problem],
    limit: int | None = None,
) -> Iterator[pa.RecordBatch]:
    """Streams a source as raw record batches.

    Args:
        location: File, folder or SQLAlchemy URL; relative to `root`.
        root: The data root.
        query: SQL query, where the location is a URL.
        encoding: Encoding of text files; empty for detection.
        problems: Receives bad rows; they are never raised one at a time.
        limit: Stop after so many rows.

    Yields:
        Batches of at most 4,096 rows, some without any: columns as they are named in the source, `__line__` (int64;
        the row's number where there are no lines), and `__file__` where rows have a file each. Columns of mixed types
        are JSON text marked in the field's metadata; read columns with `attune.data.batches.values`.

    Raises:
        DataError: If the source is missing, empty, of an unknown format, or damaged.
    """
    left = limit
    with _damage(shown(location)):
        for batch in _open(location, root, query, encoding, problems):
            if left is not None and batch.num_rows >= left:
                yield batch.slice(0, left)
                return
            left = None if left is None else left - batch.num_rows
            yield batch


def _open(location: str, root: Path, query: str, encoding: str, problems: list[Problem]) -> Iterator[pa.RecordBatch]:
    if is_database(location):
        return batched(others.read_query(location, root, query))
    path, part = find(location, root)
    match format_of(path, location):
        case "csv":
            return batched(delimited.read(path, location, encoding, "", problems))
        case "tsv":
            return batched(delimited.read(path, location, encoding, "\t", problems))
        case "jsonl":
            return batched(objects.read_lines(path, location, encoding, problems))
        case "json":
            return batched(objects.read_array(path, location, encoding, problems))
        case "txt":
            return batched(plain.read(path, location, encoding, problems))
        case "parquet":
            return columnar.read_parquet(path)
        case "arrow":
            return columnar.read_arrow(path)
        case "dataset":
            return columnar.read_dataset(path, location, part)
        case "xlsx":
            return batched(others.read_sheet(path, location, part, problems))
        case _:
            return batched(others.read_folder(path, location, encoding, problems))


@contextmanager
def _damage(name: str) -> Generator[None]:
    """What a reader says of a file that is not what its name promises, as one clear error."""
    import zipfile

    import zstandard

    try:
        yield
    except (EOFError, zlib.error, zstandard.ZstdError, zipfile.BadZipFile, pa.ArrowException, KeyError) as error:
        raise _damaged(name, error) from error
    except OSError as error:
        if error.errno is not None and not isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> DataError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(
        f"cannot be read ({reason})",
        where=name,
        expected="a whole file of the format its name says",
        remedy="fetch or write it again",
    )


def fingerprint(location: str, root: Path, query: str = "") -> str:
    """SHA-256 of a source's content.

    Args:
        location: As in a recipe.
        root: The data root.
        query: SQL query, where the location is a URL.

    Returns:
        Hex digest: of a file's bytes; of a folder's relative names and contents in order; of a query's rows in the
        order they come.

    Raises:
        DataError: If the source is missing or refuses.
    """
    digest = hashlib.sha256()
    if is_database(location):
        for record in others.read_query(location, root, query):
            digest.update(json.dumps(record.values, ensure_ascii=False, sort_keys=True).encode() + b"\n")
        return digest.hexdigest()
    path, part = find(location, root)
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    for file in files:
        if path.is_dir():
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest() if path.is_dir() else b"")
            if path.is_file():
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
    if part:
        digest.update(f"#{part}".encode())
    return digest.hexdigest()
