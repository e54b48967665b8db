"""Supervised contrast: every text of a label is right for every other one (Khosla et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from attune.tasks.common.contrast import ABSENT


def supervised_contrast(
    vectors: Tensor, texts: Tensor, labels: Tensor, scale: float, sizes: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """How much probability each text's own label lacks, over a batch.

    For each text the mean, over all other texts of its label, of the cross-entropy with which that one is found among
    all texts of the batch (L_out, equation 2 of the paper). A text's second time is no other text: it is neither
    found nor compared. With several sizes the losses over the first so many features are summed.

    Args:
        vectors: `(B, M, D)`, M texts of each row.
        texts: `(B, M)` int64: which text each is; `ABSENT` where a row has no more.
        labels: `(B, M)` int64.
        scale: Multiplies cosines; one over the temperature.
        sizes: Features that are compared; none for all of them.

    Returns:
        Of each row `(B,)` the mean over its texts for which there is another of their label, zero where there is none;
        and one, or zero where there is none `(B,)`.
    """
    there = texts.flatten() != ABSENT
    names, kinds = texts.flatten()[there], labels.flatten()[there]
    other = names[:, None] != names
    right = other & (kinds[:, None] == kinds)
    asks = right.any(1)
    with torch.autocast(vectors.device.type, enabled=False):
        each = [
            found_one(F.normalize(vectors[..., :size], dim=-1).flatten(0, 1)[there] * scale**0.5, other, right)
            for size in sizes or (vectors.shape[-1],)
        ]
    loss = torch.stack(each).sum(0)
    total, count = vectors.new_zeros(2, there.numel(), dtype=loss.dtype)
    total = total.masked_scatter(there, loss * asks).view(texts.shape).sum(1)
    count = count.masked_scatter(there, asks.to(loss.dtype)).view(texts.shape).sum(1)
    return total / count.clamp(min=1), (count > 0).to(total)


def found_one(vectors: Tensor, other: Tensor, right: Tensor) -> Tensor:
    """The loss `(P,)` of each of P texts at one size; zero where none is right for it."""
    logits = vectors @ vectors.T
    among = logits.masked_fill(~other, -torch.inf)
    few = other.any(1)
    whole = torch.where(few, torch.where(few[:, None], among, torch.zeros_like(among)).logsumexp(1), 0.0)
    own = torch.where(right, whole[:, None] - logits, 0.0)
    return own.sum(1) / right.sum(1).clamp(min=1)
