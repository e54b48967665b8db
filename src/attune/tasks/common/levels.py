"""Contextual calibration: what each label is ahead by, whatever the text."""

from __future__ import annotations

from torch import Tensor


def ahead(logits: Tensor) -> Tensor:
    """How far each label's mean logit is above that of all, to be taken from it (Zhao et al. 2021).

    The user's own texts, whose labels are not read, stand for the content-free ones of the paper.

    Args:
        logits: `(N, K)`.

    Returns:
        `(K,)`, of mean zero.
    """
    return logits.mean(0) - logits.mean()
