"""Every metric over many reweightings of the same rows at once.

Accuracy, F1, MCC, kappa, log loss and ECE depend on the rows only through sums. So each row becomes one line of a
sparse matrix, a resample becomes a vector of row weights, and one product gives the sums of all resamples. Average
precision needs an order, which no weight changes: rows are sorted once. Both agree with `attune.tasks.metrics` on the
resampled rows, exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from attune.core.records import Answers
from attune.tasks.graded_metrics import kappa_of_sums
from attune.tasks.metrics import BINS, DIRECTED, LEVELLED, Floats, bin_of, certainty, losses, present, structure_sums

CELLS = 4_000_000
"""Numbers held at once for a block of resamples; bounds memory, changes no result."""


@dataclass(frozen=True)
class Sums:
    """Weighted sums over rows, one line a resample.

    Attributes:
        rows: Rows in the resample `(R,)`.
        right: Rows answered exactly right `(R,)`.
        loss: Sum of the rows' log losses `(R,)`.
        both: Rows per label that have it in gold and chosen `(R, P)`, over the P labels that occur.
        gold: Rows per label that have it in gold `(R, P)`.
        chosen: Rows per label that have it chosen `(R, P)`.
        gap: Sum of confidence less outcome per bin `(R, 15)`.
        decisions: Decisions a row holds: 1, or K where multi-label.
        graded: Sums behind the figures of ordered labels and of labels with parents, by name, `(R,)` each.
        relations: Which of G relations each of the P labels is `(P, G)`, zeros and ones; G is 0 where they are none.
    """

    rows: Floats
    right: Floats
    loss: Floats
    both: Floats
    gold: Floats
    chosen: Floats
    gap: Floats
    decisions: int
    graded: dict[str, Floats]
    relations: Floats


def over_sum(part: Floats, whole: Floats) -> Floats:
    """`part / whole`, zero where there is no whole."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def label_f1(sums: Sums) -> Floats:
    """F1 of every label `(R, P)`."""
    return over_sum(2 * sums.both, sums.gold + sums.chosen)


def macro_f1(sums: Sums) -> Floats:
    """Mean F1 over the labels that occur in the resample."""
    occurring = ((sums.gold + sums.chosen) > 0).sum(axis=1).astype(np.float64)
    return over_sum(label_f1(sums).sum(axis=1), occurring)


def micro_f1(sums: Sums) -> Floats:
    """F1 of all decisions pooled."""
    return over_sum(2 * sums.both.sum(axis=1), (sums.gold + sums.chosen).sum(axis=1))


def weighted_f1(sums: Sums) -> Floats:
    """Mean F1 weighted by the labels' gold rows."""
    return over_sum((label_f1(sums) * sums.gold).sum(axis=1), sums.gold.sum(axis=1))


def mcc(sums: Sums) -> Floats:
    """Matthews' correlation for many classes (Gorodkin, 2004), zero where either side is constant."""
    covariance = sums.right * sums.rows - (sums.gold * sums.chosen).sum(axis=1)
    spread = (sums.rows**2 - (sums.gold**2).sum(axis=1)) * (sums.rows**2 - (sums.chosen**2).sum(axis=1))
    return over_sum(covariance, np.sqrt(np.maximum(spread, 0)))


def right_share(sums: Sums) -> Floats:
    """Share of rows answered exactly right."""
    return sums.right / sums.rows


def level_share(sums: Sums, name: str) -> Floats:
    """Share of rows that are right on a level above the labels."""
    return sums.graded[name] / sums.rows


def directed_macro_f1(sums: Sums) -> Floats:
    """Mean F1 over the relations that occur in the resample, right only in the right direction."""
    both, gold, chosen = (part @ sums.relations for part in (sums.both, sums.gold, sums.chosen))
    occurring = ((gold + chosen) > 0).sum(axis=1).astype(np.float64)
    return over_sum(over_sum(2 * both, gold + chosen).sum(axis=1), occurring)


BY_SUMS: dict[str, Callable[[Sums], Floats]] = {
    "accuracy": right_share,
    "subset_accuracy": right_share,
    "macro_f1": macro_f1,
    "micro_f1": micro_f1,
    "weighted_f1": weighted_f1,
    "mcc": mcc,
    DIRECTED: directed_macro_f1,
    "log_loss": lambda sums: sums.loss / sums.rows,
    "ece": lambda sums: np.abs(sums.gap).sum(axis=1) / (sums.rows * sums.decisions),
    "quadratic_kappa": lambda sums: kappa_of_sums(sums.rows, sums.graded),
    "mae_steps": lambda sums: sums.graded["steps"] / sums.rows,
    "hierarchical_f1": lambda sums: 2 * sums.graded["shared"] / (sums.graded["gold_path"] + sums.graded["chosen_path"]),
    **{name: partial(level_share, name=name.removesuffix("_accuracy")) for name in LEVELLED},
}


class Resampler:
    """Answers made ready to be measured under many row weights.

    Args:
        answers: N rows over K labels.
        names: The metrics wanted, of those that `attune.tasks.metrics.names` tells.
    """

    def __init__(self, answers: Answers, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.rows = len(answers.gold)
        self._decisions = len(answers.labels) if answers.multi_label else 1
        self._occurring = len(present(answers))
        graded = structure_sums(answers)
        self._graded = tuple(graded)
        self._statistics = statistics(answers, list(graded.values())) if set(names) & set(BY_SUMS) else None
        self._relations = relations(answers)
        self._rankings: dict[str, list[Ranking]] = {}
        if "average_precision" in names:
            self._rankings["average_precision"] = label_rankings(answers)
        if "micro_average_precision" in names:
            self._rankings["micro_average_precision"] = [Ranking.of(answers.gold, answers.probabilities)]

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Measures all rows under each weighting.

        Args:
            weights: `(R, N)` how often each row counts in each resample.

        Returns:
            Metric name to `(R,)`.
        """
        sums = None if self._statistics is None else self._sums(self._statistics, weights)
        result: dict[str, Floats] = {}
        for name in self.names:
            if name in BY_SUMS:
                assert sums is not None
                result[name] = BY_SUMS[name](sums)
            else:
                result[name] = mean_precision(self._rankings[name], weights)
        return result

    def block(self) -> int:
        """Resamples to take at once so that no array grows past `CELLS`."""
        width = max(self.rows, 0 if self._statistics is None else self._statistics.shape[0])
        return max(1, CELLS // width)

    def _sums(self, statistics: Any, weights: Floats) -> Sums:
        sums: Floats = np.asarray(statistics @ weights.T).T
        edges = np.cumsum([2, *[self._occurring] * 3, BINS])
        head, both, gold, chosen, gap, rest = np.split(sums, edges, axis=1)
        graded = dict(zip(self._graded, rest.T, strict=True))
        return Sums(
            weights.sum(axis=1), head[:, 0], head[:, 1], both, gold, chosen, gap, self._decisions, graded,
            self._relations,
        )  # fmt: skip


def statistics(answers: Answers, graded: Sequence[Floats]) -> Any:
    """What each row adds to the sums, a sparse matrix, a column a row.

    Args:
        answers: N rows.
        graded: G further rows of the matrix, `(N,)` each.

    Returns:
        `(2 + 3 P + 15 + G, N)`: right, loss, both, gold, chosen, gap, and those given.
    """
    gold, chosen = (indicators(answers, values) for values in (answers.gold, answers.chosen))
    right = answers.gold == answers.chosen
    right = right.all(axis=1) if answers.multi_label else right
    confidences, outcomes = certainty(answers)
    rows = np.repeat(np.arange(len(answers.gold)), confidences.shape[1])
    gap = sparse.csr_matrix(
        ((confidences - outcomes).ravel(), (bin_of(confidences).ravel(), rows)), shape=(BINS, len(answers.gold))
    )
    head = sparse.csr_matrix(np.stack([right.astype(np.float64), losses(answers)]))
    rest = sparse.csr_matrix(np.stack(graded)) if graded else sparse.csr_matrix((0, len(answers.gold)))
    return sparse.vstack([head, gold.multiply(chosen), gold, chosen, gap, rest], format="csr")


def relations(answers: Answers) -> Floats:
    """Which of G relations each of the P occurring labels is, `(P, G)`."""
    if not answers.relations:
        return np.zeros((len(present(answers)), 0))
    merged = answers.relations.merged(answers.labels)
    return (merged[present(answers)][:, None] == np.arange(int(merged.max(initial=-1)) + 1)).astype(np.float64)


def indicators(answers: Answers, values: NDArray[Any]) -> Any:
    """Which of the occurring labels each row has, sparse `(P, N)`."""
    occurring = present(answers)
    if answers.multi_label:
        return sparse.csr_matrix(values[:, occurring].T.astype(np.float64))
    place = np.searchsorted(occurring, values)
    ones = np.ones(len(values))
    return sparse.csr_matrix((ones, (place, np.arange(len(values)))), shape=(len(occurring), len(values)))


@dataclass(frozen=True)
class Ranking:
    """Scored items in falling order of score, as far as average precision needs them.

    Attributes:
        rows: The row of each item `(M,)`, best first, up to the last positive.
        positives: The row of each positive item, best first.
        ends: For each positive, the place of the last item with its score.
        positive_ends: For each positive, the place among positives of the last one with its score.
    """

    rows: NDArray[np.int64]
    positives: NDArray[np.int64]
    ends: NDArray[np.int64]
    positive_ends: NDArray[np.int64]

    @classmethod
    def of(cls, gold: NDArray[Any], scores: NDArray[Any]) -> Ranking:
        """Ranks items.

        Args:
            gold: `(N, L)` whether each item is positive; an item belongs to the row it stands in.
            scores: `(N, L)`.

        Returns:
            The ranking.
        """
        order = np.argsort(-scores.ravel(), kind="stable")
        ranked, positive = scores.ravel()[order], gold.ravel()[order].astype(np.bool_)
        ends = np.searchsorted(-ranked, -ranked[positive], side="right") - 1
        positive_ends = np.searchsorted(-ranked[positive], -ranked[positive], side="right") - 1
        rows = order // scores.shape[1]
        return cls(rows[: ends[-1] + 1 if len(ends) else 0], rows[positive], ends, positive_ends)

    def precision(self, weights: Floats) -> tuple[Floats, Floats]:
        """Average precision under each weighting, and the weight of its positives.

        Args:
            weights: `(R, N)`.

        Returns:
            Both `(R,)`; precision is zero where no positive has weight.
        """
        step = max(1, CELLS // max(1, len(self.rows)))
        parts = [self._precision(weights[start : start + step]) for start in range(0, len(weights), step)]
        precision, mass = zip(*parts, strict=True)
        return np.concatenate(precision), np.concatenate(mass)

    def _precision(self, weights: Floats) -> tuple[Floats, Floats]:
        above = np.cumsum(weights[:, self.rows], axis=1)[:, self.ends]
        own = weights[:, self.positives]
        hits = np.cumsum(own, axis=1)[:, self.positive_ends]
        mass = own.sum(axis=1)
        return over_sum((own * over_sum(hits, above)).sum(axis=1), mass), mass


def label_rankings(answers: Answers) -> list[Ranking]:
    """One ranking of the rows for each label that occurs in gold."""
    occurring = np.flatnonzero(answers.gold.any(axis=0))
    return [Ranking.of(answers.gold[:, [k]], answers.probabilities[:, [k]]) for k in occurring]


def mean_precision(rankings: Sequence[Ranking], weights: Floats) -> Floats:
    """The mean average precision over those rankings that have a positive in the resample `(R,)`."""
    total, counted = np.zeros(len(weights)), np.zeros(len(weights))
    for ranking in rankings:
        precision, mass = ranking.precision(weights)
        total += precision
        counted += mass > 0
    return over_sum(total, counted)


def bootstrap_weights(rows: int, resamples: int, block: int, seed: int) -> Iterator[Floats]:
    """Row weights of bootstrap resamples (Efron, 1979): rows drawn with replacement.

    Args:
        rows: N.
        resamples: How many in all.
        block: How many at once.
        seed: Seed; the draws do not depend on `block`.

    Yields:
        Floats: `(≤ block, N)` counts.
    """
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = generator.integers(0, rows, size=(size, rows)) + rows * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float64)


def swap_weights(rows: int, resamples: int, block: int, seed: int) -> Iterator[Floats]:
    """Row weights of approximate randomisation: each row's two answers change sides with probability one half.

    Args:
        rows: N.
        resamples: How many in all.
        block: How many at once.
        seed: Seed.

    Yields:
        Floats: `(≤ block, N)` of 0 (kept) and 1 (swapped).
    """
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, block):
        yield generator.integers(0, 2, size=(min(block, resamples - start), rows)).astype(np.float64)
