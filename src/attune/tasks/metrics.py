"""What the figures of a classification are, by scikit-learn's definitions.

Macro and weighted averages run over the labels that occur in `gold` or in `chosen`: scikit-learn's own rule for
class names, kept for label indices too, so that a label the rows never meet neither helps nor hurts. Precision,
recall and F1 without a case count as zero.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, matthews_corrcoef

from attune.core.records import Answers
from attune.errors import DataError
from attune.tasks.common.paths import MOST_LEVELS, misplaced, upper_levels
from attune.tasks.graded_metrics import hierarchical_metrics, hierarchical_sums, ordinal_metrics, ordinal_sums

Floats = NDArray[np.float64]

BINS = 15
"""Equal-width bins of confidence, as in Guo et al., On Calibration of Modern Neural Networks, 2017."""

SMALLEST = 1e-15
"""Probabilities are clipped here before the logarithm, as scikit-learn long did."""

NO_CASE: Any = 0
"""What precision, recall and F1 are where there is no case to count."""

NAMES: dict[bool, tuple[str, ...]] = {
    False: ("accuracy", "macro_f1", "micro_f1", "weighted_f1", "mcc", "log_loss", "ece"),
    True: (
        "subset_accuracy",
        "micro_f1",
        "macro_f1",
        "weighted_f1",
        "average_precision",
        "micro_average_precision",
        "log_loss",
        "ece",
    ),
}
"""Every metric, by whether the task is multi-label."""

HEADLINE: dict[bool, tuple[str, ...]] = {
    False: ("accuracy", "macro_f1"),
    True: ("macro_f1", "micro_f1", "average_precision"),
}
"""The metrics shown first, by whether the task is multi-label. The first of them is the one that is tested."""

DIRECTED = "directed_macro_f1"
"""The metric that answers have besides where labels are relations; it is shown and tested first."""

ORDERED = ("quadratic_kappa", "mae_steps")
"""What is measured besides where labels are steps of a scale."""

LEVELLED = tuple(f"level_{number}_accuracy" for number in range(1, MOST_LEVELS))
"""Accuracy of each level above the labels, the topmost first, where labels have parents."""

LOWER_IS_BETTER = ("log_loss", "ece", "mae_steps")

HIGHER_IS_BETTER: dict[str, bool] = {
    name: name not in LOWER_IS_BETTER
    for name in sorted({*NAMES[False], *NAMES[True], *ORDERED, *LEVELLED, "hierarchical_f1", DIRECTED})
}
"""Which way is up."""


LOWER = frozenset(
    {
        "loss",
        "mean_absolute_error",
        "root_mean_squared_error",
        "perplexity",
        "masked_perplexity",
        "nats_per_character",
        "bits_per_byte",
        "slot_error_rate",
    }
)
"""Figures of other tasks that are better where they are smaller."""


def higher_is_better(name: str) -> bool:
    """Whether more of a metric is better; of one that is not a classification's, unless it is named as a loss."""
    return HIGHER_IS_BETTER.get(name, name not in LOWER)


@dataclass(frozen=True)
class Bin:
    """One bin of confidence: how sure the answers in it were, and how often they were right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def classification_metrics(answers: Answers) -> dict[str, float]:
    """Every metric of a set of answers.

    Log loss is the mean over rows of `-ln p(gold)`; multi-label, the mean binary cross-entropy over rows and labels.
    ECE is the expected calibration error of Guo et al. (2017) over 15 equal-width bins of the probability of the
    chosen label; multi-label, of every label's probability. Average precision is the macro mean over labels that
    occur in gold, `average_precision_score`'s step-wise sum; `micro_average_precision` ranks all rows and labels in
    one list.

    Where labels are ordered or have parents, what `ordinal_metrics` and `hierarchical_metrics` say is added.

    Args:
        answers: Gold, probabilities and choices of N rows, N > 0.

    Returns:
        The metrics that `names_of` names, each a plain float.

    Raises:
        DataError: There are no rows, or the shapes do not fit each other.
    """
    checked(answers)
    gold, chosen = answers.gold, answers.chosen
    right = float(accuracy_score(gold, chosen))
    result = {"subset_accuracy" if answers.multi_label else "accuracy": right}
    occurring = present(answers)
    for average in ("macro", "micro", "weighted"):
        result[f"{average}_f1"] = f1(gold, chosen, occurring, average)
    if answers.multi_label:
        result |= ranking(answers)
    else:
        result["mcc"] = float(matthews_corrcoef(gold, chosen)) if len(occurring) > 1 else 0.0
    result["log_loss"] = float(losses(answers).mean())
    result["ece"] = calibration_error(reliability(answers))
    if answers.ordered:
        result |= ordinal_metrics(gold, chosen, len(answers.labels))
    if answers.separator:
        result |= hierarchical_metrics(gold, chosen, answers.labels, answers.separator)
    if answers.relations:
        result[DIRECTED] = directed_macro_f1(gold, chosen, answers.relations.merged(answers.labels))
    return {name: result[name] for name in names_of(answers)}


def names_of(answers: Answers) -> tuple[str, ...]:
    """Every metric of a set of answers, by name."""
    names = NAMES[answers.multi_label]
    if answers.ordered:
        names = (*ORDERED, *names)
    if answers.separator:
        above = len(upper_levels(answers.labels, answers.separator))
        names = (*names, *LEVELLED[:above], "hierarchical_f1")
    return (DIRECTED, *names) if answers.relations else names


def headline_of(names: Collection[str]) -> tuple[str, ...]:
    """The metrics to show first, of all that were measured; the first of them is the one that is tested.

    Args:
        names: What `names_of` named.

    Returns:
        Those of `HEADLINE`; before them kappa of ordered labels or the directed F1 of relations, after them two of a
        hierarchy.
    """
    return (
        *(name for name in ("quadratic_kappa", DIRECTED) if name in names),
        *HEADLINE["subset_accuracy" in names],
        *(name for name in ("level_1_accuracy", "hierarchical_f1") if name in names),
    )


def choices(*, multi_label: bool, ordered: bool, levelled: bool, directed: bool) -> tuple[str, ...]:
    """What training may stop and choose on, the default first.

    Args:
        multi_label: Whether a row may have several labels.
        ordered: Whether labels are steps of a scale.
        levelled: Whether labels have parents; then there is at least one level above them.
        directed: Whether labels are relations.

    Returns:
        Names of metrics that all such tasks have, and `loss`.
    """
    names = (*((DIRECTED,) if directed else ()), *(ORDERED if ordered else ()), *NAMES[multi_label])
    names = (*names, *(("level_1_accuracy", "hierarchical_f1") if levelled else ()))
    first = headline_of(names)[0]
    return (first, *(name for name in names if name != first), "loss")


def structure_sums(answers: Answers) -> dict[str, Floats]:
    """What each row adds to the sums behind the figures of ordered labels and of labels with parents, `(N,)` each."""
    found: dict[str, Floats] = {}
    if answers.ordered:
        found |= ordinal_sums(answers.gold, answers.chosen)
    if answers.separator:
        found |= hierarchical_sums(answers.gold, answers.chosen, answers.labels, answers.separator)
    return found


def checked(answers: Answers) -> None:
    """Refuses answers without rows, whose arrays do not fit, or whose labels are no paths where they must be."""
    rows, labels = len(answers.gold), len(answers.labels)
    if not rows:
        raise DataError("there are no rows to measure", where=answers.name, expected="at least one row with a label")
    shape = (rows, labels) if answers.multi_label else (rows,)
    if answers.probabilities.shape != (rows, labels) or answers.chosen.shape != shape or answers.gold.shape != shape:
        raise DataError(
            f"gold {answers.gold.shape}, probabilities {answers.probabilities.shape} and chosen "
            f"{answers.chosen.shape} do not fit {labels} labels",
            where=answers.name,
            expected=f"{shape}, {(rows, labels)} and {shape}",
        )
    if answers.separator and (wrong := misplaced(answers.labels, answers.separator)):
        raise DataError(wrong[0], where=answers.name, expected=f"labels with {answers.separator!r} after their parents")


def present(answers: Answers) -> NDArray[np.int64]:
    """The labels that occur in gold or chosen, as sorted indices."""
    if answers.multi_label:
        return np.flatnonzero(answers.gold.any(axis=0) | answers.chosen.any(axis=0))
    return np.union1d(answers.gold, answers.chosen).astype(np.int64)


def f1(gold: NDArray[Any], chosen: NDArray[Any], labels: NDArray[np.int64], average: str) -> float:
    """F1 over the labels given; zero where no label occurs at all."""
    if not len(labels):
        return 0.0
    return float(f1_score(gold, chosen, labels=labels, average=average, zero_division=NO_CASE))


def directed_macro_f1(gold: NDArray[Any], chosen: NDArray[Any], merged: NDArray[np.int64]) -> float:
    """The official score of SemEval-2010 task 8 (Hendrickx et al. 2010): macro F1 over relations, none left out.

    The two directions of a relation are one class, in which a right relation in the wrong direction is wrong: it
    counts as given and as missed. The label of no relation has no F1 of its own; giving it, or missing it, still
    costs the relations it was taken for. It is the mean of the relations' F1, as in the task's scorer.

    Args:
        gold: `(N,)` label indices.
        chosen: `(N,)` label indices.
        merged: `(K,)` the relation of each label, −1 for none (`Relations.merged`).

    Returns:
        The mean over the relations that occur in `gold` or in `chosen`; zero where none does.
    """
    count = int(merged.max(initial=-1)) + 1
    right, given, true = (
        np.bincount(merged[of][merged[of] >= 0], minlength=count) for of in (gold[gold == chosen], chosen, gold)
    )
    whole = given + true
    return float((2 * right[whole > 0] / whole[whole > 0]).mean()) if whole.any() else 0.0


def ranking(answers: Answers) -> dict[str, float]:
    """Macro and micro average precision of multi-label answers; zero where no row has a label."""
    occurring = np.flatnonzero(answers.gold.any(axis=0))
    if not len(occurring):
        return {"average_precision": 0.0, "micro_average_precision": 0.0}
    gold, scores = answers.gold[:, occurring], answers.probabilities[:, occurring]
    return {
        "average_precision": float(average_precision_score(gold, scores, average="macro")),
        "micro_average_precision": float(average_precision_score(answers.gold.ravel(), answers.probabilities.ravel())),
    }


def losses(answers: Answers) -> Floats:
    """The log loss of each row `(N,)`, in nats; multi-label, the mean over its labels."""
    probabilities = answers.probabilities.astype(np.float64)
    if answers.multi_label:
        of_truth = np.where(answers.gold, probabilities, 1.0 - probabilities)
        return -np.log(np.clip(of_truth, SMALLEST, 1.0)).mean(axis=1)
    return -np.log(np.clip(probabilities[np.arange(len(answers.gold)), answers.gold], SMALLEST, 1.0))


def certainty(answers: Answers) -> tuple[Floats, NDArray[np.bool_]]:
    """How sure every decision was and whether it came true.

    Args:
        answers: N rows over K labels.

    Returns:
        Confidences and outcomes, both `(N, 1)`: the probability of the chosen label and whether it is gold. Multi-label
        both `(N, K)`: the probability of each label and whether it applies.
    """
    probabilities = answers.probabilities.astype(np.float64)
    if answers.multi_label:
        return probabilities, answers.gold.astype(np.bool_)
    of_chosen = probabilities[np.arange(len(answers.chosen)), answers.chosen]
    return of_chosen[:, None], (answers.chosen == answers.gold)[:, None]


def bin_of(confidences: Floats) -> NDArray[np.int64]:
    """The bin of each confidence; bin m holds ((m)/15, (m+1)/15], and zero falls in the first."""
    return np.clip(np.ceil(confidences * BINS).astype(np.int64) - 1, 0, BINS - 1)


def reliability(answers: Answers) -> list[Bin]:
    """The bins of a reliability diagram (Guo et al., 2017), empty ones included.

    Args:
        answers: N rows.

    Returns:
        15 bins; `confidence` and `accuracy` are means over the bin, zero where it is empty.
    """
    sureness, truth = certainty(answers)
    return binned(sureness.ravel(), truth.ravel())


def binned(confidences: Floats, outcomes: NDArray[np.bool_]) -> list[Bin]:
    """Reliability bins of decisions.

    Args:
        confidences: `(M,)`.
        outcomes: `(M,)` whether each came true.

    Returns:
        15 bins, as `reliability` has them.
    """
    index = bin_of(confidences)
    counts = np.bincount(index, minlength=BINS)
    sure = np.bincount(index, weights=confidences, minlength=BINS) / np.maximum(counts, 1)
    right = np.bincount(index, weights=outcomes, minlength=BINS) / np.maximum(counts, 1)
    edges = np.linspace(0.0, 1.0, BINS + 1)
    return [
        Bin(float(edges[m]), float(edges[m + 1]), int(counts[m]), float(sure[m]), float(right[m])) for m in range(BINS)
    ]


def calibration_error(bins: list[Bin]) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy, weighted by count."""
    total = sum(bin.count for bin in bins)
    return sum(bin.count * abs(bin.confidence - bin.accuracy) for bin in bins) / total
