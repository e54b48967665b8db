"""Writing so that nothing partial is ever seen: to a temporary name, then moved into place."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Generator
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
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        with disk(target):
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
def disk(target: Path) -> Generator[None]:
    """Turns what a full, read-only or forbidden disk says into an error with a remedy."""
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: "the disk is full",
            errno.EDQUOT: "the disk quota is used up",
            errno.EROFS: "the file system is read-only",
            errno.EACCES: "writing there is not allowed",
        }
        if error.errno not in reasons:
            raise
        raise MachineError(
            reasons[error.errno],
            where=str(target),
            expected="room and permission to write",
            remedy="free space or choose another --out; nothing partial was left behind",
        ) from None


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
