"""Targets of a task that learns from tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Aligned:
    """Targets of tokens.

    Attributes:
        each: For each row one int32 array, aligned with its token ids.
        golds: Things that are right, over all rows: spans, or rows that have an answer.
        lost: Those of them that no token stands for.
    """

    each: list[NDArray[np.int32]]
    golds: int
    lost: int
