"""The language head: which token of the vocabulary stands here, by the vectors that the backbone reads tokens by."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from attune.core.packing import IGNORED, ids_of
from attune.tasks.common.vocabulary import Vocabulary

EPSILON = 1e-12
"""Of the norm, as BERT has it."""
SHOWN = 5
"""Tokens that are told of a mask."""
AT_ONCE = 1024
"""Tokens whose logits over the vocabulary are in memory at once where nothing is learned."""


class LanguageHead(nn.Module):
    """A dense layer, GELU and a norm; logits are the products with the word vectors, and a bias (Devlin et al. 2019).

    The word vectors are the backbone's own: they are neither copied nor kept with the head, and they move where the
    method moves them (Press & Wolf 2017). Where the checkpoint holds such a head, this one begins as it, else
    the bias begins at the tokens' frequencies. Logits are computed for the tokens that are asked for, and no others.

    Args:
        width: Features of a token, D.
        words: The vocabulary, V tokens with vectors of E features.
        dropout: Dropout probability of a token's features.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    over: ClassVar[frozenset[str]] = frozenset({"vocabulary"})
    trains: ClassVar[bool] = True
    unit: ClassVar[bool] = False
    summary: ClassVar[str] = "which token of the vocabulary stands here, tied to the backbone's word vectors"

    def __init__(self, width: int, words: Vocabulary, dropout: float = 0.0) -> None:
        super().__init__()
        self.mask = words.mask
        self.tied = (words.embedding,)  # in a tuple, so that it is no part of this module
        count, features = words.embedding.weight.shape
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(width, features)
        self.norm = nn.LayerNorm(features, eps=EPSILON)
        self.bias = nn.Parameter(torch.zeros(count))
        nn.init.normal_(self.dense.weight, std=0.02)
        nn.init.zeros_(self.dense.bias)
        own = words.head()
        self.fresh = not own
        if own:
            self.load_state_dict(dict(own))

    @torch.no_grad()
    def learn(self, ids: NDArray[np.int64]) -> None:
        """Begins at the tokens' frequencies, so that the rest has only to learn what the text tells beyond them.

        A head that is the checkpoint's own stays as it is.

        Args:
            ids: `(T,)` all tokens of the training rows, with marks.
        """
        if self.fresh:
            counts = np.bincount(ids_of(ids), minlength=len(self.bias)) + 1
            self.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))

    def forward(self, features: Tensor) -> Tensor:
        """Logits `(…, V)` of features `(…, D)`."""
        return F.linear(self._hidden(features), self.tied[0].weight, self.bias)

    def of(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Logits `(…, M)` of some tokens alone, `(M,)`."""
        return F.linear(self._hidden(features), self.tied[0].weight[tokens], self.bias[tokens])

    def _hidden(self, features: Tensor) -> Tensor:
        return self.norm(F.gelu(self.dense(self.dropout(features))))

    def score(self, features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of a batch.

        Args:
            features: `(P, T, D)`.
            targets: `(P, T)`, −100 where nothing is asked.

        Returns:
            Total `(P,)` and number `(P,)` of the tokens asked for in each row.
        """
        asked = targets != IGNORED
        rows = torch.nonzero(asked)[:, 0]
        each = F.cross_entropy(self(features[asked]).float(), targets[asked], reduction="none")
        return each.new_zeros(len(targets)).index_add(0, rows, each), asked.sum(1).to(each)

    def judged(self, features: Tensor, targets: Tensor) -> Tensor:
        """Of every token asked for its loss and the best answer; zeros elsewhere.

        Args:
            features: `(P, T, D)`.
            targets: `(P, T)`, −100 where nothing is asked.

        Returns:
            `(P, T, 2)` float32.
        """
        asked = targets != IGNORED
        found = features.new_zeros((*targets.shape, 2), dtype=torch.float32)
        parts = zip(features[asked].split(AT_ONCE), targets[asked].split(AT_ONCE), strict=True)
        values = [
            torch.stack([F.cross_entropy(logits, gold, reduction="none"), logits.argmax(-1).float()], -1)
            for part, gold in parts
            for logits in [self(part).float()]
        ]
        found[asked] = torch.cat(values) if values else found.new_zeros((0, 2))
        return found

    def asked(self, features: Tensor, ids: Tensor) -> Tensor:
        """The best tokens for every mask: ids, then probabilities; zeros elsewhere.

        Args:
            features: `(P, T, D)`.
            ids: `(P, T)` token ids.

        Returns:
            `(P, T, 2S)` float32, with S tokens; ids below 2^24 are exact.
        """
        masks = ids == self.mask
        shown = min(SHOWN, len(self.bias))
        found = features.new_zeros((*ids.shape, 2 * shown), dtype=torch.float32)
        values = [
            torch.cat([best.indices.float(), best.values], -1)
            for part in features[masks].split(AT_ONCE)
            for best in [self(part).float().softmax(-1).topk(shown)]
        ]
        found[masks] = torch.cat(values) if values else found.new_zeros((0, 2 * shown))
        return found
