"""The card: one page of Markdown that says what a bundle is, how good it is and what it is not for."""

from __future__ import annotations

from collections.abc import Sequence

from attune.core.recipe import Recipe
from attune.evaluation.evaluate import Evaluation
from attune.model.assemble import Model, cell_of


def card(recipe: Recipe, model: Model, evaluation: Evaluation | None, kind: str, notices: Sequence[str]) -> str:
    """A model card (after Mitchell et al. 2019).

    Args:
        recipe: The resolved recipe.
        model: The finished model.
        evaluation: What was measured, if anything was.
        kind: On which rows.
        notices: What a reader should know of the run.

    Returns:
        Markdown.
    """
    cell = cell_of(recipe)
    names = model.labels.names
    lines = [
        f"# {cell.task} by {cell.method} on {model.backbone.checkpoint.name}",
        "",
        model.task.answers_with(model.labels) + ("" if names else "."),
        *([f"({', '.join(names[:12])}{', …' if len(names) > 12 else ''})."] if names else []),
        learned(recipe, model),
        "",
        "## How good it is",
        "",
    ]
    lines += figures(evaluation, kind)
    lines += ["", "## What to know", ""]
    lines += [f"- {notice}" for notice in notices] or ["- Nothing was noticed during the run."]
    lines += [
        f"- {model.task.limits}",
        "- Figures hold for rows like the ones measured; audit and evaluate again when the rows change.",
    ]
    return "\n".join(lines) + "\n"


def learned(recipe: Recipe, model: Model) -> str:
    """From what the labels are known."""
    if not model.task.form.labelled:
        return f"Learned from the texts of `{recipe.data.train}`, seed {recipe.training.seed}."
    if model.method.trains:
        count = f"{sum(model.labels.counts)} labels of " if sum(model.labels.counts) else ""
        return f"Learned from {count}`{recipe.data.train}`, seed {recipe.training.seed}."
    if not hasattr(model.task.options, "shots"):
        return "Nothing was trained: the backbone answers as it was published."
    shots = model.task.options.shots
    shown = f" and from at most {shots} rows of each in `{recipe.data.train}`, seed {recipe.training.seed}"
    return f"Nothing was trained: labels are known from their texts in recipe.toml{shown if shots else ''}."


def figures(evaluation: Evaluation | None, kind: str) -> list[str]:
    """A table of figures with intervals, or a line that says there are none."""
    if evaluation is None:
        return ["Nothing was measured: there were neither test nor validation rows."]
    rows = [f"On {evaluation.rows} {kind} rows:", "", "| metric | value | interval |", "|---|---|---|"]
    rows += [
        f"| {name} | {found.value:.4f} | [{found.low:.4f}, {found.high:.4f}] |"
        for name, found in evaluation.metrics.items()
    ]
    return rows
