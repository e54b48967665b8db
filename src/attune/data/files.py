"""Outputs are written to a temporary name and moved into place; what the machine refuses is said plainly."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from attune.errors import MachineError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextmanager
def machine_errors(path: Path) -> Generator[None]:
    """Turns a full disk or a missing permission into a `MachineError` that names the place.

    Args:
        path: What is being written.

    Yields:
        Nothing.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise MachineError(
                "the disk is full",
                where=str(path),
                remedy="free some space or write somewhere else; nothing partial was left behind",
            ) from error
        if error.errno in REFUSED:
            raise MachineError(
                f"cannot write here ({error.strerror})", where=str(path), remedy="choose a folder you may write to"
            ) from error
        raise


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A temporary name that takes the place of `path` on success and vanishes on failure.

    Args:
        path: Where the file shall be.

    Yields:
        The name to write to, in the same folder.
    """
    with machine_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def workplace(folder: Path) -> Generator[Path]:
    """A scratch folder inside `folder`, gone at the end; `folder` too, where it was made for this and is empty.

    Args:
        folder: Where the results will be.

    Yields:
        The scratch folder.
    """
    with machine_errors(folder):
        made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".attune-", dir=folder))
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            _remove_empty(made)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        if not folder.is_dir() or any(folder.iterdir()):
            return
        folder.rmdir()
