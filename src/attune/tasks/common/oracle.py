"""Which sentences of a document say what its summary says: the greedy oracle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from attune.core.texts import FIRST
from attune.tasks.common.rouge import tokens_of
from attune.tasks.common.sentences import Units, sentences
from attune.tasks.common.spans import parsed

Grams = tuple[Counter[Any], Counter[Any]]
"""How often a text has each word, and each two words side by side."""


def read_summary(value: Any, row: Mapping[str, Any], units: Units) -> dict[str, Any]:
    """Reads what is right for a document: its summary, or several of them.

    Args:
        value: A text, or a list of texts, which may come as JSON text.
        row: For the document.
        units: What a sentence of it is.

    Returns:
        `summaries`, and `oracle`: the numbers of the sentences that say best what they say.

    Raises:
        ValueError: There is no summary, or an empty one.
    """
    if isinstance(value, str) and value.lstrip().startswith('["'):
        value = parsed(value)
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"a {type(value).__name__} where a summary was expected")
    if not texts or not all(text.strip() for text in texts):
        raise ValueError("an empty summary")
    document: str = row[FIRST]
    parts = [document[start:end] for start, end in sentences(document, units)]
    return {"summaries": texts, "oracle": oracle(parts, texts)}


def oracle(parts: Sequence[str], summaries: Sequence[str]) -> list[int]:
    """Chooses sentences one after another, each time the one with which ROUGE grows most, until it no longer does.

    That is the target of Nallapati et al. 2017 (SummaRuNNer), section 3.2. What grows is the sum of the F1 of ROUGE-1
    and ROUGE-2, its mean over the summaries; words side by side are counted within sentences.

    Args:
        parts: The sentences of a document.
        summaries: What is right for it.

    Returns:
        Their numbers, sorted; none where no sentence shares a word with a summary.
    """
    own, right = [grams(part) for part in parts], [grams(summary) for summary in summaries]
    chosen: list[int] = []
    held: Grams = (Counter(), Counter())
    best = 0.0
    while len(chosen) < len(parts):
        tried = {number: nearness(added(held, part), right) for number, part in enumerate(own) if number not in chosen}
        number = max(tried, key=lambda each: (tried[each], -each))
        if tried[number] <= best + 1e-12:
            break
        best, held = tried[number], added(held, own[number])
        chosen.append(number)
    return sorted(chosen)


def grams(text: str) -> Grams:
    """How often a text has each word, and each two side by side."""
    tokens = tokens_of(text)
    return Counter(tokens), Counter(pairwise(tokens))


def added(one: Grams, other: Grams) -> Grams:
    """The counts of two texts together."""
    return one[0] + other[0], one[1] + other[1]


def nearness(text: Grams, summaries: Sequence[Grams]) -> float:
    """Sum of the F1 of words and of pairs of words, its mean over summaries."""
    return sum(f1(mine, theirs) for right in summaries for mine, theirs in zip(text, right, strict=True)) / len(
        summaries
    )


def f1(one: Counter[Any], other: Counter[Any]) -> float:
    """Share of what two counts have in common."""
    total = one.total() + other.total()
    return 2 * (one & other).total() / total if total else 0.0
