"""Correlations of numbers under many row weights at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CONSTANT = 1e-18
"""Share of all rows' variance below which some of them count as equal: rounding."""


def ranks(values: Floats, weights: Floats) -> Floats:
    """Ranks of values among weighted rows; ties share their middle rank.

    With whole weights they are the ranks that the rows have where each is repeated as often as it weighs.

    Args:
        values: `(N,)`.
        weights: `(R, N)`.

    Returns:
        `(R, N)`, counted from 1.
    """
    _, groups = np.unique(values, return_inverse=True)
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    sizes = np.add.reduceat(weights[:, order], starts, axis=1)
    return (np.cumsum(sizes, axis=1) - sizes / 2 + 0.5)[:, groups]


def correlation(first: Floats, second: Floats, weights: Floats) -> Floats:
    """Pearson's correlation under each weighting; 0 where either side does not vary.

    Args:
        first: `(N,)`, or `(R, N)` where the values depend on the weighting.
        second: The same.
        weights: `(R, N)`.

    Returns:
        `(R,)`.
    """
    total = weights.sum(1, keepdims=True)
    a, b = (centred(values, weights, total) for values in (first, second))
    spread = (weights * a * a).sum(1) * (weights * b * b).sum(1)
    varies = spread > (CONSTANT * total[:, 0]) ** 2
    return np.where(varies, (weights * a * b).sum(1) / np.sqrt(np.where(varies, spread, 1.0)), 0.0)


def centred(values: Floats, weights: Floats, total: Floats) -> Floats:
    """Values of about unit spread, less their weighted mean."""
    values = (values - values.mean()) / (values.std() if np.ptp(values) else 1.0)
    return values - (weights * values).sum(1, keepdims=True) / total
