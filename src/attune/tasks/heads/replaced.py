"""The head that tells replaced tokens, and keeps what they are replaced by."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from attune.core.packing import IGNORED
from attune.tasks.common.vocabulary import Vocabulary


class ReplacedHead(nn.Module):
    """A dense layer, GELU, and one logit a token (Clark et al. 2020).

    Args:
        width: Features of a token, D.
        words: The vocabulary, V tokens.
        dropout: Dropout probability of a token's features.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    over: ClassVar[frozenset[str]] = frozenset({"replaced"})
    trains: ClassVar[bool] = True
    unit: ClassVar[bool] = False
    summary: ClassVar[str] = "whether a token was replaced; it keeps how frequent tokens are in the training rows"

    frequencies: Tensor
    """`(V,)` how often each token occurs in the training rows; special tokens never."""

    def __init__(self, width: int, words: Vocabulary, dropout: float = 0.0) -> None:
        super().__init__()
        self.special = words.special
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(width, width)
        self.out = nn.Linear(width, 1)
        for layer in (self.dense, self.out):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        self.register_buffer("frequencies", torch.from_numpy((~words.special).astype(np.int64)))

    def learn(self, ids: NDArray[np.int64]) -> None:
        """Counts tokens.

        Args:
            ids: `(T,)` all tokens of the training rows.
        """
        counts = np.bincount(ids, minlength=len(self.special))
        counts[self.special] = 0
        if counts.any():
            self.frequencies.copy_(torch.from_numpy(counts))

    def tokens(self, chances: NDArray[np.float64]) -> NDArray[np.int64]:
        """Tokens by their frequency, of numbers `(M,)` drawn evenly between 0 and 1."""
        ends = np.cumsum(self.frequencies.cpu().numpy())
        return np.searchsorted(ends, chances * ends[-1], side="right").astype(np.int64)

    def forward(self, features: Tensor) -> Tensor:
        """Logits `(…, 1)` of features `(…, D)`."""
        return self.out(F.gelu(self.dense(self.dropout(features))))

    def score(self, features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of a batch.

        Args:
            features: `(P, T, D)`.
            targets: `(P, T)` of 0 and 1, −100 where nothing is asked.

        Returns:
            Total `(P,)` and number `(P,)` of the tokens of each row.
        """
        asked = targets != IGNORED
        logits = self(features).squeeze(-1).float()
        each = F.binary_cross_entropy_with_logits(logits, targets.clamp(min=0).to(logits), reduction="none") * asked
        return each.sum(1), asked.sum(1).to(each)

    def judged(self, features: Tensor, targets: Tensor) -> Tensor:
        """Of every token asked for its loss and the answer; zeros elsewhere.

        Args:
            features: `(P, T, D)`.
            targets: `(P, T)` of 0 and 1, −100 where nothing is asked.

        Returns:
            `(P, T, 2)` float32.
        """
        logits = self(features).squeeze(-1).float()
        each = F.binary_cross_entropy_with_logits(logits, targets.clamp(min=0).to(logits), reduction="none")
        return torch.stack([each, (logits > 0).float()], -1) * (targets != IGNORED).unsqueeze(-1)
