"""Single rows worth reading: the most confident errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np

from attune.core.records import Answers, Scores
from attune.core.texts import displayed
from attune.errors import DataError
from attune.evaluation.measured import Given, right
from attune.tasks.metrics import Floats

EXCERPT = 240
"""Characters of a text that are shown."""


class Wrong(TypedDict):
    """One row answered wrong. `confidence` is the probability given to the surest wrong decision in it."""

    id: str
    text: str
    gold: list[str]
    chosen: list[str]
    confidence: float


def excerpt(text: str) -> str:
    """The start of a text on one line; of a pair that of each of its texts."""
    return displayed(text, EXCERPT, lambda part: " ".join(part.split()))


def names(answers: Given, values: Any, row: int) -> list[str]:
    """The labels of one row of `gold` or `chosen`, by name; of another task what stands there, in words."""
    if not isinstance(answers, Answers):
        return answers.words(values[row])
    indices = np.flatnonzero(values[row]) if answers.multi_label else [values[row]]
    return [answers.labels[int(index)] for index in indices]


def wrong_confidence(answers: Answers) -> Floats:
    """The probability each row gives to its surest wrong decision `(N,)`, zero where it makes none.

    A wrong decision is a label chosen that is not gold (its probability) or, multi-label, a gold label left out (one
    less its probability).
    """
    probabilities = answers.probabilities.astype(np.float64)
    if answers.multi_label:
        sure = np.where(answers.chosen, probabilities, 1 - probabilities)
        return np.where(answers.chosen != answers.gold, sure, 0.0).max(axis=1)
    return np.where(right(answers), 0.0, probabilities[np.arange(len(answers.chosen)), answers.chosen])


def worst(answers: Given, texts: Sequence[str], ids: Sequence[str], count: int = 20) -> list[Wrong]:
    """The rows answered wrong with the greatest confidence, surest first; of numbers those furthest off.

    Args:
        answers: N rows.
        texts: Their texts; an excerpt of 240 characters is kept.
        ids: Their ids.
        count: How many at most.

    Returns:
        The rows.
    """
    sure = sureness(answers)
    wrong = np.flatnonzero(~right(answers))
    grave = answers.gravity() if isinstance(answers, Scores) else sure
    order = wrong[np.argsort(-grave[wrong], kind="stable")][:count]
    return [
        {
            "id": str(ids[row]),
            "text": excerpt(texts[row]),
            "gold": names(answers, answers.gold, row),
            "chosen": names(answers, answers.chosen, row),
            "confidence": float(sure[row]),
        }
        for row in map(int, order)
    ]


def sureness(answers: Given) -> Floats:
    """How sure the wrong rows are `(N,)`; zero where the task says nothing of that."""
    if isinstance(answers, Answers):
        return wrong_confidence(answers)
    return np.zeros(len(answers.gold)) if answers.confidence is None else answers.confidence


def check_rows(answers: Given, texts: Sequence[str], ids: Sequence[str]) -> None:
    """Refuses texts or ids that are not one for each row."""
    if not len(answers.gold) == len(texts) == len(ids):
        raise DataError(
            f"{len(answers.gold)} answers, {len(texts)} texts and {len(ids)} ids",
            where=answers.name,
            expected="as many of each",
        )
