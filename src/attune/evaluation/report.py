"""One self-contained page for a person who has to decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from attune.evaluation import words
from attune.evaluation.charts import learning_curves, reliability_diagram
from attune.evaluation.choice import Choice
from attune.evaluation.comparison import Comparison
from attune.evaluation.confusion import confused_pairs, heat_cells, heat_table
from attune.evaluation.html import render
from attune.evaluation.result import Evaluation, PerClass

WEAKEST = 15
"""Labels shown before the rest is folded away."""

PARTED = 40
"""Rows of a comparison shown on each side."""

TABLE_LABELS = 30
"""Labels up to which a confusion matrix is a table with its numbers."""


def report(
    evaluation: Evaluation,
    *,
    title: str,
    recipe_toml: str,
    history: Sequence[Mapping[str, Any]],
    facts: Mapping[str, str],
    choice: Choice | None = None,
) -> str:
    """The report on an evaluation.

    Args:
        evaluation: What was found.
        title: What was evaluated, in a person's words.
        recipe_toml: The resolved recipe.
        history: One row an epoch: `epoch`, `step`, `train_loss`, `validation_loss`, `validation_<metric>`.
        facts: What else to know (backbone, method, time, machine), name to value.
        choice: The backbones that were compared before the run; None where there was one.

    Returns:
        HTML that loads nothing; equal input gives equal bytes.
    """
    labels = ranked_labels(evaluation.per_class)
    confusion = evaluation.confusion
    as_table = confusion is not None and len(evaluation.labels) <= TABLE_LABELS
    return render(
        "report.html.j2",
        title=title,
        evaluation=evaluation,
        names=list(evaluation.metrics),
        facts=facts,
        choice=choice,
        recipe=recipe_toml,
        curves=Markup(learning_curves(history, {name: words.title(name) for name in evaluation.headline})),
        reliability=Markup(reliability_diagram(evaluation.bins, *axes_of(evaluation))) if evaluation.bins else "",
        calibration=words.calibration(evaluation.bins, evaluation.multi_label) if evaluation.bins else "",
        weakest=labels[:WEAKEST],
        others=labels[WEAKEST:],
        unseen=[row["label"] for row in evaluation.per_class if not row["support"] and not row["chosen"]],
        pairs=confused_pairs(confusion, evaluation.labels) if confusion else [],
        table=heat_table(confusion) if confusion and as_table else None,
        cells=heat_cells(confusion, evaluation.labels) if confusion and not as_table else None,
        tasks={name: section(part) for name, part in evaluation.parts.items()},
    )


def section(evaluation: Evaluation) -> dict[str, Any]:
    """What the report says of one of several tasks."""
    labels = ranked_labels(evaluation.per_class)
    bins, confusion = evaluation.bins, evaluation.confusion
    return {
        "evaluation": evaluation,
        "weakest": labels[:WEAKEST],
        "others": labels[WEAKEST:],
        "pairs": confused_pairs(confusion, evaluation.labels) if confusion else [],
        "reliability": Markup(reliability_diagram(bins, *axes_of(evaluation))) if bins else "",
        "calibration": words.calibration(bins, evaluation.multi_label) if bins else "",
    }


def comparison_report(comparison: Comparison, *, title: str = "", facts: Mapping[str, str] | None = None) -> str:
    """The report on a comparison.

    Args:
        comparison: What was found.
        title: Heading; the two names where empty.
        facts: What else to know, name to value.

    Returns:
        HTML that loads nothing; equal input gives equal bytes.
    """
    return render(
        "comparison.html.j2",
        title=title or f"{comparison.a} against {comparison.b}",
        comparison=comparison,
        names=list(comparison.differences),
        facts=facts or {},
        most=PARTED,
    )


def axes_of(evaluation: Evaluation) -> tuple[str, str]:
    """What a reliability diagram's axes say."""
    if evaluation.multi_label:
        return "probability given to a label", "share that apply"
    return "confidence", "share right"


def ranked_labels(rows: Sequence[PerClass]) -> list[PerClass]:
    """The labels that occur, weakest F1 first; among equals the one with more rows."""
    occurring = [row for row in rows if row["support"] or row["chosen"]]
    return sorted(occurring, key=lambda row: (row["f1"], -row["support"], row["label"]))
