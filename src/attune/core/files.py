"""Outputs are written to a temporary name and moved into place; what the machine refuses is said plainly."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from attune.errors import MachineError


@contextlib.contextmanager
def whole_folder(target: Path) -> Generator[Path]:
    """A folder that appears complete or not at all.

    Args:
        target: Where it shall be; replaced if there.

    Yields:
        A temporary folder beside it, to write into.

    Raises:
        MachineError: The disk is full or refuses.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with disk(target):
            temporary.mkdir(parents=True)
            yield temporary
            settle(temporary)
            if target.exists():
                old = target.with_name(f".{target.name}.{os.getpid()}.old")
                target.rename(old)
                temporary.rename(target)
                shutil.rmtree(old)
            else:
                temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def whole_file(target: Path) -> Generator[Path]:
    """A file that appears complete or not at all.

    Args:
        target: Where it shall be; replaced if there.

    Yields:
        A temporary path beside it, to write to.

    Raises:
        MachineError: The disk is full or refuses.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with disk(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def workplace(folder: Path) -> Generator[Path]:
    """A scratch folder inside `folder`, gone at the end; `folder` too, where it was made for this and is empty.

    Args:
        folder: Where the results will be.

    Yields:
        The scratch folder.

    Raises:
        MachineError: The disk is full or refuses.
    """
    with disk(folder):
        made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".attune-", dir=folder))
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            remove_empty(made)


def remove_empty(folders: Sequence[Path]) -> None:
    """Removes folders, the innermost first, up to the first that holds something."""
    for folder in folders:
        if not folder.is_dir() or any(folder.iterdir()):
            return
        folder.rmdir()


REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk is full: its quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "writing there is not allowed",
    errno.EPERM: "writing there is not allowed",
}


@contextlib.contextmanager
def disk(target: Path) -> Generator[None]:
    """Turns what a full, read-only or forbidden disk says into an error with a remedy.

    Args:
        target: What is being written.

    Raises:
        MachineError: The disk is full or refuses.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in REASONS:
            raise
        raise MachineError(
            REASONS[error.errno],
            where=str(target),
            expected="room and permission to write",
            remedy="free space, or write to another folder; nothing partial was left behind",
        ) from error


def settle(folder: Path) -> None:
    """Forces a folder's files to the disk, so that the rename that follows cannot outrun them."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())


def canonical(value: Any) -> str:
    """JSON with sorted keys, two spaces and a final newline: equal values have equal bytes."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read_json(path: Path) -> Any:
    """Reads a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
