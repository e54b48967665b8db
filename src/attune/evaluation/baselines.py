"""What a result is shown beside: the answers that cost next to nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attune.core.records import Answers
from attune.errors import DataError
from attune.evaluation.tfidf import tfidf
from attune.tasks.common.names import readable
from attune.tasks.heads.descriptions import SCALE
from attune.tasks.metrics import Floats

__all__ = ["majority", "tfidf", "zero_shot"]

Embed = Callable[[list[str]], NDArray[Any]]

TEMPERATURE = 1 / SCALE
"""Divides cosines before they become probabilities, as in the descriptions head."""


def majority(labels: Sequence[str], train_gold: NDArray[Any], gold: NDArray[Any]) -> Answers:
    """Answers every row alike: with the most frequent label, or the most frequent set of labels.

    Args:
        labels: K label names.
        train_gold: Gold of the training rows, `(M,)` indices or `(M, K)` bool.
        gold: Gold of the rows to answer, in the same form.

    Returns:
        Answers whose probabilities are the training shares of the labels.

    Raises:
        DataError: There are no training rows.
    """
    if not len(train_gold):
        raise DataError("there are no training rows", where="baseline majority", expected="at least one")
    rows = len(gold)
    if gold.ndim == 2:
        sets, counts = np.unique(train_gold, axis=0, return_counts=True)
        shares = train_gold.mean(axis=0)
        chosen = np.tile(sets[counts.argmax()].astype(np.bool_), (rows, 1))
    else:
        shares = np.bincount(train_gold, minlength=len(labels)) / len(train_gold)
        chosen = np.full(rows, shares.argmax(), dtype=np.int64)
    return Answers("majority", tuple(labels), gold, np.tile(shares.astype(np.float64), (rows, 1)), chosen)


def zero_shot(
    embed: Embed, labels: Sequence[str], texts: Sequence[str], gold: NDArray[Any], *, multi_label: bool
) -> Answers:
    """Answers by how near a text's embedding is to those of the label names; nothing is learned.

    Single-label: the nearest name, probabilities a softmax of cosines over a temperature of 0.05. Multi-label: the
    nearest name and every other whose cosine is within 0.05 of it; probabilities are the logistic function of the
    distance to that threshold over the same temperature.

    Args:
        embed: Texts to vectors `(n, D)`, of any norm.
        labels: K label names; underscores, hyphens and slashes are read as spaces.
        texts: N texts to answer.
        gold: Their gold.
        multi_label: Whether a row may have several labels.

    Returns:
        The answers.
    """
    names = unit(embed([readable(label) for label in labels]))
    cosines = unit(embed(list(texts))) @ names.T
    scaled = (cosines - cosines.max(axis=1, keepdims=True)) / TEMPERATURE
    if multi_label:
        probabilities = 1 / (1 + np.exp(-(scaled + 1)))
        return Answers("zero-shot", tuple(labels), gold, probabilities, probabilities >= 0.5)
    weights = np.exp(scaled)
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    return Answers("zero-shot", tuple(labels), gold, probabilities, probabilities.argmax(axis=1))


def unit(vectors: NDArray[Any]) -> Floats:
    """Vectors scaled to length one; a zero vector stays zero."""
    wide = np.asarray(vectors, dtype=np.float64)
    return wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
