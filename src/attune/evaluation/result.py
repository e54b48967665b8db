"""What an evaluation found, as a record that goes to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypedDict

from attune.evaluation.html import render
from attune.evaluation.intervals import Difference, Interval
from attune.evaluation.rows import Wrong
from attune.evaluation.slices import Slice
from attune.tasks.metrics import Bin, headline_of


class PerClass(TypedDict):
    """One label's figures. `average_precision` is None where the task is not multi-label or gold lacks the label."""

    label: str
    precision: float
    recall: float
    f1: float
    average_precision: float | None
    support: int
    chosen: int


class Beside(TypedDict):
    """A baseline on the same rows. `difference` is the result less the baseline, on the first headline metric."""

    name: str
    metrics: dict[str, Interval]
    difference: Difference


@dataclass(frozen=True)
class Evaluation:
    """What is known of a set of answers.

    Attributes:
        name: Who answered.
        multi_label: Whether a row may have several labels.
        headline: The metrics to show first; the first of them is the one that is tested.
        rows: N.
        labels: Label names, length K.
        confidence: Level of the intervals.
        metrics: Every metric with its interval.
        per_class: One entry a label, in label order.
        confusion: `(K, K)` counts, gold by chosen; None where an answer is not one of K labels.
        bins: Reliability bins; none where answers have no probability.
        slices: The headline metric by length and script.
        worst: The most confident errors.
        baselines: What it is shown beside.
        notices: What a reader should know.
        parts: Of several tasks, by name: each by itself, on the rows whose gold it has.
    """

    name: str
    multi_label: bool
    headline: list[str]
    rows: int
    labels: list[str]
    confidence: float
    metrics: dict[str, Interval]
    per_class: list[PerClass]
    confusion: list[list[int]] | None
    bins: list[Bin]
    slices: list[Slice]
    worst: list[Wrong]
    baselines: list[Beside]
    notices: list[str]
    parts: dict[str, Evaluation] = field(default_factory=dict[str, "Evaluation"])

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back."""
        document = asdict(self)
        if not self.parts:
            del document["parts"]
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Evaluation:
        """Reads what `as_dict` wrote.

        Args:
            document: Plain values; keys it does not know are left out.

        Returns:
            An equal evaluation.
        """
        values: dict[str, Any] = {
            "headline": list(headline_of(document["metrics"]))
        }  # bundles of attune 0.1 do not say it
        values |= {known.name: document[known.name] for known in fields(cls) if known.name in document}
        values["metrics"] = read_intervals(document["metrics"])
        values["bins"] = [Bin(**bin) for bin in document["bins"]]
        values["slices"] = [{**part, "metric": Interval(**part["metric"])} for part in document["slices"]]
        values["baselines"] = [
            {
                "name": baseline["name"],
                "metrics": read_intervals(baseline["metrics"]),
                "difference": Difference(**baseline["difference"]),
            }
            for baseline in document["baselines"]
        ]
        values["parts"] = {name: cls.from_dict(part) for name, part in document.get("parts", {}).items()}
        return cls(**values)

    def _repr_html_(self) -> str:
        return render("summary.html.j2", evaluation=self)


def read_intervals(document: Mapping[str, Mapping[str, float]]) -> dict[str, Interval]:
    """Intervals from plain values."""
    return {name: Interval(**values) for name, values in document.items()}
