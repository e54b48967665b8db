"""Bundles of several tasks judged: each task as it would be alone, and the rows as wholes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attune.core.recipe import EvaluationOptions
from attune.core.records import Joint, Prediction
from attune.core.texts import each
from attune.data.redaction import redact
from attune.data.single import known, of_task
from attune.data.table import Table
from attune.evaluation.evaluate import Evaluation, evaluate
from attune.evaluation.whole import together, whole
from attune.lifecycle import judge
from attune.model.assemble import Model


def evaluated(
    model: Model,
    table: Table,
    name: str,
    scratch: Path,
    *,
    options: EvaluationOptions,
    notices: Sequence[str],
    train: Table | None = None,
) -> Evaluation:
    """Measures a model of several tasks.

    Args:
        model: Calibrated.
        table: Rows with gold for at least one task each.
        name: What to call the model.
        scratch: A folder for tables of the single tasks.
        options: Intervals, and baselines.
        notices: What a reader should know.
        train: The rows that baselines learn from; none where none are wanted.

    Returns:
        The evaluation of the rows as wholes, with each task's in it.
    """
    predictions = judge.predicted(model, table)
    parts: dict[str, Evaluation] = {}
    told = [*notices]
    for task, part in model.parts().items():
        own = of_task(table, task, part.task.form, scratch / f"{task}.arrow")
        if len(own) < len(table):
            told.append(f"{len(table) - len(own):,} of {len(table):,} of these rows have no gold for {task}")
        if len(own):
            given = [predictions[row].parts[task] for row in known(table, task)]
            rows = of_task(train, task, part.task.form, scratch / f"{task}-train.arrow") if train else None
            parts[task] = alone(part, own, given, name, options, rows)
    joint = answers(model, predictions, table, name)
    texts = [each(redact, text) for text in table.texts()]
    return together(evaluate(whole(joint), texts, table.ids(), options=options, notices=told), parts)


def answers(model: Model, predictions: Sequence[Prediction], table: Table, name: str) -> Joint:
    """The answers of several tasks to a table's rows, beside what is right."""
    return model.task.judged(name, predictions, table.golds(), model.labels)


def alone(
    part: Model,
    table: Table,
    predictions: Sequence[Prediction],
    name: str,
    options: EvaluationOptions,
    train: Table | None,
) -> Evaluation:
    """Measures one of several tasks on the rows whose gold it has.

    Args:
        part: The task alone.
        table: Those rows.
        predictions: Its answers to them.
        name: What to call the model.
        options: Intervals, and baselines.
        train: The rows that baselines learn from, if any are wanted.

    Returns:
        The evaluation, as it is where the task is the only one.
    """
    judged = judge.judged_of(part, predictions, table, name)
    others, left_out = judge.shown_beside(part, train, judged, options) if train else ([], [])
    texts = [each(redact, text) for text in judged.texts]
    return evaluate(judged.answers, texts, judged.ids, baselines=others, options=options, notices=left_out)
