"""Plain records that travel between rooms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from attune.core.relations import Relations


@dataclass(frozen=True, slots=True)
class Input:
    """One thing a backbone should read for a row: a text, or a text and the `pair` that follows it in one sequence."""

    text: str
    role: str = "text"
    pair: str | None = None


@dataclass(frozen=True, slots=True)
class Alternative:
    """One label with its probability; or another text, of which none is known."""

    label: str
    confidence: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, the probability to six digits."""
        return {"label": self.label, "confidence": None if self.confidence is None else round(self.confidence, 6)}


@dataclass(frozen=True, slots=True)
class Span:
    """Part of a text: `start` and `end` count characters of the caller's text, `end` is the first one after it."""

    start: int
    end: int
    label: str
    text: str
    confidence: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, the probability to six digits."""
        return {**asdict(self), "confidence": None if self.confidence is None else round(self.confidence, 6)}


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one row.

    `answer` is a label or a text, a list of labels where there may be several, a number, or a vector. `confidence` is
    the probability of the answer (of several: of the least certain one given, or of none applying where the list is
    empty). `notices` say what happened to the row on its way (truncation, unknown tokens). `spans` say where in the
    text the answer stands. `probabilities` are what the answer was chosen by, `(K,)` in the bundle's label order where
    it is one of K labels; `margin` is how much of them would have to change for another answer, where that is not told
    by them. Neither leaves the process. `levels`: where labels have parents, the likeliest nodes of every level above
    the labels, the topmost level first; a node's confidence is the sum of what lies below it. `parts`: where several
    tasks were asked, the answer to each by its name; `answer` is then their answers by name.
    """

    answer: str | float | list[str] | list[float] | dict[str, Any]
    confidence: float | None = None
    alternatives: tuple[Alternative, ...] = ()
    notices: tuple[str, ...] = ()
    probabilities: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    spans: tuple[Span, ...] = ()
    margin: float | None = field(default=None, repr=False, compare=False)
    levels: tuple[tuple[Alternative, ...], ...] = ()
    parts: Mapping[str, Prediction] = field(default_factory=dict[str, "Prediction"])

    def as_dict(self) -> dict[str, Any]:
        """The record as it leaves through the CLI, files and HTTP.

        Returns:
            `answer`, `confidence`, `alternatives`, `notices` and `spans` as plain JSON values, probabilities to six
            digits; `levels` where labels have parents; `tasks` where several were asked, each in this same form.
        """
        return {
            "answer": self.answer,
            "confidence": None if self.confidence is None else round(self.confidence, 6),
            "alternatives": [a.as_dict() for a in self.alternatives],
            "notices": list(self.notices),
            "spans": [span.as_dict() for span in self.spans],
            **({"levels": [[a.as_dict() for a in level] for level in self.levels]} if self.levels else {}),
            **({"tasks": {name: part.as_dict() for name, part in self.parts.items()}} if self.parts else {}),
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
        relations: Which labels belong together, where labels are relations.
    """

    name: str
    labels: tuple[str, ...]
    gold: NDArray[Any]
    probabilities: NDArray[Any]
    chosen: NDArray[Any]
    ordered: bool = False
    separator: str = ""
    relations: Relations | None = None

    @property
    def multi_label(self) -> bool:
        """Whether a row may have several labels or none."""
        return self.gold.ndim == 2


@dataclass(frozen=True)
class Scores(ABC):
    """What was answered to all rows of one set, where an answer is not one label of a list or several.

    Each metric is a function of row weights, so that one product measures every bootstrap resample at once.

    Attributes:
        name: Who answered.
        gold: N values of the task's own form: what is right.
        chosen: N values of the same form: what was answered.
        confidence: `(N,)` how sure each answer was; nothing where the task has no such probability.
    """

    name: str
    gold: Sequence[Any]
    chosen: Sequence[Any]
    confidence: NDArray[np.float64] | None

    names: ClassVar[tuple[str, ...]]
    """Every metric."""
    headline: ClassVar[tuple[str, ...]]
    """The metrics to show first."""

    def has(self) -> tuple[str, ...]:
        """The metrics that these rows have: all, unless what some are made of is not known of them."""
        return self.names

    def leads(self) -> tuple[str, ...]:
        """The metrics to show first of these rows."""
        return self.headline

    @abstractmethod
    def measure(self, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Every metric under each weighting.

        Args:
            weights: `(R, N)` how often each row counts.

        Returns:
            Metric name to `(R,)`.
        """

    @abstractmethod
    def right(self) -> NDArray[np.bool_]:
        """Which rows are answered exactly right `(N,)`."""

    @abstractmethod
    def words(self, value: Any) -> list[str]:
        """One value of gold or chosen, as a person reads it."""

    def gravity(self) -> NDArray[np.float64]:
        """How worth reading a wrong row is `(N,)`, the gravest first: by how sure its answer was."""
        return np.zeros(len(self.gold)) if self.confidence is None else self.confidence

    def by_label(self) -> list[dict[str, Any]]:
        """Of every label `label`, `precision`, `recall`, `f1`, `support` and `chosen`; empty where there is none."""
        return []

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Some of the rows."""
        confidence = None if self.confidence is None else self.confidence[rows]
        return replace(
            self, gold=[self.gold[i] for i in rows], chosen=[self.chosen[i] for i in rows], confidence=confidence
        )

    def beside(self, other: Self) -> Self:
        """These rows, then those of another."""
        both = None
        if self.confidence is not None and other.confidence is not None:
            both = np.concatenate([self.confidence, other.confidence])
        return replace(self, gold=[*self.gold, *other.gold], chosen=[*self.chosen, *other.chosen], confidence=both)


@dataclass(frozen=True)
class Joint:
    """What was answered to all rows of one set in several tasks.

    Attributes:
        name: Who answered.
        parts: By task, over the rows whose gold the task has; a task that has none is left out.
        rows: By task the numbers of those rows, ascending.
        count: Rows of the set, N.
    """

    name: str
    parts: Mapping[str, Answers | Scores]
    rows: Mapping[str, NDArray[np.int64]]
    count: int
