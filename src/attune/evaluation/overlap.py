"""What the TF-IDF baseline reads of two texts: the words of each by themselves, and what they share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer

from attune.core.texts import parts
from attune.evaluation.tfidf import WORD, vectoriser

TOKENS = re.compile(WORD)


def pair_vectoriser() -> Any:
    """TF-IDF of each of the two texts, in features of its own, and four measures of their overlap.

    Returns:
        A transformer of joined texts, not yet fitted.
    """
    first, second = (make_pipeline(FunctionTransformer(side, kw_args={"at": at}), vectoriser()) for at in (0, 1))
    return make_union(first, second, FunctionTransformer(overlap))


def side(texts: Sequence[str], at: int) -> list[str]:
    """The first or the second of each pair of texts."""
    return [parts(text)[at] for text in texts]


def overlap(texts: Sequence[str]) -> NDArray[np.float32]:
    """Words that two texts share: over all, over those of the first, over those of the second; and 1 for equal sets.

    Args:
        texts: N joined texts.

    Returns:
        `(N, 4)`, each from 0 to 1.
    """
    return np.array([measures(*(set(TOKENS.findall(part.lower())) for part in parts(text))) for text in texts], "f4")


def measures(first: set[str], second: set[str]) -> tuple[float, float, float, float]:
    """The four measures of one pair of word sets."""
    shared = len(first & second)
    over = [shared / max(len(words), 1) for words in (first | second, first, second)]
    return over[0], over[1], over[2], float(first == second)
