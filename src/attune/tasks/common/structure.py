"""How the labels of a task stand to each other, and what follows for names, loss and answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from attune.core.records import Alternative
from attune.errors import DataError
from attune.tasks.common.losses import cross_entropy


class Structure(ABC):
    """What is known of labels besides their names. Only where a row has one label."""

    ordered: ClassVar[bool] = False
    """Whether labels are steps of a scale, in the order of `arranged`."""

    @property
    def separator(self) -> str:
        """What parts a label's name from its parent's; empty where labels have no parents."""
        return ""

    @abstractmethod
    def misfits(self, names: Collection[str]) -> list[str]:
        """What is wrong with label names, one clause a name, sorted; empty where all fit."""

    @abstractmethod
    def remedy(self) -> str:
        """What to do about a misfit."""

    @abstractmethod
    def arranged(self, names: Collection[str]) -> tuple[str, ...]:
        """All label names in the order of the outputs, of those that the training rows have."""

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor, names: Sequence[str], smoothing: float, gamma: float) -> Tensor:
        """Loss a row.

        Args:
            logits: `(B, K)`.
            targets: `(B,)` label indices.
            names: The K label names.
            smoothing: Share of the target spread evenly over all labels.
            gamma: Focusing power; 0 is plain cross-entropy.

        Returns:
            `(B,)`, before any weight of the label.
        """

    @abstractmethod
    def levels(
        self, probabilities: NDArray[np.float32], names: Sequence[str], most: int
    ) -> list[tuple[tuple[Alternative, ...], ...]]:
        """What is above each row's labels.

        Args:
            probabilities: `(B, K)`.
            names: The K label names.
            most: Alternatives kept of a level, the likeliest.

        Returns:
            For each row a tuple a level, the topmost first; nothing where labels have no parents.
        """

    def check(self, names: Collection[str], where: str) -> None:
        """Refuses label names that do not fit.

        Args:
            names: Label names that rows have.
            where: What to call the rows.

        Raises:
            DataError: Some do not fit; the first ten are named.
        """
        if wrong := self.misfits(names):
            more = f" (and {len(wrong) - 10} more)" if len(wrong) > 10 else ""
            raise DataError("; ".join(wrong[:10]) + more, where=where, remedy=self.remedy())


class Flat(Structure):
    """Labels side by side: nothing is known of them but their names."""

    def misfits(self, names: Collection[str]) -> list[str]:
        """Nothing: every name will do."""
        return []

    def remedy(self) -> str:
        """Nothing to do."""
        return ""

    def arranged(self, names: Collection[str]) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted(names))

    def loss(self, logits: Tensor, targets: Tensor, names: Sequence[str], smoothing: float, gamma: float) -> Tensor:
        """Cross-entropy `(B,)`."""
        return cross_entropy(logits, targets, smoothing, gamma)

    def levels(
        self, probabilities: NDArray[np.float32], names: Sequence[str], most: int
    ) -> list[tuple[tuple[Alternative, ...], ...]]:
        """Nothing is above any label."""
        return [()] * len(probabilities)
