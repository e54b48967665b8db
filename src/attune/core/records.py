"""Plain records that travel between rooms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Input:
    """One thing a backbone should read for a row: a text, or a text and the `pair` that follows it in one sequence."""

    text: str
    role: str = "text"
    pair: str | None = None


@dataclass(frozen=True, slots=True)
class Alternative:
    """One label with its probability."""

    label: str
    confidence: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, the probability to six digits."""
        return {"label": self.label, "confidence": round(self.confidence, 6)}


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one row.

    `answer` is a label, or a list of labels where the task is multi-label. `confidence` is the probability of the
    answer (multi-label: of the least certain label given, or of none applying where the list is empty). `notices`
    say what happened to the row on its way (truncation, unknown tokens). `probabilities` `(K,)` in the bundle's
    label order, for metrics; it does not leave the process. `levels`: where labels have parents, the likeliest nodes
    of every level above the labels, the topmost level first; a node's confidence is the sum of what lies below it.
    """

    answer: str | list[str]
    confidence: float | None = None
    alternatives: tuple[Alternative, ...] = ()
    notices: tuple[str, ...] = ()
    probabilities: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    levels: tuple[tuple[Alternative, ...], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The record as it leaves through the CLI, files and HTTP.

        Returns:
            `answer`, `confidence`, `alternatives` and `notices` as plain JSON values, probabilities to six digits; and
            `levels` where labels have parents.
        """
        return {
            "answer": self.answer,
            "confidence": None if self.confidence is None else round(self.confidence, 6),
            "alternatives": [a.as_dict() for a in self.alternatives],
            "notices": list(self.notices),
            **({"levels": [[a.as_dict() for a in level] for level in self.levels]} if self.levels else {}),
        }


@dataclass(frozen=True)
class Answers:
    """What a model or a baseline answered to all rows of one set, in one label order.

    Attributes:
        name: Who answered.
        labels: Label names, length K. Labels that occur in `gold` but were never learned are appended, with
            probability zero.
        gold: `(N,)` int64 label indices, or `(N, K)` bool where the task is multi-label.
        probabilities: `(N, K)` float; rows sum to one unless multi-label.
        chosen: `(N,)` int64, or `(N, K)` bool.
        ordered: Whether labels are steps of a scale, lowest first.
        separator: What parts a label's name from its parents'; empty where labels have no parents.
    """

    name: str
    labels: tuple[str, ...]
    gold: NDArray[Any]
    probabilities: NDArray[Any]
    chosen: NDArray[Any]
    ordered: bool = False
    separator: str = ""

    @property
    def multi_label(self) -> bool:
        """Whether a row may have several labels or none."""
        return self.gold.ndim == 2
