"""Excerpts: some sentences of a document in its order, chosen by their scores or by where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from attune.core.records import Prediction, Span
from attune.core.texts import text_of_tokens
from attune.tasks.common.aids import Embed
from attune.tasks.common.rouge import PIECE
from attune.tasks.common.sentences import Place, Units, sentences

LEAD = 3
"""Sentences of the baseline that takes the first ones."""
LABEL = "sentence"

Scored = NDArray[np.float64]


def best(scores: Scored, parts: Sequence[str], count: int, *, blocking: bool) -> tuple[list[int], float]:
    """The sentences with the best scores.

    Args:
        scores: `(U,)`; −inf for a sentence that cannot be chosen.
        parts: The sentences.
        count: How many to choose at most.
        blocking: Leave out a sentence that shares three words in a row with one that was chosen (Paulus et al. 2018);
            fewer are chosen where no other is left.

    Returns:
        Their numbers in document order; and how much nearer two scores would have to be before others are chosen: the
        smallest step between the scores looked at.
    """
    order = np.argsort(-scores, kind="stable")
    order = order[np.isfinite(scores[order])]
    chosen: list[int] = []
    said: set[tuple[str, ...]] = set()
    looked = 0
    numbers: list[int] = order.tolist()
    for number in numbers:
        if len(chosen) == count:
            break
        looked += 1
        own = trigrams(parts[number])
        if not (blocking and own & said):
            chosen.append(number)
            said |= own
    steps = -np.diff(scores[order[: looked + 1]])
    return sorted(chosen), float(steps.min(initial=1.0))


def trigrams(text: str) -> set[tuple[str, ...]]:
    """Every three words in a row of a text, of Chinese three characters."""
    words = PIECE.findall(text.lower())
    return set(zip(words, words[1:], words[2:], strict=False))


def excerpt(
    text: str,
    places: Sequence[Place],
    chosen: Sequence[int],
    chances: Scored | None = None,
    *,
    notices: tuple[str, ...] = (),
    margin: float | None = None,
) -> Prediction:
    """Some sentences as an answer.

    Args:
        text: The document.
        places: Where its sentences stand.
        chosen: The numbers of some of them, in order.
        chances: `(U,)` the probability of each to be chosen.
        notices: What happened to the row on its way.
        margin: How much of the scores would have to change for another answer.

    Returns:
        Joined as they were parted: by line ends where they are lines, else by spaces, and by nothing between two of
        Chinese writing. With their places in the document.
    """
    spans = tuple(
        Span(*places[number], LABEL, text[slice(*places[number])], None if chances is None else float(chances[number]))
        for number in chosen
    )
    texts = [span.text for span in spans]
    lines = any("\n" in text[one[1] : other[0]] for one, other in pairwise(places))
    answer = "\n".join(texts) if lines else text_of_tokens(texts)
    return Prediction(
        answer,
        notices=notices,
        probabilities=None if chances is None else chances.astype(np.float32),
        spans=spans,
        margin=margin,
    )


def lead(text: str, units: Units) -> Prediction:
    """The first three sentences."""
    places = sentences(text, units)
    return excerpt(text, places, range(min(LEAD, len(places))))


def central(texts: Sequence[str], units: Units, count: int, embed: Embed) -> list[Prediction]:
    """The sentences nearest to the middle of their document (centroid-based; Radev et al. 2004, with embeddings).

    Args:
        texts: N documents.
        units: What a sentence is.
        count: How many to choose of each.
        embed: Texts to vectors of length one.

    Returns:
        One answer a document.
    """
    places = [sentences(text, units) for text in texts]
    parts = [text[start:end] for text, own in zip(texts, places, strict=True) for start, end in own]
    vectors = np.split(embed(parts), np.cumsum([len(own) for own in places])[:-1])
    found: list[Prediction] = []
    for text, own, rows in zip(texts, places, vectors, strict=True):
        scores = (rows @ rows.mean(axis=0)).astype(np.float64)
        chosen, _ = best(scores, [text[start:end] for start, end in own], count, blocking=False)
        found.append(excerpt(text, own, chosen))
    return found
