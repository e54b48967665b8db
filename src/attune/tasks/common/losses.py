"""Losses of one row, shared by tasks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float, gamma: float) -> Tensor:
    """Cross-entropy a row, smoothed (Szegedy et al. 2016) or focal (Lin et al. 2017).

    Args:
        logits: `(B, K)`.
        targets: `(B,)` label indices.
        smoothing: Share of the target spread evenly over all labels.
        gamma: Focusing power; 0 is plain cross-entropy.

    Returns:
        `(B,)`.
    """
    loss = F.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)
    return focused(loss, logits, targets, gamma)


def focused(loss: Tensor, logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
    """A row's loss times how unsure the right label is, to the power gamma (Lin et al. 2017); as it is for 0.

    Args:
        loss: `(B,)`.
        logits: `(B, K)`.
        targets: `(B,)` label indices.
        gamma: Focusing power.

    Returns:
        `(B,)`.
    """
    if not gamma:
        return loss
    truth = logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1).exp()
    return loss * (1 - truth).pow(gamma)


def binary_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float, gamma: float) -> Tensor:
    """Binary cross-entropy of each label, summed over a row's labels; smoothed or focal as above.

    Args:
        logits: `(B, K)`.
        targets: `(B, K)` of zeros and ones.
        smoothing: Share by which targets are drawn towards one half.
        gamma: Focusing power.

    Returns:
        `(B, K)`, not yet summed.
    """
    soft = targets * (1 - smoothing) + 0.5 * smoothing
    loss = F.binary_cross_entropy_with_logits(logits, soft, reduction="none")
    if gamma:
        probability = torch.sigmoid(logits)
        truth = targets * probability + (1 - targets) * (1 - probability)
        loss = loss * (1 - truth).pow(gamma)
    return loss
