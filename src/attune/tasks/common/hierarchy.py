"""Labels with parents: a label's name is its path, and what is known of a leaf is known of all above it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attune.core.records import Alternative
from attune.tasks.common.losses import cross_entropy
from attune.tasks.common.paths import Level, misplaced, upper_levels
from attune.tasks.common.structure import Structure


class Hierarchy(Structure):
    """Labels whose names are paths; the leaves are predicted, a parent's probability is the sum of its children's.

    To a leaf's cross-entropy is added that of its parents, averaged over the levels above the leaves.

    Args:
        separator: What parts a label's name from its parent's.
        parent_weight: Weight of the parents' cross-entropy; 0 for none.
    """

    def __init__(self, separator: str, parent_weight: float) -> None:
        self._separator = separator
        self.parent_weight = parent_weight

    @property
    def separator(self) -> str:
        """What parts a label's name from its parent's."""
        return self._separator

    def misfits(self, names: Collection[str]) -> list[str]:
        """Labels without a parent, with an empty part, too deep, or that others lie below."""
        return misplaced(names, self.separator)

    def remedy(self) -> str:
        """Says what a name should look like."""
        sign = self.separator
        return (
            f"name each label by its whole path, such as ORDER{sign}cancel_order, with a leaf at its end "
            f"(a label without a parent: other{sign}its_name); task.hierarchy is {sign!r}"
        )

    def arranged(self, names: Collection[str]) -> tuple[str, ...]:
        """Sorted, which keeps what lies below one parent together."""
        return tuple(sorted(names))

    def loss(self, logits: Tensor, targets: Tensor, names: Sequence[str], smoothing: float, gamma: float) -> Tensor:
        """Cross-entropy of the label and, by their weight, of its parents `(B,)`; the latter is not convex."""
        loss = cross_entropy(logits, targets, smoothing, gamma)
        if not self.parent_weight:
            return loss
        levels = self._upper(names)
        for level in levels:
            of = torch.from_numpy(level.of).to(targets.device)
            above = cross_entropy(parent_logits(logits, level), of[targets], smoothing, gamma)
            loss = loss + self.parent_weight / len(levels) * above
        return loss

    def levels(
        self, probabilities: NDArray[np.float32], names: Sequence[str], most: int
    ) -> list[tuple[tuple[Alternative, ...], ...]]:
        """The likeliest nodes of every level above the leaves, a tuple a level, for each row."""
        above = [ranked(probabilities @ level.members, level.nodes, most) for level in self._upper(names)]
        return list(zip(*above, strict=True))

    def _upper(self, names: Sequence[str]) -> tuple[Level, ...]:
        return upper_levels(tuple(names), self.separator)


def parent_logits(logits: Tensor, level: Level) -> Tensor:
    """`(B, G)` logits whose softmax are the sums of the labels' own: a log-sum-exp over what lies below each node.

    The sum is a product of matrices, whose gradient is the same on every run on a GPU too, and stays in float32 where
    training is in bfloat16.
    """
    of = torch.from_numpy(level.of).to(logits.device).expand(len(logits), -1)
    empty = torch.full((len(logits), len(level.nodes)), -torch.inf).to(logits)
    highest = empty.scatter_reduce(1, of, logits.detach(), "amax")
    shares = (logits - highest.gather(1, of)).exp()
    with torch.autocast(logits.device.type, enabled=False):
        return (shares @ torch.from_numpy(level.members).to(logits)).log() + highest


def ranked(probabilities: NDArray[np.float32], nodes: tuple[str, ...], most: int) -> list[tuple[Alternative, ...]]:
    """The likeliest nodes of each row."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :most]
    return [
        tuple(Alternative(nodes[index], float(row[index])) for index in best)
        for row, best in zip(probabilities, order, strict=True)
    ]
