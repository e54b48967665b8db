"""How good a set of answers is: every figure with its interval, beside its baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, confusion_matrix, precision_recall_fscore_support

from attune.core.recipe import EvaluationOptions
from attune.core.records import Answers
from attune.evaluation.comparison import Comparison, compare
from attune.evaluation.intervals import intervals, paired
from attune.evaluation.measured import Given, headline_of, names_of, verified
from attune.evaluation.result import Beside, Evaluation, PerClass
from attune.evaluation.rows import check_rows, worst
from attune.evaluation.slices import slices
from attune.tasks.metrics import NO_CASE, Bin, binned, reliability

__all__ = ["Comparison", "Evaluation", "compare", "evaluate"]

FEW = 5
"""Gold rows below which a label's own figures say little."""


def evaluate(
    answers: Given,
    texts: Sequence[str],
    ids: Sequence[str],
    *,
    baselines: Sequence[Given] = (),
    options: EvaluationOptions,
    notices: Sequence[str] = (),
) -> Evaluation:
    """Measures answers from every side, and beside baselines on the same rows.

    Args:
        answers: N rows.
        texts: Their texts, the two of a pair joined, for slices and examples.
        ids: Their ids.
        baselines: Other answers to the same rows.
        options: Level and resamples of the intervals, and their seed.
        notices: What a reader should know; what is seen here is added.

    Returns:
        The evaluation.

    Raises:
        DataError: There are no rows, or shapes or gold do not fit each other.
    """
    verified(answers)
    check_rows(answers, texts, ids)
    by_label = per_class(answers)
    return Evaluation(
        name=answers.name,
        multi_label=isinstance(answers, Answers) and answers.multi_label,
        headline=list(headline_of(answers)),
        rows=len(answers.gold),
        labels=[row["label"] for row in by_label],
        confidence=options.confidence,
        metrics=intervals(
            answers,
            names_of(answers),
            confidence=options.confidence,
            resamples=options.resamples,
            seed=options.seed,
        ),
        per_class=by_label,
        confusion=confusion(answers) if isinstance(answers, Answers) and not answers.multi_label else None,
        bins=bins(answers),
        slices=slices(answers, texts, options),
        worst=worst(answers, texts, ids),
        baselines=[beside(answers, baseline, options) for baseline in baselines],
        notices=[*notices, *(observations(answers) if isinstance(answers, Answers) else [])],
    )


def bins(answers: Given) -> list[Bin]:
    """Reliability bins: of every decision, or of whether whole rows are right; none where nothing is said of that."""
    if isinstance(answers, Answers):
        return reliability(answers)
    return [] if answers.confidence is None else binned(answers.confidence, answers.right())


def beside(answers: Given, baseline: Given, options: EvaluationOptions) -> Beside:
    """A baseline's figures, and whether the answers are better than it on the first headline metric."""
    if isinstance(answers, Answers) and isinstance(baseline, Answers):
        known = {"ordered": answers.ordered, "separator": answers.separator, "relations": answers.relations}
        baseline = replace(baseline, **known)
    headline = headline_of(answers)[0]
    confidence, resamples, seed = options.confidence, options.resamples, options.seed
    names = [name for name in names_of(answers) if name in names_of(baseline)]
    difference = paired(answers, baseline, [headline], confidence=confidence, resamples=resamples, seed=seed)
    return {
        "name": baseline.name,
        "metrics": intervals(baseline, names, confidence=confidence, resamples=resamples, seed=seed),
        "difference": difference[headline],
    }


def per_class(answers: Given) -> list[PerClass]:
    """Precision, recall and F1 of every label; multi-label, average precision too."""
    if not isinstance(answers, Answers):
        return [PerClass(**row, average_precision=None) for row in answers.by_label()]
    places = None if answers.multi_label else np.arange(len(answers.labels))
    table: Any = precision_recall_fscore_support(
        answers.gold, answers.chosen, labels=places, average=None, zero_division=NO_CASE
    )
    precision, recall, f1, support = table
    if answers.multi_label:
        chosen = answers.chosen.sum(axis=0)
    else:
        chosen = np.bincount(answers.chosen, minlength=len(answers.labels))
    return [
        {
            "label": label,
            "precision": float(precision[k]),
            "recall": float(recall[k]),
            "f1": float(f1[k]),
            "average_precision": label_precision(answers, k),
            "support": int(support[k]),
            "chosen": int(chosen[k]),
        }
        for k, label in enumerate(answers.labels)
    ]


def label_precision(answers: Answers, k: int) -> float | None:
    """Average precision of one label; None where the task is not multi-label or gold lacks the label."""
    if not answers.multi_label or not answers.gold[:, k].any():
        return None
    return float(average_precision_score(answers.gold[:, k], answers.probabilities[:, k]))


def confusion(answers: Answers) -> list[list[int]]:
    """Counts of gold (row) by chosen (column) `(K, K)`."""
    matrix = confusion_matrix(answers.gold, answers.chosen, labels=np.arange(len(answers.labels)))
    return [[int(count) for count in row] for row in matrix]


def observations(answers: Answers) -> list[str]:
    """What a reader should know of these rows before trusting their figures."""
    gold = answers.gold.sum(axis=0) if answers.multi_label else np.bincount(answers.gold, minlength=len(answers.labels))
    occurring = np.flatnonzero(gold)
    few = [answers.labels[k] for k in occurring if gold[k] < FEW]
    unknown = [answers.labels[k] for k in occurring if not answers.probabilities[:, k].any()]
    missing = [label for label, count in zip(answers.labels, gold, strict=True) if not count]
    found: list[str] = []
    if few:
        found.append(f"{counted(few)} fewer than {FEW} rows here, so their own figures say little: {listed(few)}")
    if unknown:
        found.append(f"{counted(unknown)} rows here but were never learned: {listed(unknown)}")
    if missing:
        found.append(f"{counted(missing)} no row here, so nothing is known of them: {listed(missing)}")
    return found


def counted(labels: Sequence[str]) -> str:
    """How many labels have something."""
    return "1 label has" if len(labels) == 1 else f"{len(labels)} labels have"


def listed(labels: Sequence[str], most: int = 8) -> str:
    """Names for a sentence, the first few of many."""
    shown = ", ".join(labels[:most])
    return f"{shown} and {len(labels) - most} more" if len(labels) > most else shown
