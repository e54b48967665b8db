"""Two sets of answers brought into one label order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attune.core.records import Answers
from attune.errors import DataError
from attune.tasks.metrics import checked


def align(a: Answers, b: Answers) -> tuple[Answers, Answers]:
    """Brings two sets of answers to the same rows into one label order.

    Args:
        a: The first; its labels come first, in its order.
        b: The second. Labels only one of them knows get probability zero in the other.

    Returns:
        Both over the same labels, with equal gold.

    Raises:
        DataError: The number of rows, the kind of task or the gold labels differ.
    """
    checked(a)
    checked(b)
    where = f"{a.name} and {b.name}"
    if a.multi_label != b.multi_label:
        raise DataError("one is multi-label, the other is not", where=where, expected="answers to the same task")
    if len(a.gold) != len(b.gold):
        raise DataError(
            f"{len(a.gold)} rows against {len(b.gold)}",
            where=where,
            expected="answers to the same rows",
            remedy="evaluate both on the same file",
        )
    if a.labels != b.labels:
        labels = (*a.labels, *(label for label in b.labels if label not in set(a.labels)))
        a, b = relabelled(a, labels), relabelled(b, labels)
    differing = a.gold != b.gold
    rows = np.flatnonzero(differing.any(axis=1) if a.multi_label else differing)
    if len(rows):
        raise DataError(
            f"the gold labels of {len(rows)} rows differ, the first is row {int(rows[0]) + 1}",
            where=where,
            expected="answers to the same rows in the same order",
            remedy="evaluate both on the same file",
        )
    return a, b


def relabelled(answers: Answers, labels: tuple[str, ...]) -> Answers:
    """The same answers over a longer or reordered list of labels.

    Args:
        answers: Answers over K labels.
        labels: L ≥ K labels that hold all of theirs.

    Returns:
        Answers over `labels`, zero probability where a label is new.
    """
    place = {label: index for index, label in enumerate(labels)}
    moved = np.array([place[label] for label in answers.labels], dtype=np.int64)

    def spread(values: NDArray[Any]) -> NDArray[Any]:
        wide = np.zeros((len(values), len(labels)), dtype=values.dtype)
        wide[:, moved] = values
        return wide

    if answers.multi_label:
        gold, chosen = spread(answers.gold), spread(answers.chosen)
    else:
        gold, chosen = moved[answers.gold], moved[answers.chosen]
    return replace(answers, labels=labels, gold=gold, chosen=chosen, probabilities=spread(answers.probabilities))


def stacked(a: Answers, b: Answers) -> Answers:
    """Aligned answers one below the other: rows of `a`, then rows of `b`."""
    return replace(
        a,
        gold=np.concatenate([a.gold, b.gold]),
        chosen=np.concatenate([a.chosen, b.chosen]),
        probabilities=np.concatenate([a.probabilities, b.probabilities]),
    )


def right(answers: Answers) -> NDArray[np.bool_]:
    """Which rows are answered exactly right `(N,)`."""
    equal = answers.gold == answers.chosen
    return equal.all(axis=1) if answers.multi_label else equal
