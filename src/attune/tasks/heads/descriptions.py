"""The descriptions head: a text is as near to a label as its vector is to the label's, which begins as its texts'."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attune.tasks.common.levels import ahead

SCALE = 20.0
"""Multiplies cosines before they become probabilities: the usual scale of sentence embeddings."""
OPENNESS = 1.0
"""Logit that the nearest label of a text has on average where a text may have several: a probability of 0.73."""


class DescriptionsHead(nn.Module):
    """Logits are a scale times the cosine of text and label vector, plus a level of the label.

    Vectors, scale and levels are parameters: they stay as `begin` and `balance` leave them with the method `none`, and
    move with any other. The logarithm of the scale is what moves (as in CLIP, Radford et al. 2021).

    Args:
        width: Features of the pooled vector, D.
        outputs: Labels, K.
        dropout: Dropout probability of the text's vector.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    over: ClassVar[frozenset[str]] = frozenset({"pooled"})
    options: ClassVar[frozenset[str]] = frozenset({"calibrate", "descriptions", "shots"})
    """The options of the task that it reads."""
    trains: ClassVar[bool] = False
    unit: ClassVar[bool] = True
    summary: ClassVar[str] = (
        "the cosine with each label's vector, which begins as the embedding of the label's texts; answers untrained"
    )

    def __init__(self, width: int, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.vectors = nn.Parameter(torch.randn(outputs, width))
        self.log_scale = nn.Parameter(torch.tensor(math.log(SCALE)))
        self.level = nn.Parameter(torch.zeros(outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Logits `(B, K)` of pooled features `(B, D)`."""
        weight, level = self.affine()
        return F.linear(F.normalize(self.dropout(features), dim=-1), weight, level)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Weight `(K, D)` and bias `(K,)` for features of length one."""
        return self.log_scale.exp() * F.normalize(self.vectors, dim=-1), self.level

    @torch.no_grad()
    def begin(self, texts: Sequence[Tensor], shots: Sequence[Tensor]) -> None:
        """Sets the label vectors: each the mean of the label's texts and rows, of length one before.

        A text counts as much as a row, so that a label told in several sentences is not drowned by a few rows.

        Args:
            texts: For each label `(n, D)`, the vectors of its texts.
            shots: For each label `(k, D)`, the vectors of rows that have it; k may be 0.
        """
        for position, (told, shown) in enumerate(zip(texts, shots, strict=True)):
            self.vectors[position] = F.normalize(torch.cat([told, shown]), dim=-1).mean(0)

    @torch.no_grad()
    def balance(self, features: Tensor, *, each: bool, several: bool) -> None:
        """Sets the levels from unlabelled texts.

        `each` takes from every label the mean logit that it gets on those texts, so that no label is ahead for all of
        them: contextual calibration (Zhao et al. 2021), with the user's own texts as the content-free ones. `several`
        moves all labels alike, so that the nearest label of those texts has a logit of `OPENNESS` on average; the
        cosines themselves are nearly all above zero, and every label would apply.

        Args:
            features: `(N, D)`.
            each: Whether to calibrate the labels against each other.
            several: Whether a text may have several labels.
        """
        self.level.zero_()
        logits = self(features)
        if each:
            self.level.sub_(ahead(logits))
        if several:
            self.level.add_(OPENNESS - self(features).max(-1).values.mean())
