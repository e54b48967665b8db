"""Tags: spans as a sequence of begin, inside, end and single, and the best legal sequence of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attune.core.records import Span

NEVER = -1e4
"""Score of a step that is not legal; finite, so that sums of it stay numbers."""

Floats = NDArray[np.float32]
Transitions = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
"""Scores `(K, K)` of a tag after a tag, `(K,)` of a tag at the start, `(K,)` of a tag at the end."""


@dataclass(frozen=True)
class Sequenced:
    """The best sequence of one text.

    Attributes:
        tags: `(U,)`.
        chances: `(U,)` probability of each of those tags.
        margin: By how much the closest of them is ahead of the second.
    """

    tags: NDArray[np.int64]
    chances: Floats
    margin: float


class Scheme:
    """The tags of some labels: `O`, and for each label its own.

    Args:
        name: `bio` or `bioes`.
        labels: Label names, in order.
    """

    def __init__(self, name: str, labels: Sequence[str]) -> None:
        self.kinds = "BI" if name == "bio" else "BIES"
        self.labels = tuple(labels)

    def tags_of(self) -> list[tuple[str, str]]:
        """Every tag as its kind and label."""
        return [("O", ""), *((kind, label) for label in self.labels for kind in self.kinds)]

    def tags(self, gold: Sequence[Mapping[str, Any]], units: NDArray[np.int64]) -> tuple[NDArray[np.int32], int]:
        """Tags of the units of one text.

        Args:
            gold: Spans `{start, end, label}` in order, apart.
            units: `(U, 2)` first and end character of each unit.

        Returns:
            `(U,)`, and how many spans do not begin and end with a unit; those cover every unit that they touch.
        """
        found = np.zeros(len(units), dtype=np.int32)
        lost = 0
        for span in gold:
            within = np.flatnonzero((units[:, 0] < span["end"]) & (units[:, 1] > span["start"]))
            if span["label"] not in self.labels:
                continue
            if not len(within) or units[within[0], 0] != span["start"] or units[within[-1], 1] != span["end"]:
                lost += 1
            place = 1 + len(self.kinds) * self.labels.index(span["label"])
            for number, unit in enumerate(within):
                found[unit] = place + self._kind(number, len(within))
        return found, lost

    def _kind(self, number: int, count: int) -> int:
        if self.kinds == "BI":
            return int(number > 0)
        if count == 1:
            return 3
        return 0 if number == 0 else 2 if number == count - 1 else 1

    def legal(self) -> Transitions:
        """Scores of zero for steps that may be, and `NEVER` for those that may not."""
        tags = self.tags_of()
        ends = {"O", "E", "S"} if len(self.kinds) == 4 else {"O", "B", "I"}
        step = [[self._follows(one, other, ends) for other in tags] for one in tags]
        start = [kind in "OBS" for kind, _ in tags]
        end = [kind in ends for kind, _ in tags]
        return as_scores(step), as_scores(start), as_scores(end)

    def _follows(self, one: tuple[str, str], other: tuple[str, str], ends: set[str]) -> bool:
        if other[0] in ("I", "E"):
            return one[0] in ("B", "I") and one[1] == other[1]
        return one[0] in ends

    def spans(self, tags: NDArray[np.int64], units: NDArray[np.int64], chances: Floats, text: str) -> list[Span]:
        """Spans of a legal sequence.

        Args:
            tags: `(U,)`.
            units: `(U, 2)`.
            chances: `(U,)`; a span is as sure as its least certain tag.
            text: The text.

        Returns:
            In order.
        """
        kinds = self.tags_of()
        found: list[Span] = []
        begin = 0
        for place, tag in enumerate(tags):
            kind, label = kinds[tag]
            if kind in ("B", "S"):
                begin = place
            following = kinds[tags[place + 1]] if place + 1 < len(tags) else ("O", "")
            if kind != "O" and following[0] not in ("I", "E"):
                start, end = int(units[begin, 0]), int(units[place, 1])
                sure = float(chances[begin : place + 1].min())
                found.append(Span(start, end, label, text[start:end], sure))
        return found


def as_scores(allowed: Any) -> Floats:
    """Zero where something is allowed, else `NEVER`."""
    return np.where(np.asarray(allowed), 0.0, NEVER).astype(np.float32)


def decode(scores: Floats, transitions: Transitions, *, whole: bool) -> Sequenced:
    """The best sequence of tags by the Viterbi algorithm, and how sure it is of each.

    Args:
        scores: `(U, K)` logits.
        transitions: Scores of steps.
        whole: Whether the scores are those of whole sequences (a CRF), so that probabilities are marginals; else each
            unit has a distribution of its own.

    Returns:
        The sequence; empty where there is no unit.
    """
    if not len(scores):
        return Sequenced(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32), 1.0)
    wide = np.asarray(scores, dtype=np.float64)
    chances = marginals(wide, transitions) if whole else softmax(wide)
    tags = viterbi(wide - logsumexp(wide)[:, None], transitions)
    own = chances[np.arange(len(tags)), tags]
    others = chances.copy()
    others[np.arange(len(tags)), tags] = -1.0
    margin = float((own - others.max(axis=1)).min())
    return Sequenced(tags, own.astype(np.float32), abs(margin))


def viterbi(scores: NDArray[np.float64], transitions: Transitions) -> NDArray[np.int64]:
    """The sequence with the greatest sum of scores `(U,)`, of scores `(U, K)`."""
    step, start, end = transitions
    best = scores[0] + start
    back: list[NDArray[np.int64]] = []
    for row in scores[1:]:
        through = best[:, None] + step
        back.append(through.argmax(axis=0))
        best = through.max(axis=0) + row
    tags = [int((best + end).argmax())]
    for places in reversed(back):
        tags.append(int(places[tags[-1]]))
    return np.asarray(tags[::-1], dtype=np.int64)


def marginals(scores: NDArray[np.float64], transitions: Transitions) -> NDArray[np.float64]:
    """Probability of each tag of each unit `(U, K)` under a linear-chain CRF (Lafferty et al. 2001), by the
    forward–backward algorithm."""
    step, start, end = transitions
    forward, backward = np.empty_like(scores), np.empty_like(scores)
    forward[0], backward[-1] = scores[0] + start, end
    for place in range(1, len(scores)):
        forward[place] = scores[place] + logsumexp((forward[place - 1][:, None] + step).T)
    for place in range(len(scores) - 2, -1, -1):
        backward[place] = logsumexp(step + scores[place + 1] + backward[place + 1])
    return softmax(forward + backward)


def logsumexp(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the last axis."""
    top = values.max(axis=-1, keepdims=True)
    return (top + np.log(np.exp(values - top).sum(axis=-1, keepdims=True)))[..., 0]


def softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the last axis."""
    return np.exp(values - logsumexp(values)[..., None])
