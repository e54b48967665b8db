"""What a reward is: a function of a text, the row that it was written for, and what is right for that."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

from attune.errors import RecipeError

Row = Mapping[str, Any]
"""What is read of a row: `text`, and whatever else the task reads."""
Gold = Mapping[str, Any]
"""What is right for a row: `texts`, the right ones; `slots` and `problem` where the task has such."""
Function = Callable[[str, Row, Gold], float]
"""The more, the better. One that needs a key of gold besides `texts` names it in its attribute `needs`; one that is
made for a task has `of`; one that is quicker for several texts at once has `together`."""


def needs_of(entry: Any) -> frozenset[str]:
    """Keys of what is right for a row that a reward cannot do without, `texts` aside."""
    return frozenset(getattr(entry, "needs", ()))


def made_for(entry: Any, task: Any, labels: Any) -> Function:
    """A registered reward, made for a task where it asks for that.

    Args:
        entry: A function, or a class with `of(task, labels)`.
        task: The task, which has learned of its rows.
        labels: What was learned of them besides.

    Returns:
        The function.
    """
    return entry.of(task, labels) if hasattr(entry, "of") else entry


def earned(
    name: str, reward: Function, texts: Sequence[str], rows: Sequence[Row], golds: Sequence[Gold]
) -> list[float]:
    """What each of N texts earns.

    Args:
        name: Of the reward, for the error.
        reward: The function.
        texts: What was written.
        rows: What each was written for.
        golds: What is right for that.

    Returns:
        N finite numbers.

    Raises:
        RecipeError: The reward of a text is none.
    """
    many: Any = getattr(reward, "together", None)
    found = many(texts, golds) if many else [reward(*each) for each in zip(texts, rows, golds, strict=True)]
    for value in found:
        if not isinstance(value, Real) or not math.isfinite(value):
            raise RecipeError(
                f"the reward {name} of a text is {value!r}",
                where="objective.reward",
                expected="a finite number for every text, an empty one too",
                remedy="mend the function",
            )
    return [float(value) for value in found]
