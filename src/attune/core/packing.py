"""A token as one int64: its id in the low 24 bits, its type in the next 4, its mark in the next 4, its piece above.

So a row stays one flat array, in memory and in the files that are mapped into it, whatever is read of it. Of a row that
is one text all but the id are zero, and the numbers are the ids as they are. Marks are the task's: they tell the tokens
that an answer is about, and no backbone reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

TYPE, MARK, PIECE = 24, 28, 32
"""The lowest bits of type, mark and piece; no vocabulary comes near 2^24 tokens."""
ID_MASK, TYPE_MASK, MARK_MASK = (1 << TYPE) - 1, (1 << (MARK - TYPE)) - 1, (1 << (PIECE - MARK)) - 1

IGNORED = -100
"""The target of a token that nothing is learned from; torch's own."""

Tokens = NDArray[np.int64]


def with_types(ids: Tokens, types: Sequence[int]) -> Tokens:
    """Ids with their token types, each `(T,)`."""
    return ids | (np.asarray(types, dtype=np.int64) << TYPE)


def with_marks(ids: Tokens, marks: Sequence[int] | NDArray[np.integer]) -> Tokens:
    """Tokens with marks of 0 to 15, each `(T,)`."""
    return ids | (np.asarray(marks, dtype=np.int64) << MARK)


def unmarked(row: Tokens) -> Tokens:
    """Tokens without their marks."""
    return row & ~np.int64(MARK_MASK << MARK)


def as_pieces(pieces: Sequence[Tokens]) -> Tokens:
    """Pieces as one row, `(T1,)`, `(T2,)`, … to `(T1 + T2 + …,)`."""
    return np.concatenate([piece | (np.int64(number) << PIECE) for number, piece in enumerate(pieces)])


def in_one(rows: Sequence[Tokens]) -> Tokens:
    """Rows one after the other as one row of all their pieces."""
    return as_pieces([piece & ((1 << PIECE) - 1) for row in rows for piece in pieces_of(row)])


def pieces_of(row: Tokens) -> list[Tokens]:
    """The pieces of a row, in order; their numbers are left in them."""
    return np.split(row, np.flatnonzero(np.diff(row >> PIECE)) + 1)


def by_piece(values: NDArray[Any], row: Tokens) -> list[NDArray[Any]]:
    """What is known of all tokens of a row, `(T, …)`, piece by piece."""
    return np.split(values, np.cumsum([len(piece) for piece in pieces_of(row)])[:-1])


def ids_of(row: Tokens) -> Tokens:
    """Token ids alone."""
    return row & ID_MASK


def types_of(row: Tokens) -> Tokens:
    """Token types alone."""
    return (row >> TYPE) & TYPE_MASK


def marks_of(row: Tokens) -> Tokens:
    """Marks alone."""
    return (row >> MARK) & MARK_MASK
