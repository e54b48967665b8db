"""The CRF head: one affine map a token, and learned scores of one tag after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attune.core.packing import IGNORED
from attune.tasks.heads.linear import LinearHead


class CrfHead(nn.Module):
    """A linear-chain conditional random field (Lafferty et al. 2001) over the tokens that have a target.

    Args:
        width: Features of a token, D.
        outputs: Tags, K.
        dropout: Dropout probability before the map.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    over: ClassVar[frozenset[str]] = frozenset({"tokens"})
    trains: ClassVar[bool] = True
    unit: ClassVar[bool] = False
    tempered: ClassVar[bool] = False
    """Its probabilities are those of whole sequences; no temperature is fitted."""
    summary: ClassVar[str] = "an affine map a token and learned scores of one tag after another, decoded as a sequence"

    def __init__(self, width: int, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.emission = LinearHead(width, outputs, dropout)
        self.step = nn.Parameter(torch.zeros(outputs, outputs))
        self.start = nn.Parameter(torch.zeros(outputs))
        self.end = nn.Parameter(torch.zeros(outputs))
        for name, shape in (("step", (outputs, outputs)), ("start", (outputs,)), ("end", (outputs,))):
            self.register_buffer(f"legal_{name}", torch.zeros(shape), persistent=False)

    def restrict(self, step: NDArray[Any], start: NDArray[Any], end: NDArray[Any]) -> None:
        """Adds scores to every step: zero where it may be, far below zero where it may not.

        Args:
            step: `(K, K)`.
            start: `(K,)`.
            end: `(K,)`.
        """
        for name, value in (("step", step), ("start", start), ("end", end)):
            self.register_buffer(f"legal_{name}", torch.from_numpy(value), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Scores `(P, T, K)` of features `(P, T, D)`, each token by itself."""
        return self.emission(features)

    def fit(
        self, features: NDArray[np.float32], targets: Tensor, loss: Callable[[Tensor, Tensor], Any], l2: float
    ) -> None:
        """Solves the affine map as a convex problem on fixed features; the steps begin at zero."""
        self.emission.fit(features, targets, loss, l2)

    def scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of a tag after a tag `(K, K)`, at the start `(K,)` and at the end `(K,)`."""
        legal = (self.get_buffer(f"legal_{name}") for name in ("step", "start", "end"))
        step, start, end = (
            learned + fixed for learned, fixed in zip((self.step, self.start, self.end), legal, strict=True)
        )
        return step, start, end

    def transitions(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """The same as arrays, for decoding."""
        step, start, end = (value.detach().cpu().double().numpy() for value in self.scores())
        return step, start, end

    def loss(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Negative log-likelihood of the gold sequence.

        Args:
            outputs: `(P, T, K)`.
            targets: `(P, T)`, `IGNORED` where a token has no tag.

        Returns:
            Total and number of tags of each piece, both `(P,)`.
        """
        scores, gold, there = packed(outputs, targets)
        step, start, end = self.scores()
        total = normaliser(scores, there, step, start, end) - path(scores, gold, there, step, start, end)
        count = there.sum(1).to(outputs)
        return total * (count > 0), count


def packed(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The tokens with a target, moved to the front of each piece.

    Args:
        outputs: `(P, T, K)`.
        targets: `(P, T)`.

    Returns:
        Scores `(P, U, K)`, tags `(P, U)` and which of them are there `(P, U)`; U is at least one.
    """
    tagged = targets != IGNORED
    longest = max(1, int(tagged.sum(1).max()))
    order = torch.argsort((~tagged).to(torch.uint8), dim=1, stable=True)[:, :longest]
    there = tagged.gather(1, order)
    scores = outputs.gather(1, order.unsqueeze(-1).expand(-1, -1, outputs.shape[-1]))
    return scores, targets.gather(1, order).clamp(min=0), there


def normaliser(scores: Tensor, there: Tensor, step: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Log of the sum over all sequences `(P,)`, by the forward algorithm."""
    reached = scores[:, 0] + start
    for place in range(1, scores.shape[1]):
        following = torch.logsumexp(reached.unsqueeze(2) + step, dim=1) + scores[:, place]
        reached = torch.where(there[:, place].unsqueeze(1), following, reached)
    return torch.logsumexp(reached + end, dim=1)


def path(scores: Tensor, gold: Tensor, there: Tensor, step: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Score of the gold sequence `(P,)`."""
    own = (scores.gather(2, gold.unsqueeze(-1)).squeeze(-1) * there).sum(1)
    steps = (step[gold[:, :-1], gold[:, 1:]] * there[:, 1:]).sum(1)
    last = gold.gather(1, (there.sum(1) - 1).clamp(min=0).unsqueeze(1)).squeeze(1)
    return own + steps + start[gold[:, 0]] + end[last]
