"""What objectives see of a model, and of rows that are compared with what a model said of them before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


class Scored(Protocol):
    """What an objective needs of a model."""

    training: bool

    def train(self, mode: bool = True) -> Any:
        """Whether dropout is at work."""
        ...

    def loss(self, inputs: dict[str, Tensor], targets: Any) -> tuple[Tensor, Tensor]:
        """Total and weight `(B,)`; of rows of several texts `(B · S,)`, a row's own one after the other."""
        ...


@dataclass(frozen=True)
class Referred:
    """Targets of a batch beside what the untuned model holds of them.

    Attributes:
        tokens: `(P, T)`, of the rows' pieces.
        reference: `(B, S)`, the untuned model's loss of each of a row's S texts, in nats.
    """

    tokens: Tensor
    reference: Tensor

    def to(self, device: torch.device) -> Referred:
        """All of it on a device."""
        return Referred(self.tokens.to(device), self.reference.to(device))


@dataclass(frozen=True)
class Rewarded:
    """Targets of a batch whose rows have texts that the model drew.

    Attributes:
        tokens: `(P, T)`, of the rows' pieces: of each row the right text, then those drawn.
        rewards: `(B, n)` float64, what each of a row's n texts earns.
    """

    tokens: Tensor
    rewards: Tensor

    def to(self, device: torch.device) -> Rewarded:
        """All of it on a device."""
        return Rewarded(self.tokens.to(device), self.rewards.to(device))
