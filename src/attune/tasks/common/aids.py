"""What a task is handed to answer as a baseline would: what rooms further down the list can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Embed = Callable[[list[str]], NDArray[np.float32]]
"""Texts to vectors of length one `(N, D)`, by the untuned backbone."""


@dataclass(frozen=True)
class Aids:
    """What baselines are made of.

    Attributes:
        embed: Given where a baseline asked for embeds texts.
        vectoriser: Makes what turns texts, the two of a pair joined, into TF-IDF features; not yet fitted.
        seed: Seed of what is drawn.
    """

    embed: Embed | None
    vectoriser: Callable[[], Any]
    seed: int
