"""The ends of an answer among the tokens of a context: where it stands in windows, and the best one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
"""Answers of a row that are told."""
MANY = 64
"""Likeliest answers of a window that are compared with one another."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """One possible answer.

    Attributes:
        start: Its first character in the context.
        end: The first one after it.
        score: Logarithm of the probability that its window gives to its two ends.
        worth: What it is chosen by: that probability, or what it is expected to share with the right answer.
    """

    start: int
    end: int
    score: float
    worth: float


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
        At most `MANY`, likeliest first; and the logarithm of the probability that there is none.
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
    order = np.argsort(-both, axis=None, kind="stable")[:MANY]
    pairs = [divmod(int(place), len(context)) for place in order]
    return [
        Found(int(places[context[i], 0]), int(places[context[j], 1]), float(both[i, j]), float(np.exp(both[i, j])))
        for i, j in pairs
        if np.isfinite(both[i, j])
    ], nowhere


def best(windows: Sequence[tuple[list[Found], float]], *, shared: bool = False) -> tuple[list[Found], float]:
    """The best answers of all windows of a row, each once, best first; and how probable it is that none has one.

    Args:
        windows: What `best_of_window` found in each.
        shared: Whether an answer is as good as what it is expected to share with the right one, rather than as probable
            as it is.

    Returns:
        At most `FEW` answers, the likeliest among them, and the least of the windows' logarithms: one window that is
        sure of an answer is enough.
    """
    known: dict[tuple[int, int], Found] = {}
    for found in (one for some, _ in windows for one in some):
        place = (found.start, found.end)
        if place not in known or found.score > known[place].score:
            known[place] = found
    likeliest = sorted(known.values(), key=lambda found: -found.score)
    nowhere = min(nowhere for _, nowhere in windows)
    if not shared or not likeliest:
        return likeliest[:FEW], nowhere
    gains = zip(likeliest, expected(likeliest), strict=True)
    order = sorted((replace(found, worth=float(gain)) for found, gain in gains), key=lambda found: -found.worth)
    top = next(found for found in order if found.score == likeliest[0].score)
    return [*order[: FEW - 1], *(order[FEW - 1 : FEW] if top in order[:FEW] else [top])], nowhere


def expected(answers: Sequence[Found]) -> NDArray[np.float64]:
    """F1 of characters that each answer is expected to share with the right one, which is one of them.

    Minimum Bayes risk (Goel & Byrne 2000): where many answers with other ends are about as probable, the likeliest is
    often a short or a long one by chance, and one in their midst is nearer to all.

    Args:
        answers: With their probabilities.

    Returns:
        `(N,)`, up to the probability that all of them have together.
    """
    start, end = (np.array([getattr(one, name) for one in answers], dtype=np.float64) for name in ("start", "end"))
    common = np.minimum(end[:, None], end) - np.maximum(start[:, None], start)
    length = end - start
    f1 = 2 * common.clip(min=0) / (length[:, None] + length)
    return f1 @ np.exp([one.score for one in answers])
