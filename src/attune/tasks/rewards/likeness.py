"""Rewards of likeness: how near a text is to what is right for its row, from 0 to 1; of several the best counts."""

from __future__ import annotations

from typing import Any, Self

from attune.tasks.common import bleu, rouge
from attune.tasks.rewards.base import Gold, Row


def exact(text: str, row: Row, gold: Gold) -> float:
    """Whether a text is a right one, but for space around it.

    Args:
        text: What was written.
        row: Not read.
        gold: With `texts`.

    Returns:
        One or zero.
    """
    del row
    return float(text.strip() in {right.strip() for right in gold["texts"]})


def rouge_l(text: str, row: Row, gold: Gold) -> float:
    """F1 of ROUGE-L (Lin 2004).

    Args:
        text: What was written.
        row: Not read.
        gold: With `texts`.

    Returns:
        A share.
    """
    del row
    return rouge.rouge(text, tuple(gold["texts"]))[2]


def chrf(text: str, row: Row, gold: Gold) -> float:
    """chrF2 of the one text (Popović 2015), by sacreBLEU.

    Args:
        text: What was written.
        row: Not read.
        gold: With `texts`.

    Returns:
        A share.
    """
    del row
    return float(bleu.metrics("none")[1].sentence_score(text, list(gold["texts"])).score) / 100


class Bleu:
    """BLEU of the one text, smoothed and of orders that it is long enough for (Papineni et al. 2002), by sacreBLEU.

    Args:
        tokenise: sacreBLEU's name of a tokenizer.
    """

    def __init__(self, tokenise: str) -> None:
        self.tokenise = tokenise

    @classmethod
    def of(cls, task: Any, labels: Any) -> Self:
        """By the tokenizer that the task measures BLEU with."""
        del labels
        return cls(task.options.tokenise)

    def __call__(self, text: str, row: Row, gold: Gold) -> float:
        """BLEU.

        Args:
            text: What was written.
            row: Not read.
            gold: With `texts`; a run of words counts that stands in any of them.

        Returns:
            A share.
        """
        del row
        return float(bleu.metrics(self.tokenise)[0].sentence_score(text, list(gold["texts"])).score) / 100
