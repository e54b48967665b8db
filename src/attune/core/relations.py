"""Labels that are relations: which of them are one relation in two directions, and which stands for none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DIRECTION = re.compile(r"\s*\([^(),]+,[^(),]+\)\s*\Z")
"""What ends the name of a directed relation: `(e1,e2)`, `(e2,e1)`, or other names for the two."""


@dataclass(frozen=True)
class Relations:
    """What is known of labels that are relations.

    Attributes:
        none: The label of rows that have no relation; empty where there is no such label.
    """

    none: str = ""

    def merged(self, labels: Sequence[str]) -> NDArray[np.int64]:
        """Which relation each label is, whatever its direction.

        Args:
            labels: K label names, such as `Cause-Effect(e1,e2)`.

        Returns:
            `(K,)` numbers from 0 up, the same for two directions of one relation; −1 for the label of no relation.
        """
        bare = [DIRECTION.sub("", label) for label in labels]
        number = {name: place for place, name in enumerate(dict.fromkeys(bare))}
        found = [-1 if label == self.none else number[name] for label, name in zip(labels, bare, strict=True)]
        return np.asarray(found, dtype=np.int64)
