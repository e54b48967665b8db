"""An index: texts with their vectors by one bundle, in which the nearest to a query are found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from attune.core.files import canonical, read_json, whole_folder
from attune.errors import BundleError, DataError
from attune.model.bundle import Bundle
from attune.model.manifest import file_digest
from attune.serving.nearest import finder, nearest

FORMAT = 1
NAME, VECTORS, TEXTS = "index.json", "vectors.safetensors", "texts.jsonl"
CHUNK = 1024
"""Texts that are read at a time."""


@dataclass(frozen=True, slots=True)
class Match:
    """A text that was found: its id, itself, and the cosine of its vector with the query's."""

    id: str
    text: str
    similarity: float


class Index:
    """Texts that are found by texts. Under 50,000 of them every one is compared; above, faiss looks at the near lists.

    Args:
        bundle: Whose vectors they are; it reads the queries.
        ids: N names, each once.
        texts: N texts.
        vectors: `(N, D)` of length one.
    """

    def __init__(self, bundle: Bundle, ids: Sequence[str], texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        self.bundle = bundle
        self.ids = list(ids)
        self.texts = list(texts)
        self.vectors = vectors
        self._finder = finder(vectors)

    def __len__(self) -> int:
        return len(self.ids)

    def search(self, texts: Sequence[str], count: int = 10) -> list[list[Match]]:
        """Finds texts.

        Args:
            texts: Q queries.
            count: How many to find for each.

        Returns:
            For each query what was found, the nearest first; equally near ones in the index's order.

        Raises:
            DataError: A query cannot be read, or nothing is asked for.
        """
        if count < 1:
            raise DataError(f"count is {count}", where="search", expected="at least 1")
        if not texts:
            return []
        queries = self.bundle.embed(texts, size=self.vectors.shape[1])
        return [
            [
                Match(self.ids[place], self.texts[place], float(similar))
                for place, similar in zip(places.tolist(), values, strict=True)
            ]
            for places, values in nearest(self.vectors, self._finder, queries, count)
        ]

    def save(self, folder: str | Path) -> Path:
        """Writes the index whole: vectors as safetensors, ids and texts as JSON lines; nothing that would be run.

        Args:
            folder: Where; replaced if there.

        Returns:
            The folder.
        """
        with whole_folder(Path(folder)) as target:
            save_file({"vectors": self.vectors}, target / VECTORS)
            with (target / TEXTS).open("w", encoding="utf-8") as stream:
                for name, text in zip(self.ids, self.texts, strict=True):
                    stream.write(json.dumps({"id": name, "text": text}, ensure_ascii=False) + "\n")
            known = {
                "format": FORMAT,
                "bundle": self.bundle.digest,
                "files": {name: file_digest(target / name) for name in (TEXTS, VECTORS)},
            }
            (target / NAME).write_text(canonical(known), encoding="utf-8")
        return Path(folder)


def build(bundle: Bundle, texts: Sequence[str], *, ids: Sequence[str] = (), size: int = 0) -> Index:
    """Reads texts into an index.

    Args:
        bundle: Whose vectors are taken.
        texts: N texts.
        ids: Their names; none: their numbers, counted from 0.
        size: Numbers of a vector; 0: as many as the bundle answers with.

    Returns:
        The index.

    Raises:
        DataError: There are no texts, some cannot be read, or ids are not one for each.
    """
    if not texts:
        raise DataError("no texts", where="index", expected="at least one")
    names = list(ids) or [str(number) for number in range(len(texts))]
    if len(names) != len(texts) or len(set(names)) < len(names):
        raise DataError(
            f"{len(names)} ids, {len(set(names))} of them different, for {len(texts)} texts",
            where="index", expected="one id a text, none twice", remedy="mend the ids, or leave them out",
        )  # fmt: skip
    source = iter(texts)
    chunks = iter(lambda: list(islice(source, CHUNK)), [])
    vectors = np.concatenate([bundle.embed(chunk, size=size) for chunk in chunks])
    return Index(bundle, names, texts, vectors)


def load(folder: Path, bundle: Bundle) -> Index:
    """Opens an index that was saved.

    Args:
        folder: Where.
        bundle: The one that it was made with.

    Returns:
        The index.

    Raises:
        BundleError: It is damaged, no index, or another bundle's.
    """
    try:
        known = checked(folder, bundle)
        vectors = load_file(folder / VECTORS)["vectors"]
        rows: list[dict[str, Any]] = [
            json.loads(line) for line in (folder / TEXTS).read_text(encoding="utf-8").split("\n")[:-1]
        ]
        if not len(rows) == len(vectors) > 0 or known["format"] != FORMAT or vectors.dtype != np.float32:
            raise ValueError(f"{len(rows)} texts, vectors {vectors.shape} of {vectors.dtype}, format {known['format']}")
        return Index(bundle, [row["id"] for row in rows], [row["text"] for row in rows], vectors)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise BundleError(
            f"is no index that can be read: {error}", where=str(folder), expected=f"{NAME}, {TEXTS} and {VECTORS}",
            remedy="make it anew with attune.index",
        ) from error  # fmt: skip


def checked(folder: Path, bundle: Bundle) -> dict[str, Any]:
    """What an index says of itself, where it is this bundle's and its files are as they were written."""
    known = read_json(folder / NAME)
    if known["bundle"] != bundle.digest:
        raise BundleError(
            f"was made with the bundle {known['bundle'][:12]}, and vectors of two bundles do not compare",
            where=str(folder), expected=f"an index of the bundle {bundle.digest[:12]}",
            remedy="load the bundle that it was made with, or make the index anew",
        )  # fmt: skip
    for name in (TEXTS, VECTORS):
        if file_digest(folder / name) != known["files"][name]:
            raise BundleError(
                f"{name} is not the file that was written", where=str(folder),
                expected=f"SHA-256 {known['files'][name]}", remedy="restore the index, or make it anew",
            )  # fmt: skip
    return known
