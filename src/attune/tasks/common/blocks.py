"""Texts joined and cut into blocks, so that nothing is padded and nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attune.core.encoding import Encoding
from attune.core.packing import ids_of, pieces_of, with_marks

Lines = NDArray[np.int64]
"""`(T, C)`: a line a token, its id (with marks) first, and what else is known of it."""


@dataclass(frozen=True)
class Contents:
    """Texts without what a tokenizer puts around them.

    Attributes:
        rows: For each text the ids of its tokens `(T,)`; a token that goes on a word is marked with 1.
        before: Ids of the special tokens before a text.
        after: Ids of those after it.
    """

    rows: list[NDArray[np.int64]]
    before: NDArray[np.int64]
    after: NDArray[np.int64]


def contents(encoding: Encoding, *, words: bool) -> Contents:
    """Takes the special tokens from texts that were read in windows without overlap.

    Args:
        encoding: One entry a text, with places.
        words: Whether to mark tokens that go on a word.

    Returns:
        The tokens of each text, however many windows it was read in.

    Raises:
        ValueError: The encoding tells no places.
    """
    if encoding.places is None:
        raise ValueError("an encoding without places")
    rows: list[NDArray[np.int64]] = []
    edges: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
    for ids, places in zip(encoding.ids, encoding.places, strict=True):
        inner = places[:, 3] >= 0
        window = len(pieces_of(ids)[0])
        if edges is None and inner[:window].any():
            edges = edges_of(ids_of(ids)[:window], inner[:window])
        word = places[inner, 2]
        on = np.zeros(len(word), dtype=np.int64)
        on[1:] = words & (word[1:] == word[:-1]) & (word[1:] >= 0)
        rows.append(with_marks(ids_of(ids)[inner], on))
    nothing = np.zeros(0, dtype=np.int64)
    return Contents(rows, *(edges or (nothing, nothing)))


def edges_of(ids: NDArray[np.int64], inner: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The special tokens before the first token of a text, and those after the last."""
    own = np.flatnonzero(inner)
    return ids[: own[0]], ids[own[-1] + 1 :]


def cut(rows: Sequence[Lines], before: Lines, after: Lines, length: int) -> list[Lines]:
    """Joins texts and cuts them into blocks; the last block is shorter.

    Args:
        rows: The lines of each text, without special tokens.
        before: Lines that begin a block.
        after: Lines that end a block, and that stand between two texts.
        length: Lines of a whole block.

    Returns:
        Blocks of at most `length` lines, every line of the rows in one of them, in order.
    """
    parts: list[Lines] = []
    for row in rows:
        if len(row):
            parts += [after, row] if parts else [row]
    if not parts:
        return []
    flat = np.concatenate(parts)
    room = max(1, length - len(before) - len(after))
    return [np.concatenate([before, flat[at : at + room], after]) for at in range(0, len(flat), room)]


def overlapping(flat: Lines, length: int) -> list[Lines]:
    """Cuts lines into blocks, each of which begins with the last line of the one before it; the last is shorter.

    Args:
        flat: `(T, C)`.
        length: Lines of a whole block, at least two.

    Returns:
        Blocks; each line but the first is in one of them as another than its first.
    """
    return [flat[at : at + length] for at in range(0, max(len(flat) - 1, 1), length - 1)]


def beside(ids: NDArray[np.int64], *values: int) -> Lines:
    """Lines of tokens that all have the same values beside their ids."""
    return np.column_stack([ids, *(np.full(len(ids), value, dtype=np.int64) for value in values)])


def encoded(blocks: Sequence[Lines], unknown: int | None, around: int) -> Encoding:
    """Blocks as rows to learn from.

    Args:
        blocks: From `cut`.
        unknown: Id of the token that stands for unknown ones.
        around: Special tokens that begin and end a block, which do not count as words.

    Returns:
        The encoding, nothing truncated.
    """
    ids = [block[:, 0] for block in blocks]
    return Encoding(
        ids=ids,
        truncated=np.zeros(len(ids), dtype=np.bool_),
        unknown=np.asarray([int((ids_of(row) == unknown).sum()) for row in ids], dtype=np.int64),
        words=np.asarray([len(row) - around for row in ids], dtype=np.int64),
        longest=max(map(len, ids), default=0),
    )
