"""What a contrastive loss compares: every anchor of a batch with every text of it that is not right for it too."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import xxhash
from torch import Tensor
from torch.nn import functional as F

ABSENT = 0
"""The key of a place at which a row has no text."""


def key_of(text: str) -> int:
    """What a text is known by in targets: 63 bits of its hash, never `ABSENT`; equal texts have equal keys."""
    return max(1, xxhash.xxh64_intdigest(text.encode()) >> 1)


def contrast(vectors: Tensor, keys: Tensor, scale: float, symmetric: bool, sizes: Sequence[int]) -> Tensor:
    """How much probability each anchor's own positive lacks, over a batch.

    Multiple negatives ranking (Henderson et al. 2017), InfoNCE (van den Oord et al. 2018): cross-entropy of the scaled
    cosines of an anchor with all positives and hard negatives of the batch. With several sizes the losses over the
    first so many features, scaled to length one again, are summed (Matryoshka, Kusupati et al. 2022).

    Args:
        vectors: `(B, M, D)`: of each row the anchor, the positive, and its hard negatives.
        keys: `(B, M)` int64: which text each of them is; `ABSENT` where a row has no more.
        scale: Multiplies cosines; one over the temperature.
        symmetric: Whether a positive must find its anchor among all anchors too; the mean of both is taken.
        sizes: Features that are compared; none for all of them.

    Returns:
        `(B,)`.
    """
    with torch.autocast(vectors.device.type, enabled=False):  # cosines near to each other are equal in bfloat16
        each = [scored(vectors[..., :size], keys, scale, symmetric) for size in sizes or (vectors.shape[-1],)]
    return torch.stack(each).sum(0)


def scored(vectors: Tensor, keys: Tensor, scale: float, symmetric: bool) -> Tensor:
    """The loss `(B,)` at one size."""
    unit = F.normalize(vectors, dim=-1)
    anchors, positives = unit[:, 0], unit[:, 1]
    there = keys[:, 2:] != ABSENT
    others = torch.cat([positives, unit[:, 2:][there]])
    names = torch.cat([keys[:, 1], keys[:, 2:][there]])
    loss = one_way(scale * anchors @ others.T, keys[:, 0], keys[:, 1], names)
    if not symmetric:
        return loss
    return (loss + one_way(scale * positives @ anchors.T, keys[:, 1], keys[:, 0], keys[:, 0])) / 2


def one_way(logits: Tensor, asked: Tensor, right: Tensor, names: Tensor) -> Tensor:
    """Cross-entropy of each row's own text, which stands at the row's number; what is right as well has no part in it.

    Left out are texts that are right for an equal text of the batch, texts that are the asked one itself, and a text's
    second time: a text counts once, however many rows bring it.

    Args:
        logits: `(B, C)`.
        asked: `(B,)` keys of the texts that ask.
        right: `(B,)` keys of what is right for them.
        names: `(C,)` keys of what is compared, the B right ones first.

    Returns:
        `(B,)`.
    """
    own = torch.arange(len(asked), device=asked.device)
    same = (asked[:, None] == asked).float()
    also = same @ (right[:, None] == names).float() > 0
    again = (names[:, None] == names).tril(-1).any(1)
    out = also | again | (names == asked[:, None])
    out[own, own] = False
    return F.cross_entropy(logits.masked_fill(out, -torch.inf), own, reduction="none")
