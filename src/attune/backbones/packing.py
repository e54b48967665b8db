"""A token as one int32: its id in the low 24 bits, its type in the next 4, the number of its piece in the next 3.

So a row stays one flat array, in memory and in the files that are mapped into it, whatever is read of it. Of a row that
is one text both are zero, and the numbers are the ids as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TYPE, PIECE = 24, 28
"""The lowest bits of type and piece; no vocabulary comes near 2^24 tokens."""
ID_MASK, TYPE_MASK = (1 << TYPE) - 1, (1 << (PIECE - TYPE)) - 1

Tokens = NDArray[np.int32]


def with_types(ids: Tokens, types: Sequence[int]) -> Tokens:
    """Ids with their token types, each `(T,)`."""
    return ids | (np.asarray(types, dtype=np.int32) << TYPE)


def as_pieces(pieces: Sequence[Tokens]) -> Tokens:
    """Up to eight pieces as one row, `(T1,)`, `(T2,)`, … to `(T1 + T2 + …,)`."""
    return np.concatenate([piece | np.int32(number << PIECE) for number, piece in enumerate(pieces)])


def pieces_of(row: Tokens) -> list[Tokens]:
    """The pieces of a row, in order; their numbers are left in them."""
    return np.split(row, np.flatnonzero(np.diff(row >> PIECE)) + 1)


def ids_of(row: Tokens) -> Tokens:
    """Token ids alone."""
    return row & ID_MASK


def types_of(row: Tokens) -> Tokens:
    """Token types alone."""
    return (row >> TYPE) & TYPE_MASK
