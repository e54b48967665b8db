"""Documents as segments that follow each other, and two segments as one sequence of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from attune.core.packing import ids_of, types_of, with_types
from attune.core.records import Input
from attune.core.texts import FIRST, text_of_tokens
from attune.tasks.common.sentences import Units, sentences

GROUP, FILE, LINE = "group", "file", "line"
BESIDE = (GROUP, FILE, LINE)
"""Columns that say of which document a row is, and whether it follows the row before it."""
TRIES = 16
"""Draws after which a row of another document is looked for among those alone."""
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Pair:
    """Two segments of a document, the second next after the first.

    Attributes:
        first: A text.
        second: A text.
        owner: The row in which the first begins.
        key: The document, by a hash that is not negative.
    """

    first: str
    second: str
    owner: int
    key: int


def pairs_of(rows: Sequence[Mapping[str, Any]], size: int, units: Units) -> list[Pair]:
    """Every two neighbouring segments of every document.

    A document is a row; where rows have a group, as the documents of a plain text file, it is the rows of a group that
    stand one after the other in one file. A row that is missing in between parts it, for its neighbours do not follow
    each other.

    Args:
        rows: With a text, and perhaps `group`, `file` and `line`.
        size: Sentences of a segment; the last of a document may have fewer.
        units: What a sentence is (`attune.tasks.common.sentences`).

    Returns:
        Pairs, in order; a document of n segments has n − 1.
    """
    return [pair for document in documents(rows) for pair in neighbours(rows, document, size, units)]


def documents(rows: Sequence[Mapping[str, Any]]) -> Iterator[list[int]]:
    """The numbers of the rows of each document."""
    begun: list[int] = []
    for number, row in enumerate(rows):
        if begun and not follows(rows[begun[-1]], row):
            yield begun
            begun = []
        begun.append(number)
    if begun:
        yield begun


def follows(row: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a row goes on with the document of the row before it."""
    return (
        row.get(GROUP) is not None
        and (row[GROUP], row.get(FILE)) == (after.get(GROUP), after.get(FILE))
        and after.get(LINE, 1) == row.get(LINE, 0) + 1
    )


def neighbours(rows: Sequence[Mapping[str, Any]], document: Sequence[int], size: int, units: Units) -> Iterator[Pair]:
    """Every two neighbouring segments of one document."""
    key = key_of(rows[document[0]])
    told = [
        (" ".join(rows[number][FIRST][begin:end].split()), number)
        for number in document
        for begin, end in sentences(rows[number][FIRST], units)
    ]
    made = [
        (text_of_tokens([text for text, _ in told[at : at + size]]), told[at][1]) for at in range(0, len(told), size)
    ]
    for (first, owner), (second, _) in pairwise(made):
        yield Pair(first, second, owner, key)


def key_of(row: Mapping[str, Any]) -> int:
    """What the document of a row is known by: its file and group, or the row's text."""
    told = row[FIRST] if row.get(GROUP) is None else f"{row.get(FILE, '')}\x1f{row[GROUP]}"
    return xxhash.xxh64_intdigest(told.encode()) >> 1


@dataclass(frozen=True)
class Corpus:
    """What pairs of other documents are drawn from.

    Attributes:
        keys: `(N,)` the document of each pair.
    """

    keys: Ids

    @property
    def several(self) -> bool:
        """Whether there is another document for each."""
        return len(self.keys) > 0 and bool((self.keys != self.keys[0]).any())

    def other(self, key: int, draw: np.random.Generator) -> int:
        """A pair of another document, all pairs of such being as likely.

        Args:
            key: The document.
            draw: Source of chance.

        Returns:
            The pair's number.
        """
        for _ in range(TRIES):
            found = int(draw.integers(len(self.keys)))
            if self.keys[found] != key:
                return found
        return int(draw.choice(np.flatnonzero(self.keys != key)))


@dataclass(frozen=True)
class Frame:
    """What a tokenizer puts around two texts that are one sequence; ids with their types.

    Attributes:
        before: Special tokens before the first text.
        between: Those between the two.
        after: Those after the second.
        types: Token types of the two texts.
    """

    before: Ids
    between: Ids
    after: Ids
    types: tuple[int, int]

    @classmethod
    def of(cls, backbone: Any) -> Frame:
        """The frame of a backbone's tokenizer, read off a pair of two letters."""
        encoding = backbone.encode([Input("a", pair="b")], placed=True)
        ids, text = encoding.ids[0], encoding.places[0][:, 3]
        first, second = np.flatnonzero(text == 0), np.flatnonzero(text == 1)
        types = types_of(ids)
        return cls(
            ids[: first[0]],
            ids[first[-1] + 1 : second[0]],
            ids[second[-1] + 1 :],
            (int(types[first[0]]), int(types[second[0]])),
        )

    @property
    def room(self) -> int:
        """Special tokens of a sequence."""
        return len(self.before) + len(self.between) + len(self.after)

    def around(self, first: Ids, second: Ids, most: int) -> Ids:
        """Two texts as the tokenizer would read them: of a sequence that is too long the longer text is cut.

        Args:
            first: `(T1,)` bare ids.
            second: `(T2,)` bare ids.
            most: Tokens of a whole sequence.

        Returns:
            Ids with their types, at most `most`.
        """
        one, two = shares(len(first), len(second), most - self.room)
        parts = [(first[:one], self.types[0]), (second[:two], self.types[1])]
        typed = [with_types(ids_of(ids), np.full(len(ids), kind).tolist()) for ids, kind in parts]
        return np.concatenate([self.before, typed[0], self.between, typed[1], self.after])


def shares(first: int, second: int, room: int) -> tuple[int, int]:
    """Tokens that are kept of two texts, as the tokenizers library's `longest_first` has it.

    Args:
        first: Tokens of the first text.
        second: Tokens of the second.
        room: Tokens that there is room for.

    Returns:
        Tokens kept of each.
    """
    if first + second <= room:
        return first, second
    short, long = sorted((first, second))
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short, long = room // 2, room - room // 2
    return (long, short) if first > second else (short, long)
