"""Labels that are steps of a scale: a row's target is spread over the labels around its own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from attune.core.records import Alternative
from attune.tasks.common.losses import focused
from attune.tasks.common.structure import Structure


class Ordinal(Structure):
    """Labels in an order, lowest first; an answer next to the right one is less wrong than one far from it.

    Each row's target is spread over the labels around its own, falling by the factor `softness` a step: the SORD
    targets of Díaz and Marathe, Soft Labels for Ordinal Regression, 2019, with the distance in steps and
    α = −ln softness. There are K outputs and a softmax, as without an order.

    Args:
        order: All labels, lowest first.
        softness: What a label one step off has of the target, for 1 that the right label has; 0 is cross-entropy.
    """

    ordered: ClassVar[bool] = True

    def __init__(self, order: Sequence[str], softness: float) -> None:
        self.order = tuple(order)
        self.targets = soft_targets(len(self.order), softness)

    def misfits(self, names: Collection[str]) -> list[str]:
        """Labels that are not in the order."""
        return [f"label {name!r} is not in task.order" for name in sorted(set(names) - set(self.order))]

    def remedy(self) -> str:
        """Names the whole order."""
        return f"mend the spelling, or name it in its place in task.order, which is {', '.join(self.order)}"

    def arranged(self, names: Collection[str]) -> tuple[str, ...]:
        """The whole order, whether or not a training row has each label."""
        return self.order

    def loss(self, logits: Tensor, targets: Tensor, names: Sequence[str], smoothing: float, gamma: float) -> Tensor:
        """Cross-entropy with the soft targets `(B,)`."""
        soft = self.targets.to(logits)[targets]
        loss = F.cross_entropy(logits, soft, reduction="none", label_smoothing=smoothing)
        return focused(loss, logits, targets, gamma)

    def levels(
        self, probabilities: NDArray[np.float32], names: Sequence[str], most: int
    ) -> list[tuple[tuple[Alternative, ...], ...]]:
        """Nothing is above any label."""
        return [()] * len(probabilities)


def soft_targets(count: int, softness: float) -> Tensor:
    """`(K, K)` targets by right label: `softness ** steps`, each row divided by its sum."""
    place = torch.arange(count)
    weight = torch.tensor(softness) ** (place[:, None] - place[None, :]).abs()
    return weight / weight.sum(1, keepdim=True)
