"""The linear head: one affine map from the pooled vector to the labels, with a convex start."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator, Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor, nn

LossOf = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Logits `(B, K)` and targets to total `(B,)` and weight `(B,)`."""

SPREAD_FLOOR = 1e-3
SMALL = 50_000_000
"""Products in one evaluation of the loss below which one thread solves it."""
L2_GRID = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)


class LinearHead(nn.Module):
    """Dropout and one affine map.

    Args:
        width: Features of the pooled vector, D.
        outputs: Labels, K.
        dropout: Dropout probability before the map.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    over: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})
    """What of a backbone it can be put on."""
    trains: ClassVar[bool] = True
    """Whether it must be trained before it can answer."""
    unit: ClassVar[bool] = False
    """Whether features are scaled to length one before the affine map."""
    summary: ClassVar[str] = "one affine map from a vector to the labels, started from its convex solution"

    def __init__(self, width: int, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, outputs)
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Logits `(…, K)` of features `(…, D)`: of a row, or of each of its tokens."""
        return self.linear(self.dropout(features))

    def affine(self) -> tuple[Tensor, Tensor]:
        """Weight `(K, D)` and bias `(K,)`."""
        return self.linear.weight, self.linear.bias

    def fit(self, features: NDArray[np.float32], targets: Tensor, loss: LossOf, l2: float) -> None:
        """Solves the head as a convex problem on fixed features.

        Args:
            features: `(N, D)`.
            targets: `(N,)` or `(N, K)`.
            loss: The task's loss.
            l2: Strength of the penalty on the weights of standardised features.
        """
        basis = Basis(features)
        weight, bias = basis.plain(solve(basis, targets, loss, self.linear.out_features, l2))
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(weight))
            self.linear.bias.copy_(torch.from_numpy(bias))


class Basis:
    """Features standardised and turned into their principal axes, where the problem is nearly round.

    The rotation leaves ‖W‖ as it is; dividing each axis by the square root of its curvature lets L-BFGS converge in a
    few dozen steps where it took hundreds. The spread has a floor, for dimensions that never vary.

    Args:
        features: `(N, D)`.
    """

    def __init__(self, features: NDArray[np.float32]) -> None:
        spread = features.std(0, dtype=np.float64)
        self.mean = features.mean(0, dtype=np.float64)
        self.spread = np.maximum(spread, SPREAD_FLOOR * float(spread.max() or 1.0))
        scaled = ((features - self.mean) / self.spread).astype(np.float32)
        self.variance, axes = np.linalg.eigh((scaled.T @ scaled / len(scaled)).astype(np.float64))
        self.axes = axes.astype(np.float32)
        self.features = torch.from_numpy(scaled @ self.axes)

    def plain(self, theta: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weight `(K, D)` and bias `(K,)` for features as they are, from a solution `(K, D + 1)` in this basis."""
        weight = (theta[:, :-1] @ self.axes.T.astype(np.float64)) / self.spread
        bias = theta[:, -1] - weight @ self.mean
        return weight.astype(np.float32), bias.astype(np.float32)


def solve(
    basis: Basis, targets: Tensor, loss: LossOf, outputs: int, l2: float, start: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Minimises mean loss + l2/2 · ‖W‖² over standardised features by preconditioned L-BFGS.

    Args:
        basis: The features.
        targets: `(N,)` or `(N, K)`.
        loss: The task's loss.
        outputs: K.
        l2: Penalty strength.
        start: Where to begin, `(K, D + 1)`; zeros where not given.

    Returns:
        The solution `(K, D + 1)` in the basis, bias last.
    """
    features = basis.features
    width = features.shape[1]
    curvature = np.append(np.maximum(basis.variance, 0), 1.0) / max(outputs, 4) + np.append(np.full(width, l2), 0)
    step = 1 / np.sqrt(curvature)
    scale = torch.from_numpy(step.astype(np.float32))

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        free = torch.from_numpy(flat.astype(np.float32)).view(outputs, width + 1).requires_grad_()
        theta = free * scale
        total, weight = loss(torch.addmm(theta[:, width], features, theta[:, :width].T), targets)
        value = total.sum() / weight.sum() + 0.5 * l2 * theta[:, :width].square().sum()
        (gradient,) = torch.autograd.grad(value, free)
        return float(value.detach()), gradient.reshape(-1).numpy().astype(np.float64)

    begin = np.zeros((outputs, width + 1)) if start is None else start / step
    with few_threads(features.numel() * outputs):
        found = minimize(
            objective,
            begin.reshape(-1),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 100, "ftol": 1e-6, "gtol": 1e-6},
        )
    return found.x.reshape(outputs, width + 1) * step


@contextlib.contextmanager
def few_threads(products: int) -> Generator[None]:
    """One thread for small problems: over thousands of short steps, waiting costs more than a second one saves."""
    before = torch.get_num_threads()
    if products < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_l2(
    features: NDArray[np.float32],
    targets: Tensor,
    loss: LossOf,
    outputs: int,
    *,
    grid: Sequence[float] = L2_GRID,
    folds: int = 3,
    seed: int = 0,
) -> float:
    """Chooses the penalty by cross-validated loss, from strong to weak with warm starts, until it no longer falls.

    Args:
        features: `(N, D)`.
        targets: `(N,)` or `(N, K)`.
        loss: The task's loss; also what is compared, on the rows held out.
        outputs: K.
        grid: Strengths to choose from, the strongest first.
        folds: Parts of the cross-validation.
        seed: Seed of the parts.

    Returns:
        The chosen strength, one of the grid.
    """
    part = np.random.default_rng(seed).permutation(len(features)) % folds
    return cross_validated(features, targets, loss, outputs, part)[0]


def cross_validated(
    features: NDArray[np.float32],
    targets: Tensor,
    loss: LossOf,
    outputs: int,
    part: NDArray[np.int64],
    grid: Sequence[float] = L2_GRID,
) -> tuple[float, NDArray[np.float32]]:
    """Solves the head once a part on the rows of the others, from a strong penalty to a weak one.

    Args:
        features: `(N, D)`.
        targets: `(N,)` or `(N, K)`.
        loss: The task's loss; also what penalties are compared by, on the rows held out.
        outputs: K.
        part: `(N,)` the part of each row, counted from 0; at least two of them have rows.
        grid: Penalties to try, from strong to weak, until the loss no longer falls.

    Returns:
        The best penalty, and with it the logits `(N, K)` of each row by the head that has not seen its part.
    """
    folds = int(part.max()) + 1
    used = [fold for fold in range(folds) if (part == fold).any() and (part != fold).any()]
    bases = {fold: Basis(features[part != fold]) for fold in used}
    starts: dict[int, NDArray[np.float64]] = {}
    best, chosen, answered = math.inf, grid[0], np.zeros((len(features), outputs), dtype=np.float32)
    for l2 in grid:
        held_loss, logits = 0.0, np.zeros_like(answered)
        for fold in used:
            keep, held = torch.from_numpy(part != fold), part == fold
            starts[fold] = solve(bases[fold], targets[keep], loss, outputs, l2, starts.get(fold))
            weight, bias = bases[fold].plain(starts[fold])
            logits[held] = features[held] @ weight.T + bias
            total, _ = loss(torch.from_numpy(logits[held]), targets[torch.from_numpy(held)])
            held_loss += float(total.sum())
        if held_loss >= best:
            break
        best, chosen, answered = held_loss, l2, logits
    return chosen, answered
