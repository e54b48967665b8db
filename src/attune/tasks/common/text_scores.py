"""Texts that were written beside reference texts: every figure from counts of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from attune.core.records import Scores
from attune.tasks.code.passing import pass_at_k
from attune.tasks.common.bleu import BLEU_COUNTS, CHRF_COUNTS, bleu, bleu_counts, chrf, chrf_counts
from attune.tasks.common.lexicon import NOTHING_SAID, Lexicon
from attune.tasks.common.rouge import rouge
from attune.tasks.common.slot_check import check

Floats = NDArray[np.float64]
Plain = dict[str, Any]

PARTS = {"bleu": BLEU_COUNTS, "chrf": CHRF_COUNTS, "rouge": 3, "same": 1, "slots": 4}
"""What is counted of a row, and by how many numbers."""
SLOTS = "slot_error_rate"
SURPRISE = "perplexity"
TRIES = {f"pass_{k}": k for k in (1, 5, 10, 100)}
"""By name: how many programs may be tried."""


@dataclass(frozen=True)
class TextScores(Scores):
    """Texts beside references; of several the best counts, each figure in its own way.

    Values of `gold` are `{"texts": […]}`, with `slots` where a text was to say such; those of `chosen` are texts.

    Attributes:
        first: The metrics to show first.
        tokenise: What sacreBLEU calls the tokenizer of BLEU.
        lexicon: How the values of slots are said.
        counts: `(N, M)` what is counted of the rows, where it is known already.
        passed: `(N, 2)` programs of each row, and how many passed its tests; nothing where none was run.
        surprise: `(N, 2)` the loss of each row's first reference in nats, and its tokens; nothing for whom has no
            probabilities of texts. Of a conversation that a causal backbone read: of every turn of the assistant's.
    """

    names: ClassVar[tuple[str, ...]] = (
        "bleu", "chrf", "rouge_1", "rouge_2", "rouge_l", "same_text", *TRIES, SLOTS, SURPRISE,
    )  # fmt: skip
    headline: ClassVar[tuple[str, ...]] = ("bleu", "chrf", "rouge_l")
    first: tuple[str, ...] = headline
    tokenise: str = "13a"
    lexicon: Lexicon = NOTHING_SAID
    counts: Floats | None = None
    passed: Floats | None = None
    surprise: Floats | None = None

    def has(self) -> tuple[str, ...]:
        """The metrics that these rows have."""
        lacking = {SLOTS} if not self.slotted else set[str]()
        lacking |= {SURPRISE} if self.surprise is None else set()
        most = 0 if self.passed is None else self.passed[:, 0].min(initial=np.inf)
        lacking |= {name for name, tries in TRIES.items() if tries > most}
        return tuple(name for name in self.names if name not in lacking)

    def leads(self) -> tuple[str, ...]:
        """The metrics to show first."""
        return tuple(name for name in self.first if name in self.has())

    @property
    def slotted(self) -> bool:
        """Whether the texts were to say slots."""
        return any(gold.get("slots") for gold in self.gold)

    @cached_property
    def statistics(self) -> Floats:
        """What is counted of the rows `(N, M)`, in the order of `PARTS`."""
        if self.counts is not None:
            return self.counts
        found = [self.counted(text, gold) for text, gold in zip(self.chosen, self.gold, strict=True)]
        return np.asarray(found, dtype=np.float64).reshape(-1, sum(PARTS.values()))

    def counted(self, text: str, gold: Plain) -> list[float]:
        """What is counted of one row."""
        right: Sequence[str] = gold["texts"]
        same = float(any(plain(text) == plain(one) for one in right))
        slots = check(text, gold.get("slots") or [], self.lexicon)
        return [
            *bleu_counts(text, right, self.tokenise),
            *chrf_counts(text, right),
            *rouge(text, tuple(right)),
            same,
            *map(len, (slots.missing, slots.added, slots.wrong)),
            slots.slots,
        ]

    def measure(self, weights: Floats) -> dict[str, Floats]:
        """Every figure under weights `(R, N)`: corpus BLEU and chrF, means over rows of the others."""
        sums = weights @ self.statistics
        at = dict(zip(PARTS, np.split(sums, np.cumsum(list(PARTS.values()))[:-1], axis=1), strict=True))
        rows = weights.sum(axis=1)
        missing, added, wrong, asked = at["slots"].T
        found = {
            "bleu": bleu(at["bleu"]),
            "chrf": chrf(at["chrf"]),
            **dict(zip(("rouge_1", "rouge_2", "rouge_l"), at["rouge"].T / rows, strict=True)),
            "same_text": at["same"][:, 0] / rows,
            SLOTS: (missing + added + wrong) / np.maximum(asked, 1),
        }
        for name, tries in TRIES.items():
            if name in self.has():
                found[name] = weights @ self.passing(tries) / rows
        if self.surprise is not None:
            total, tokens = (weights @ self.surprise).T
            found[SURPRISE] = np.exp(total / np.maximum(tokens, 1))
        return {name: found[name] for name in self.has()}

    def passing(self, tries: int) -> Floats:
        """pass@k of every row `(N,)`."""
        assert self.passed is not None
        return np.array([pass_at_k(int(count), int(right), tries) for count, right in self.passed])

    def right(self) -> NDArray[np.bool_]:
        """Rows whose text is a reference `(N,)`, but for space; of programs those of which all pass."""
        if self.passed is not None:
            return self.passed[:, 0] == self.passed[:, 1]
        return self.statistics[:, -5] > 0

    def gravity(self) -> Floats:
        """The texts that share least with their references are listed first."""
        return 1.0 - self.statistics[:, -6]

    def words(self, value: str | Plain) -> list[str]:
        """A text, or the references of a row."""
        return [value] if isinstance(value, str) else list(value["texts"])

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Some of the rows."""
        surprise = None if self.surprise is None else self.surprise[rows]
        passed = None if self.passed is None else self.passed[rows]
        return replace(super().take(rows), counts=self.statistics[rows], surprise=surprise, passed=passed)

    def beside(self, other: Self) -> Self:  # pyright: ignore[reportIncompatibleMethodOverride] Self is TextScores here
        """These rows, then those of another."""
        counts = np.concatenate([self.statistics, other.statistics])
        both = {name: joined(getattr(self, name), getattr(other, name)) for name in ("surprise", "passed")}
        return replace(super().beside(other), counts=counts, **both)


def joined(first: Floats | None, second: Floats | None) -> Floats | None:
    """Rows of two sets, where both are known."""
    return None if first is None or second is None else np.concatenate([first, second])


def plain(text: str) -> str:
    """A text without space at the ends of its lines."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
