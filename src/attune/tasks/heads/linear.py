"""The linear head: one affine map from the pooled vector to the labels, with a convex start."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor, nn

LossOf = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Logits `(B, K)` and targets to total `(B,)` and weight `(B,)`."""

SPREAD_FLOOR = 1e-3
L2_GRID = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)


class LinearHead(nn.Module):
    """Dropout and one affine map.

    Args:
        width: Features of the pooled vector, D.
        outputs: Labels, K.
        dropout: Dropout probability before the map.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"pooled"})
    trains: ClassVar[bool] = True
    summary: ClassVar[str] = "one affine map from the pooled vector to the labels, started from its convex solution"

    def __init__(self, width: int, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, outputs)
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Logits `(B, K)` of pooled features `(B, D)`."""
        return self.linear(self.dropout(features))

    def fit(self, features: NDArray[np.float32], targets: Tensor, loss: LossOf, l2: float) -> None:
        """Solves the head as a convex problem on fixed features.

        Args:
            features: `(N, D)`.
            targets: `(N,)` or `(N, K)`.
            loss: The task's loss.
            l2: Strength of the penalty on the weights of standardised features.
        """
        weight, bias = solve(features, targets, loss, self.linear.out_features, l2)
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(weight))
            self.linear.bias.copy_(torch.from_numpy(bias))


def standardiser(features: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and spread of each feature; the spread has a floor, for dimensions that never vary."""
    mean = features.mean(0, dtype=np.float64)
    spread = features.std(0, dtype=np.float64)
    return mean.astype(np.float32), np.maximum(spread, SPREAD_FLOOR * float(spread.max() or 1.0)).astype(np.float32)


def solve(
    features: NDArray[np.float32],
    targets: Tensor,
    loss: LossOf,
    outputs: int,
    l2: float,
    start: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Minimises mean loss + l2/2 · ‖W‖² over standardised features by L-BFGS.

    Args:
        features: `(N, D)`.
        targets: `(N,)` or `(N, K)`.
        loss: The task's loss.
        outputs: K.
        l2: Penalty strength.
        start: Flat starting point `(K·(D+1),)`; zeros where not given. Overwritten with the solution.

    Returns:
        Weight `(K, D)` and bias `(K,)` for features as they are, not standardised.
    """
    mean, spread = standardiser(features)
    scaled = torch.from_numpy((features - mean) / spread)
    width = features.shape[1]

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        theta = torch.from_numpy(flat.astype(np.float32)).view(outputs, width + 1).requires_grad_()
        total, weight = loss(scaled @ theta[:, :width].T + theta[:, width], targets)
        value = total.sum() / weight.sum() + 0.5 * l2 * theta[:, :width].square().sum()
        (gradient,) = torch.autograd.grad(value, theta)
        return float(value.detach()), gradient.reshape(-1).numpy().astype(np.float64)

    begin = np.zeros(outputs * (width + 1)) if start is None else start
    found = minimize(objective, begin, jac=True, method="L-BFGS-B", options={"maxiter": 200, "maxcor": 10, "ftol": 1e-7})
    if start is not None:
        start[:] = found.x
    theta = found.x.reshape(outputs, width + 1)
    weight = theta[:, :width] / spread
    bias = theta[:, width] - weight @ mean
    return weight.astype(np.float32), bias.astype(np.float32)


def choose_l2(
    features: NDArray[np.float32], targets: Tensor, loss: LossOf, outputs: int, *, folds: int = 5, seed: int = 0
) -> float:
    """Chooses the penalty by cross-validated loss, from strong to weak with warm starts.

    Args:
        features: `(N, D)`.
        targets: `(N,)` or `(N, K)`.
        loss: The task's loss; also what is compared, on the rows held out.
        outputs: K.
        folds: Parts of the cross-validation.
        seed: Seed of the parts.

    Returns:
        The chosen strength, one of `L2_GRID`.
    """
    part = np.random.default_rng(seed).permutation(len(features)) % folds
    losses = np.zeros(len(L2_GRID))
    for fold in range(folds):
        keep, held = part != fold, part == fold
        if not keep.any() or not held.any():
            continue
        theta = np.zeros(outputs * (features.shape[1] + 1))
        for index, l2 in enumerate(L2_GRID):
            weight, bias = solve(features[keep], targets[keep], loss, outputs, l2, theta)
            logits = torch.from_numpy(features[held] @ weight.T + bias)
            losses[index] += float(loss(logits, targets[held])[0].sum())
    return L2_GRID[int(losses.argmin())]
