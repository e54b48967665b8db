"""Pairs of texts of which one is preferred: how far a model that was tuned prefers it too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from attune.core.records import Scores
from attune.tasks.common.text_scores import SURPRISE

Floats = NDArray[np.float64]
BOTH = ("chosen", "rejected")
"""The two texts of a row, the preferred one first."""
TIE = 1e-3
"""Margins in nats below which neither text is preferred: sums of float32 differ by as much from batch to batch."""
ACCURACY, MARGIN, LIKELIER = "preference_accuracy", "preference_margin", "chosen_likelier"


@dataclass(frozen=True)
class PreferenceScores(Scores):
    """Which text of a pair is held the better one, and by how much.

    Values of `gold` are `{"chosen": …, "rejected": …}`; those of `chosen` are the text that is held the better one.

    Attributes:
        margins: `(N,)` how many nats the preferred text stands above the other.
        told: `(N, 2, 2)` loss in nats and tokens of the preferred text and the other; nothing for whom has no
            probabilities of texts.
        reference: `(N, 2)` the untuned backbone's loss of both.
        gains: Whether margins are what was gained since the start, so that their size says something.
    """

    names: ClassVar[tuple[str, ...]] = (ACCURACY, MARGIN, LIKELIER, SURPRISE)
    headline: ClassVar[tuple[str, ...]] = (ACCURACY, MARGIN, LIKELIER)
    margins: Floats = field(default_factory=lambda: np.zeros(0))
    told: Floats | None = None
    reference: Floats | None = None
    gains: bool = False

    def has(self) -> tuple[str, ...]:
        """The metrics that these rows have."""
        lacking = set[str]() if self.gains else {MARGIN}
        lacking |= {LIKELIER, SURPRISE} if self.told is None else set()
        return tuple(name for name in self.names if name not in lacking)

    def leads(self) -> tuple[str, ...]:
        """The metrics to show first."""
        return tuple(name for name in self.headline if name in self.has())

    def measure(self, weights: Floats) -> dict[str, Floats]:
        """Every figure under weights `(R, N)`; a tie is half a preference."""
        rows = weights.sum(axis=1)
        found = {ACCURACY: weights @ preferring(self.margins) / rows, MARGIN: weights @ self.margins / rows}
        if self.told is not None:
            surprise, tokens = self.told[..., 0], self.told[:, 0, 1]
            found[LIKELIER] = weights @ preferring(surprise[:, 1] - surprise[:, 0]) / rows
            found[SURPRISE] = np.exp(weights @ surprise[:, 0] / (weights @ tokens))
        return {name: found[name] for name in self.has()}

    def right(self) -> NDArray[np.bool_]:
        """Rows whose preferred text is held the better one `(N,)`."""
        return self.margins > TIE

    def gravity(self) -> Floats:
        """The rows whose other text stands furthest above come first."""
        return -self.margins

    def words(self, value: str | Mapping[str, str]) -> list[str]:
        """A text, or the preferred one of a row."""
        return [value if isinstance(value, str) else value[BOTH[0]]]

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Some of the rows."""
        return replace(
            super().take(rows), margins=self.margins[rows], told=None if self.told is None else self.told[rows],
            reference=None if self.reference is None else self.reference[rows],
        )  # fmt: skip

    def beside(self, other: Self) -> Self:  # pyright: ignore[reportIncompatibleMethodOverride] Self is PreferenceScores
        """These rows, then those of another."""
        return replace(
            super().beside(other), margins=np.concatenate([self.margins, other.margins]),
            told=both(self.told, other.told), reference=both(self.reference, other.reference),
        )  # fmt: skip

    def beside_it(self, wanted: Sequence[str], golds: Sequence[Mapping[str, str]]) -> Iterator[PreferenceScores]:
        """Other ways to tell the preferred text of the same pairs.

        Args:
            wanted: `majority`: by length, the way that was right more often in the training rows. `zero_shot`: by how
                likely the untuned backbone holds the two.
            golds: Of the training rows.

        Yields:
            One record a way.
        """
        if "majority" in wanted:
            way = 1.0 if sum(longer(golds)) >= 0 else -1.0
            yield scores("longer" if way > 0 else "shorter", self.gold, way * np.asarray(longer(self.gold)))
        if "zero_shot" in wanted and self.told is not None and self.reference is not None:
            told = np.stack([self.reference, self.told[..., 1]], axis=-1)
            yield scores("likelier", self.gold, self.reference[:, 1] - self.reference[:, 0], told=told)


def scores(name: str, golds: Sequence[Any], margins: Floats, **others: Any) -> PreferenceScores:
    """The scores of pairs by their margins `(N,)`; other attributes as `PreferenceScores` has them."""
    held = [gold[BOTH[0] if margin > TIE else BOTH[1]] for gold, margin in zip(golds, margins, strict=True)]
    return PreferenceScores(name, golds, held, None, margins, **others)


def preferring(margins: Floats) -> Floats:
    """Which margins are preferences: 1, 0, or a half where there is none."""
    return np.where(np.abs(margins) <= TIE, 0.5, (margins > 0).astype(np.float64))


def longer(golds: Sequence[Mapping[str, str]]) -> list[float]:
    """1 where the preferred text of a pair is the longer one in characters, −1 where the other is, 0 for equal ones."""
    return [float(np.sign(len(gold[BOTH[0]]) - len(gold[BOTH[1]]))) for gold in golds]


def both(first: Floats | None, second: Floats | None) -> Floats | None:
    """Two arrays one below the other, where both are there."""
    return None if first is None or second is None else np.concatenate([first, second])
