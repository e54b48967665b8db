"""Finding words for labels: those that a few rows make likely in the gap, and the other labels' rows do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attune.errors import DataError

AMONG = 100
"""Likeliest words of a label from which are chosen those that tell it from the others; as LM-BFF has it."""


def best_words(
    likely: NDArray[Any], names: Sequence[str], word_of: Callable[[int], str], count: int
) -> dict[str, list[str]]:
    """Chooses words for labels.

    Of the 100 words likeliest in the gap of a label's rows (Gao et al. 2021), those with the largest likelihood ratio
    to the other labels' rows (Schick et al. 2020). A word is asked of one label alone: that whose rows make it
    likeliest.

    Args:
        likely: `(K, V)` mean log-probability of every token in the gap of each label's rows.
        names: The labels.
        word_of: A token as a word that can be named; empty where it is none.
        count: Words a label.

    Returns:
        Up to `count` words of each label, the best first.

    Raises:
        DataError: For some label there is none.
    """
    ratio = likely - (likely.sum(0) - likely) / max(len(likely) - 1, 1)
    owner = likely.argmax(0)
    found: dict[str, list[str]] = {}
    for label, name in enumerate(names):
        order = np.argsort(-likely[label], kind="stable")
        own = (int(token) for token in order[owner[order] == label])
        among = list(islice((token for token in own if word_of(token)), AMONG))
        best = sorted(among, key=lambda token: (-ratio[label, token], token))[:count]
        found[name] = [word_of(token) for token in best]
    if without := [name for name, words in found.items() if not words]:
        raise DataError(
            f"no word is likeliest for the rows of {', '.join(map(repr, without[:10]))}",
            where="task.search",
            expected="a word of the vocabulary for every label",
            remedy="give more rows with task.shots, or name the words in [task.verbalisers]",
        )
    return found
