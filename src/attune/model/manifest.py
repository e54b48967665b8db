"""The manifest: what a bundle is and the digest of every file in it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from attune.backbones.checkpoints import file_digest
from attune.core.files import canonical
from attune.errors import BundleError

FORMAT = 2
ONE = 1
"""The format of a bundle of one task; that of several tasks is the newest."""
NAME = "manifest.json"
OUTSIDE = frozenset({NAME, "run.json", "card.md", "report.html"})
READABLE = frozenset({".json", ".toml", ".safetensors", ".txt", ".model"})


class BackboneReference(BaseModel):
    """The published checkpoint a bundle is relative to."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    sha256: str


class Learned(BaseModel):
    """What one of several tasks is and learned of its labels."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    type: str
    labels: list[str]
    label_counts: list[int]


class Manifest(BaseModel):
    """What a bundle is. Its bytes are the bundle's identity: the digest is their SHA-256."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: int
    task: str
    labels: list[str]
    label_counts: list[int]
    backbone: BackboneReference
    method: str
    metrics: dict[str, dict[str, float]]
    lineage: dict[str, Any]
    versions: dict[str, str]
    seed: int
    threads: int
    files: dict[str, str]
    tasks: dict[str, Learned] = {}
    """Of several tasks, by name; left out of the file where there is one."""

    def text(self) -> str:
        """The manifest as it lies on disk."""
        return canonical(self.model_dump(mode="json", exclude=None if self.tasks else {"tasks"}))

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest's bytes."""
        return hashlib.sha256(self.text().encode()).hexdigest()


def inventory(folder: Path) -> dict[str, str]:
    """SHA-256 of every file that belongs to the digest, by relative name."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: file_digest(path) for name, path in names.items() if name not in OUTSIDE}


def read(folder: Path) -> Manifest:
    """Reads and verifies a bundle's manifest and every file it names.

    Args:
        folder: The bundle.

    Returns:
        The manifest.

    Raises:
        BundleError: No bundle, of a newer format, a name that leaves the folder, a foreign or pickled file, or a file
            whose bytes are not the ones it was made with.
    """
    path = folder / NAME
    if not path.is_file():
        raise BundleError(
            "no manifest.json there", where=str(folder), expected="a bundle folder", remedy="`attune train` writes one"
        )
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        version = document["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"not a manifest: {error!r}", where=str(path), remedy="restore the bundle from its source"
        ) from None
    if not isinstance(version, int) or version > FORMAT:
        raise BundleError(
            f"bundle format {version}",
            where=str(path),
            expected=f"format {FORMAT} or older",
            remedy="upgrade attune; it is newer than this one",
        )
    try:
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        raise BundleError(
            f"not a manifest of format {FORMAT}: {error.errors()[0]['loc']}",
            where=str(path),
            remedy="restore the bundle",
        ) from None
    verify(folder, manifest)
    return manifest


def verify(folder: Path, manifest: Manifest) -> None:
    """Checks names and bytes of a bundle against its manifest."""
    for name in manifest.files:
        inside(folder, name)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise BundleError(
                f"{name} is a link", where=str(folder), expected="plain files", remedy="copy what it points to"
            )
        if path.is_file() and name not in manifest.files and name not in OUTSIDE:
            kind = "" if path.suffix in READABLE else "; attune unpickles nothing and runs nothing it finds"
            raise BundleError(
                f"{name} is not in the manifest{kind}",
                where=str(folder),
                expected="only the files the bundle was made with",
                remedy="remove that file if you put it there; else do not trust the bundle",
            )
    for name, expected in manifest.files.items():
        path = folder / name
        found = file_digest(path) if path.is_file() else "nothing"
        if found != expected:
            raise BundleError(
                f"{name} has SHA-256 {found}",
                where=str(folder),
                expected=expected,
                remedy="the file is damaged or was changed; restore the bundle from its source",
            )


def inside(folder: Path, name: str) -> None:
    """Refuses a name that leaves the folder or that attune would never read."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or not pure.parts:
        raise BundleError(
            f"the manifest names {name!r}, outside of the bundle",
            where=str(folder),
            expected="names inside the folder",
            remedy="do not trust this bundle",
        )
    if pure.suffix not in READABLE:
        raise BundleError(
            f"the manifest names {name!r}, a kind of file attune never reads",
            where=str(folder),
            expected=f"files ending in {', '.join(sorted(READABLE))}",
            remedy="do not trust this bundle; attune unpickles nothing",
        )
