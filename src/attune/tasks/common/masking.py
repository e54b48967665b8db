"""Which tokens of a row are hidden, and what stands in their place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attune.core.packing import ids_of, marks_of
from attune.tasks.common.vocabulary import Vocabulary

MASKED, KEPT = 0.8, 0.1
"""Of the hidden tokens: how many become the mask, and how many stay; the rest become any token."""


@dataclass(frozen=True)
class Plan:
    """How tokens are hidden.

    Attributes:
        share: Of the tokens.
        words: Whether whole words are hidden; tokens that go on a word are marked with 1.
        mixed: Whether a tenth of the hidden tokens stays and a tenth becomes any token (Devlin et al. 2019).
        least: Whether a row in which chance hides nothing has one token hidden.
    """

    share: float
    words: bool = False
    mixed: bool = False
    least: bool = False


def hidden(ids: NDArray[np.int64], plan: Plan, words: Vocabulary, draw: np.random.Generator) -> NDArray[np.bool_]:
    """Draws the tokens of a row that are hidden `(T,)`; special tokens never are.

    Args:
        ids: `(T,)`, with marks.
        plan: How.
        words: The vocabulary.
        draw: Source of chance.

    Returns:
        Which.
    """
    able = ~words.special[ids_of(ids)]
    unit = np.cumsum(marks_of(ids) == 0) if plan.words else np.arange(len(ids))
    chosen = (draw.random(len(ids) + 1)[unit] < plan.share) & able
    if plan.least and not chosen.any() and able.any():
        chosen = able & (unit == unit[draw.choice(np.flatnonzero(able))])
    return chosen


def replaced(
    ids: NDArray[np.int64], chosen: NDArray[np.bool_], plan: Plan, words: Vocabulary, draw: np.random.Generator
) -> NDArray[np.int64]:
    """A row with its hidden tokens covered.

    Args:
        ids: `(T,)`, with marks.
        chosen: `(T,)` which are hidden.
        plan: Whether all become the mask.
        words: The vocabulary.
        draw: Source of chance.

    Returns:
        `(T,)` plain ids, without marks.
    """
    result = ids_of(ids).copy()
    if not plan.mixed:
        result[chosen] = words.mask
        return result
    fate = draw.random(len(ids))
    result[chosen & (fate < MASKED)] = words.mask
    other = chosen & (fate >= MASKED + KEPT)
    result[other] = draw.choice(words.plain, int(other.sum()))
    return result
