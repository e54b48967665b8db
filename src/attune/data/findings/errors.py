"""Likely label errors: confident learning over out-of-fold answers of a probe on the untuned features.

Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", 2021; by cleanlab.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attune.data.findings.labels import same_names
from attune.data.findings.record import Collector, Finding
from attune.data.findings.sample import Sample
from attune.data.table import Table

FOLDS = 5
FLOOR = 1e-3
"""Smallest standard deviation a feature is divided by; a feature that hardly varies is not blown up to noise."""
STRENGTH = 0.01
"""Inverse L2 strength of the probe."""
MARGIN = 1.25
"""Rows flagged for each that confident learning estimates to be wrong: which ones they are is less sure than how many,
and a row to look at is cheaper than an error overlooked."""
MOST = 0.05
"""Share of the rows flagged at most, the least plausible first."""
STEP = 256

Embed = Callable[[list[str]], NDArray[Any]]


def check(sample: Sample, tables: dict[str, Table], folder: Path, embed: Embed, seed: int) -> tuple[list[Finding], str]:
    """Looks for rows whose label a probe that never saw them finds implausible.

    Args:
        sample: Rows to look at.
        tables: The splits.
        folder: For references.
        embed: Features `(N, D)` of `N` texts, the two of a pair joined.
        seed: Of the folds.

    Returns:
        A finding `label_errors` where there are any, and what the check looked at or why it did not run.
    """
    multi_label = any(isinstance(label, list) for label in sample.labels)
    sample = _merged(sample)
    kept, targets, names = _multi_targets(sample) if multi_label else _targets(sample)
    if len(names) < 2 or len(kept) < 10 * FOLDS:
        return [], "not run: too few rows of at least two classes"
    features = standardised(_features([sample.texts[place] for place in kept], embed))
    if multi_label:
        flagged, said = _multi_flags(features, targets, names, seed)
    else:
        flagged, said = flags(features, targets, names, seed)
    rows = Collector(folder / "label_errors.rows")
    for place, detail in zip(flagged, said, strict=True):
        rows.add(int(sample.sides[kept[place]]), int(sample.rows[kept[place]]), detail)
    stated = f"{sample.stated()}, in {len(names)} classes with {FOLDS} rows or more"
    return ([_finding(rows, len(kept), stated, tables)] if rows.count else []), stated


def _finding(rows: Collector, looked_at: int, stated: str, tables: dict[str, Table]) -> Finding:
    share = rows.count / looked_at
    return Finding(
        kind="label_errors",
        severity="warn",
        count=rows.count,
        share=share,
        summary=f"{rows.count:,} rows ({share:.1%}) likely have a wrong label (looked at {stated}).",
        cost="Wrong labels in train cost accuracy; wrong ones in test make every figure wrong by up to their share.",
        remedy="Review them, the least plausible first; not each is an error. `--fix` lists them and changes none.",
        rows=rows.close(tables, keep_order=True),
        references=rows.path,
    )


def _merged(sample: Sample) -> Sample:
    """The sample with every spelling of a label name as one: `label_typos` reports those, and they are no errors."""
    total: dict[str, int] = {}
    for labels in sample.labels:
        for label in [labels] if isinstance(labels, str) else labels:
            total[label] = total.get(label, 0) + 1
    best = same_names(total)
    if not best:
        return sample
    merged: list[Any] = [
        best.get(labels, labels) if isinstance(labels, str) else [best.get(label, label) for label in labels]
        for labels in sample.labels
    ]
    return replace(sample, labels=merged)


def _features(texts: list[str], embed: Embed) -> NDArray[np.float32]:
    parts = [np.asarray(embed(texts[i : i + STEP]), np.float32) for i in range(0, len(texts), STEP)]
    return np.concatenate(parts)


def standardised(features: NDArray[Any]) -> NDArray[np.float32]:
    """Features with mean 0 and standard deviation 1, but for those that hardly vary.

    Args:
        features: `(N, D)`.

    Returns:
        `(N, D)` float32.
    """
    return ((features - features.mean(0)) / np.maximum(features.std(0), FLOOR)).astype(np.float32)


def _targets(sample: Sample) -> tuple[list[int], NDArray[np.int64], list[str]]:
    """Rows of classes large enough for the folds, their class numbers, and the class names."""
    total: dict[str, int] = {}
    for label in sample.labels:
        total[label] = total.get(label, 0) + 1
    names = sorted(label for label, count in total.items() if count >= FOLDS)
    number = {label: index for index, label in enumerate(names)}
    kept = [place for place, label in enumerate(sample.labels) if label in number and sample.texts[place].strip()]
    return kept, np.array([number[sample.labels[place]] for place in kept], np.int64), names


def _multi_targets(sample: Sample) -> tuple[list[int], NDArray[np.int64], list[str]]:
    total: dict[str, int] = {}
    for labels in sample.labels:
        for label in labels:
            total[label] = total.get(label, 0) + 1
    names = sorted(label for label, count in total.items() if count >= 2 * FOLDS)
    kept = [place for place, text in enumerate(sample.texts) if text.strip()]
    targets = np.array([[int(name in sample.labels[place]) for name in names] for place in kept], np.int64)
    return kept, targets, names


def out_of_fold(features: NDArray[Any], targets: NDArray[np.int64], classes: int, seed: int) -> NDArray[np.float64]:
    """Probabilities of each row from a logistic regression that was fitted without it.

    Args:
        features: `(N, D)`.
        targets: `(N,)` class numbers, each class at least as often as there are folds.
        classes: `K`.
        seed: Of the folds.

    Returns:
        `(N, K)`.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    probabilities = np.zeros((len(targets), classes))
    for fit, rest in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(features, targets):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            probe = LogisticRegression(C=STRENGTH, max_iter=200, tol=1e-3).fit(features[fit], targets[fit])
        probabilities[np.ix_(rest, probe.classes_)] = probe.predict_proba(features[rest])
    return probabilities


def flags(
    features: NDArray[Any], targets: NDArray[np.int64], names: list[str], seed: int
) -> tuple[list[int], list[str]]:
    """Rows whose label is likely wrong, the least plausible first.

    Confident learning says how many; the probability of the given label says which.

    Args:
        features: `(N, D)` standardised.
        targets: `(N,)` class numbers.
        names: `K` class names.
        seed: Of the folds.

    Returns:
        Row numbers, and for each the label that would fit better.
    """
    from cleanlab.count import num_label_issues

    probabilities = out_of_fold(features, targets, len(names), seed)
    estimated = int(num_label_issues(targets, probabilities))
    confidence = probabilities[np.arange(len(targets)), targets]
    doubted = np.flatnonzero(probabilities.argmax(1) != targets)
    most = min(int(np.ceil(MARGIN * estimated)), int(MOST * len(targets)))
    places = [int(place) for place in doubted[np.argsort(confidence[doubted], kind="stable")][:most]]
    best = probabilities[places].argmax(1) if places else np.empty(0, np.int64)
    said = [
        f"labelled {names[targets[place]]!r} ({probabilities[place, targets[place]]:.0%}), "
        f"looks like {names[guess]!r} ({probabilities[place, guess]:.0%})"
        for place, guess in zip(places, best, strict=True)
    ]
    return places, said


def _multi_flags(
    features: NDArray[Any], targets: NDArray[np.int64], names: list[str], seed: int
) -> tuple[list[int], list[str]]:
    """Multi-label: one probe a label, and cleanlab's score over all labels of a row."""
    from cleanlab.multilabel_classification import get_label_quality_scores
    from cleanlab.multilabel_classification.filter import find_label_issues

    columns = [out_of_fold(features, targets[:, index], 2, seed)[:, 1] for index in range(len(names))]
    probabilities = np.stack(columns, axis=1)
    given = [np.flatnonzero(row).tolist() for row in targets]
    flagged = np.flatnonzero(find_label_issues(given, probabilities, n_jobs=1))
    scores = get_label_quality_scores(given, probabilities)
    places = [int(place) for place in flagged[np.argsort(scores[flagged])]][: int(MOST * len(targets))]
    said: list[str] = []
    for place in places:
        missing = [n for n, p, t in zip(names, probabilities[place], targets[place], strict=True) if p > 0.5 and not t]
        doubtful = [n for n, p, t in zip(names, probabilities[place], targets[place], strict=True) if p < 0.2 and t]
        parts = [f"may lack {', '.join(missing)}"] * bool(missing) + [f"doubtful: {', '.join(doubtful)}"] * bool(
            doubtful
        )
        said.append("; ".join(parts) or "an unlikely set of labels")
    return places, said
