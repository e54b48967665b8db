"""Several backbones measured on the same rows: their order, and which of them cannot be told apart from the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from attune.core.recipe import EvaluationOptions
from attune.core.records import Answers
from attune.evaluation.intervals import Difference, Interval, paired

SMALLER = 0.9
"""Share of the best one's parameters up to which another is called smaller."""
FASTER = 1.25
"""Times the best one's rows a second from which another is called faster; two timings of one model differ by less."""


@dataclass(frozen=True)
class Candidate:
    """What is known of a backbone before anything is tuned.

    Attributes:
        name: As in the recipe.
        sha256: Of its weights; empty where there are none to be read.
        parameters: How many numbers it is made of.
        mebibytes: Size of its weight files.
        unknown: Share of the sample's tokens that it does not know.
        seconds: For the features of the sample.
        rows_per_second: Of the sample.
        score: The metric's value by the cross-validated linear probe, with its interval.
        reason: Why it cannot be used; empty where it can.
    """

    name: str
    sha256: str = ""
    parameters: int | None = None
    mebibytes: float | None = None
    unknown: float | None = None
    seconds: float | None = None
    rows_per_second: float | None = None
    score: Interval | None = None
    reason: str = ""

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Candidate:
        """Reads what `dataclasses.asdict` wrote."""
        values: dict[str, Any] = dict(document)
        values["score"] = Interval(**values["score"]) if values["score"] else None
        return cls(**values)


@dataclass(frozen=True)
class Choice:
    """Which backbone was chosen, of which, and how.

    Attributes:
        chosen: Its name.
        metric: What they were compared by.
        sample: The rows, in words.
        folds: Parts of the cross-validation.
        confidence: Level of the intervals.
        candidates: The usable ones, the best first, then the others in the recipe's order.
        notices: Cheaper ones that cannot be told apart from the chosen one.
    """

    chosen: str
    metric: str
    sample: str
    folds: int
    confidence: float
    candidates: list[Candidate]
    notices: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Choice:
        """Reads what `as_dict` wrote."""
        values: dict[str, Any] = dict(document)
        values["candidates"] = [Candidate.from_dict(each) for each in document["candidates"]]
        return cls(**values)


def ranked(candidates: Sequence[Candidate], higher: bool = True) -> list[Candidate]:
    """The best score first, the smaller one first where scores are equal, then those that cannot be used.

    Args:
        candidates: In any order.
        higher: Whether more of the metric is better.

    Returns:
        All of them.
    """

    def place(candidate: Candidate) -> tuple[bool, float, float]:
        if candidate.score is None:
            return True, 0.0, 0.0
        return False, -candidate.score.value if higher else candidate.score.value, candidate.parameters or 0

    return sorted(candidates, key=place)


def as_good(
    candidates: Sequence[Candidate], answers: Mapping[str, Answers], metric: str, options: EvaluationOptions
) -> list[str]:
    """Names the cheaper candidates whose paired difference from the best may be nothing but chance.

    Args:
        candidates: As `ranked`; the first is the best.
        answers: Of those with a score, by name, all to the same rows.
        metric: What they were compared by.
        options: Level, resamples and seed of the paired bootstrap.

    Returns:
        One notice each, the smallest first.
    """
    best, *others = [candidate for candidate in candidates if candidate.score]
    found: list[tuple[int, str]] = []
    for other in others:
        if not (cheaper := cheapness(other, best)):
            continue
        difference = paired(
            answers[best.name], answers[other.name], [metric], confidence=options.confidence,
            resamples=options.resamples, seed=options.seed,
        )[metric]  # fmt: skip
        if difference.low <= 0 <= difference.high:
            found.append((other.parameters or 0, told(best, other, cheaper, metric, difference)))
    return [notice for _, notice in sorted(found)]


def cheapness(other: Candidate, best: Candidate) -> str:
    """In what another is cheaper than the best; empty where it is in nothing."""
    said: list[str] = []
    if other.parameters and best.parameters and other.parameters <= SMALLER * best.parameters:
        said.append(f"has {other.parameters / best.parameters:.0%} of its parameters")
    if other.rows_per_second and best.rows_per_second and other.rows_per_second >= FASTER * best.rows_per_second:
        said.append(f"reads {other.rows_per_second / best.rows_per_second:.1f} times as many rows a second")
    return " and ".join(said)


def told(best: Candidate, other: Candidate, cheaper: str, metric: str, difference: Difference) -> str:
    """A notice of one."""
    return (
        f"{best.name} was chosen by its score, and cannot be told apart from {other.name}, which {cheaper}: "
        f"{metric} differs by {difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]; "
        f'backbone.name = "{other.name}" takes that one'
    )
