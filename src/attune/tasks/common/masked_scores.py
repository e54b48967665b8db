"""How well hidden tokens were told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from attune.tasks.common.drawn import DrawnScores
from attune.tasks.common.vocabulary import Vocabulary


@dataclass(frozen=True)
class MaskedScores(DrawnScores):
    """Answers to hidden tokens.

    Attributes:
        vocabulary: For the tokens' texts.
    """

    vocabulary: Vocabulary
    names: ClassVar[tuple[str, ...]] = ("masked_perplexity", "masked_accuracy")
    headline: ClassVar[tuple[str, ...]] = ("masked_perplexity", "masked_accuracy")

    def measure(self, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Perplexity (the exponential of the mean loss a hidden token) and accuracy, under weights `(R, N)`."""
        loss, right = self.means(weights)
        return {"masked_perplexity": np.exp(loss), "masked_accuracy": right}

    def words(self, value: Any) -> list[str]:
        """The texts of a row's tokens."""
        return self.vocabulary.texts_of(value)
