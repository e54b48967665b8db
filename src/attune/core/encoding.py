"""Rows as a backbone reads them: token ids, ragged, on the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attune.core.packing import as_pieces


@dataclass(frozen=True)
class Encoding:
    """Rows as token ids, ragged, on the host.

    Attributes:
        ids: One int64 array a row, special tokens included; token types and pieces are packed above the ids
            (`attune.core.packing`), and are zero where a row is one text.
        truncated: `(N,)` bool: the row had more tokens than the backbone reads.
        unknown: `(N,)` int64: tokens the vocabulary does not hold.
        words: `(N,)` int64: tokens that are not special.
        longest: Tokens of the longest thing read.
        places: Where each token stands, for a task that asks for it: an int64 array `(T, 4)` a row of the first and the
            end character, the word, and the text (0, or 1 for the second) it is of; −1 for special tokens.
    """

    ids: list[NDArray[np.int64]]
    truncated: NDArray[np.bool_]
    unknown: NDArray[np.int64]
    words: NDArray[np.int64]
    longest: int
    places: list[NDArray[np.int64]] | None = None

    def grouped(self, counts: Sequence[int]) -> Encoding:
        """What was read one after the other as the pieces of one row: as many a row as `counts` says."""
        if all(count == 1 for count in counts):
            return self
        starts = np.cumsum([0, *counts[:-1]])
        rows = [self.ids[at : at + count] for at, count in zip(starts, counts, strict=True)]
        places = self.places
        return Encoding(
            ids=[as_pieces(row) for row in rows],
            truncated=np.logical_or.reduceat(self.truncated, starts),
            unknown=np.add.reduceat(self.unknown, starts),
            words=np.add.reduceat(self.words, starts),
            longest=self.longest,
            places=None
            if places is None
            else [np.concatenate(places[at : at + count]) for at, count in zip(starts, counts, strict=True)],
        )
