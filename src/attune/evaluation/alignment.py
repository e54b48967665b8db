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
        a: The first; its labels come first, in its order. Where only one has ordered labels, its order holds for both.
        b: The second. Labels only one of them knows get probability zero in the other.

    Returns:
        Both over the same labels, with equal gold. Where one has labels with an order or with parents, both have.

    Raises:
        DataError: The number of rows, the kind of task, the order of labels or the gold labels differ.
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
    turned = b.ordered and not a.ordered
    a, b = alike(a, b)
    if a.labels != b.labels:
        first, second = (b, a) if turned else (a, b)
        labels = (*first.labels, *(label for label in second.labels if label not in set(first.labels)))
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


def alike(a: Answers, b: Answers) -> tuple[Answers, Answers]:
    """Gives both what one of them knows of the labels: their order, and what parts them from their parents.

    Args:
        a: The first.
        b: The second; one of them may come from a task that knows nothing but names.

    Returns:
        Both, alike in this.

    Raises:
        DataError: They know different things, or one has labels that are not in the other's order.
    """
    orders = {one.labels for one in (a, b) if one.ordered}
    separators = {one.separator for one in (a, b) if one.separator}
    outside = sorted({*a.labels, *b.labels}.difference(*orders)) if orders else []
    if len(orders) > 1 or len(separators) > 1 or outside:
        raise DataError(
            f"{', '.join(map(repr, outside))} not in the order of labels of the other"
            if outside
            else "they do not agree on the order of labels, or on what parts them from their parents",
            where=f"{a.name} and {b.name}",
            expected="task.order and task.hierarchy that are the same, or that only one has",
        )
    known: dict[str, Any] = {"ordered": bool(orders), "separator": "".join(separators)}
    return replace(a, **known), replace(b, **known)


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
