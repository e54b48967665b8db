"""The ends of an answer among the tokens of a context: where it stands in windows, and the best one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from attune.core.packing import IGNORED

CONTEXT, NOWHERE = 1, 2
"""Marks: of the context's tokens, and of the special token of each window that stands for no answer."""
START, END = 1, 2
"""Bits of a token's target: an answer begins with it, or ends with it."""
FEW = 4
"""Best answers of a window that are looked at."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """One possible answer.

    Attributes:
        start: Its first character in the context.
        end: The first one after it.
        score: Logarithm of the probability that its window gives to its two ends.
    """

    start: int
    end: int
    score: float


def marks_of_window(places: Ints) -> Ints:
    """Marks of the tokens of one window `(T,)`: of the context's, and of the last special one.

    That one is read behind the context, so that a causal backbone too has seen all of it.
    """
    marks = np.where(places[:, 3] == 1, CONTEXT, 0)
    marks[np.flatnonzero(places[:, 3] < 0)[-1]] = NOWHERE
    return marks


def targets_of_window(
    places: Ints, answers: Sequence[Mapping[str, Any]], longest: int
) -> tuple[NDArray[np.int32], bool]:
    """Targets of the tokens of one window.

    Args:
        places: `(T, 4)`, as `Encoding.places` has them.
        answers: What is right for the row.
        longest: Tokens of the longest answer.

    Returns:
        `(T,)`: bits of the first answer that lies in the window, or both on the token that stands for none; `IGNORED`
        where no answer can begin or end. And whether there was such an answer.
    """
    marks = marks_of_window(places)
    targets = np.where(marks > 0, 0, IGNORED).astype(np.int32)
    for answer in answers:
        first, last = (token_at(places, at) for at in (answer["start"], answer["end"] - 1))
        if first is not None and last is not None and last - first < longest:
            targets[first] |= START
            targets[last] |= END
            return targets, True
    targets[marks == NOWHERE] = START | END
    return targets, False


def token_at(places: Ints, character: int) -> int | None:
    """The token of the context that a character belongs to; none where no token of the window does."""
    found = np.flatnonzero((places[:, 3] == 1) & (places[:, 0] <= character) & (character < places[:, 1]))
    return int(found[0]) if len(found) else None


def best_of_window(outputs: NDArray[Any], marks: Ints, places: Ints, longest: int) -> tuple[list[Found], float]:
    """The best answers of one window.

    Args:
        outputs: `(T, 2)`, logits of beginning and end.
        marks: `(T,)`.
        places: `(T, 4)`.
        longest: Tokens of the longest answer.

    Returns:
        At most `FEW`, best first; and the logarithm of the probability that there is none.
    """
    able = np.flatnonzero(marks > 0)
    scores = log_softmax(outputs[able].astype(np.float64), axis=0)
    nowhere = float(scores[marks[able] == NOWHERE].sum())
    context = able[marks[able] == CONTEXT]
    if not len(context):
        return [], nowhere
    begin, end = scores[marks[able] == CONTEXT].T
    both = begin[:, None] + end[None, :]
    both[np.tril_indices(len(context), -1)] = -np.inf
    both[np.triu_indices(len(context), longest)] = -np.inf
    order = np.argsort(-both, axis=None, kind="stable")[:FEW]
    pairs = [divmod(int(place), len(context)) for place in order]
    return [
        Found(int(places[context[i], 0]), int(places[context[j], 1]), float(both[i, j]))
        for i, j in pairs
        if np.isfinite(both[i, j])
    ], nowhere


def best(windows: Sequence[tuple[list[Found], float]]) -> tuple[list[Found], float]:
    """The best answers of all windows of a row, each once, best first; and how probable it is that none has one.

    Args:
        windows: What `best_of_window` found in each.

    Returns:
        Answers, and the least of the windows' logarithms: one window that is sure of an answer is enough.
    """
    known: dict[tuple[int, int], Found] = {}
    for found in (one for some, _ in windows for one in some):
        place = (found.start, found.end)
        if place not in known or found.score > known[place].score:
            known[place] = found
    return sorted(known.values(), key=lambda found: -found.score), min(nowhere for _, nowhere in windows)
