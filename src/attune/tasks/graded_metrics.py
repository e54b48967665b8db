"""Figures that count how far off an answer is: in steps of a scale, or in a tree of labels.

Each comes twice: of all rows, and as what a row adds to the sums that it is a function of, for resamples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score

from attune.tasks.common.paths import path, upper_levels

Floats = NDArray[np.float64]


def ordinal_metrics(gold: NDArray[Any], chosen: NDArray[Any], count: int) -> dict[str, float]:
    """Mean absolute error in steps, and quadratic weighted kappa (Cohen 1968) by scikit-learn.

    Args:
        gold: `(N,)` places in the order.
        chosen: `(N,)` places in the order.
        count: K.

    Returns:
        `mae_steps` and `quadratic_kappa`; kappa is zero where all rows have one label in both, as it is undefined.
    """
    constant = len(np.union1d(gold, chosen)) < 2
    kappa = 0.0 if constant else cohen_kappa_score(gold, chosen, labels=np.arange(count), weights="quadratic")
    return {"mae_steps": float(np.abs(gold - chosen).mean()), "quadratic_kappa": float(kappa)}


def ordinal_sums(gold: NDArray[Any], chosen: NDArray[Any]) -> dict[str, Floats]:
    """What each row adds to the sums that both figures are functions of, `(N,)` each."""
    gold, chosen = gold.astype(np.float64), chosen.astype(np.float64)
    steps = gold - chosen
    return {
        "steps": np.abs(steps), "steps_squared": steps**2, "gold": gold, "chosen": chosen, "gold_squared": gold**2,
        "chosen_squared": chosen**2,
    }  # fmt: skip


def kappa_of_sums(rows: Floats, sums: dict[str, Floats]) -> Floats:
    """Quadratic weighted kappa from sums over rows `(R,)`: one less observed over expected squared distance.

    Args:
        rows: `(R,)` rows in each resample.
        sums: Those of `ordinal_sums`, `(R,)` each.

    Returns:
        `(R,)`, zero where the expected distance is.
    """
    expected = rows * (sums["gold_squared"] + sums["chosen_squared"]) - 2 * sums["gold"] * sums["chosen"]
    there = expected > 0
    ratio = np.divide(rows * sums["steps_squared"], expected, out=np.ones_like(expected), where=there)
    return 1 - ratio


def hierarchical_sums(
    gold: NDArray[Any], chosen: NDArray[Any], names: tuple[str, ...], separator: str
) -> dict[str, Floats]:
    """What each row adds to the sums that the figures of a hierarchy are functions of.

    Args:
        gold: `(N,)` label indices.
        chosen: `(N,)` label indices.
        names: The label names.
        separator: What parts a label's name from its parent's.

    Returns:
        `(N,)` each: `level_1`, … whether the node on that level is right; `shared`, `gold_path` and `chosen_path`, how
        many nodes the two paths have in common and each has in all.
    """
    paths = [path(name, separator) for name in names]
    lengths = np.asarray([len(way) for way in paths], dtype=np.float64)
    nodes = {node: place for place, node in enumerate(sorted({node for way in paths for node in way}))}
    lies = np.zeros((len(names), len(nodes)), dtype=np.float64)
    for label, way in enumerate(paths):
        lies[label, [nodes[node] for node in way]] = 1.0
    found: dict[str, Floats] = {}
    for number, level in enumerate(upper_levels(names, separator), 1):
        found[f"level_{number}"] = (level.of[gold] == level.of[chosen]).astype(np.float64)
    common = (lies @ lies.T)[gold, chosen]
    return {**found, "shared": common, "gold_path": lengths[gold], "chosen_path": lengths[chosen]}


def hierarchical_metrics(
    gold: NDArray[Any], chosen: NDArray[Any], names: tuple[str, ...], separator: str
) -> dict[str, float]:
    """Accuracy of every level above the leaves, and hierarchical F1.

    Hierarchical F1 is that of Kiritchenko, Matwin and Famili, Functional Annotation of Genes Using Hierarchical Text
    Categorization, 2005: precision and recall over all rows, counting each label with everything it lies below.

    Args:
        gold: `(N,)` label indices.
        chosen: `(N,)` label indices.
        names: The label names.
        separator: What parts a label's name from its parent's.

    Returns:
        `level_1_accuracy` of the topmost level, and so on, then `hierarchical_f1`.
    """
    sums = hierarchical_sums(gold, chosen, names, separator)
    found = {f"{name}_accuracy": float(sums[name].mean()) for name in sums if name.startswith("level_")}
    whole = sums["gold_path"].sum() + sums["chosen_path"].sum()
    return {**found, "hierarchical_f1": float(2 * sums["shared"].sum() / whole)}
