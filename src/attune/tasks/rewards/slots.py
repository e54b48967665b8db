"""The reward of texts from data: the fewer slot errors, the more."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from attune.tasks.common.lexicon import Lexicon
from attune.tasks.common.slot_check import check, slot_error_rate
from attune.tasks.rewards.base import Gold, Row


class Slots:
    """Minus the slot error rate of the one text, by the check that every figure of slots is from.

    Args:
        lexicon: How values of slots are said.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"slots"})

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon

    @classmethod
    def of(cls, task: Any, labels: Any) -> Self:
        """By the lexicon that the task learned of its training rows."""
        return cls(task.lexicon(labels))

    def __call__(self, text: str, row: Row, gold: Gold) -> float:
        """Minus missing, added and wrong slots over those asked for.

        Args:
            text: What was written.
            row: Not read.
            gold: With `slots`; without, as in a row that says no slots, nothing is right or wrong.

        Returns:
            Zero or less.
        """
        del row
        return -slot_error_rate([check(text, gold.get("slots") or (), self.lexicon)])
