"""Numbers from counted words, and from one number: what tuned models are shown beside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from attune.tasks.common.aids import Aids
from attune.tasks.common.correlation import Floats

PENALTIES = (0.3, 1.0, 3.0, 10.0)
FOLDS = 3
TUNING_ROWS = 2_000
TRAINING_ROWS = 20_000
"""Rows that the penalty is chosen on, and that the baseline learns from; more are sampled down to this."""


def ridge(train_texts: Sequence[str], gold: Floats, texts: Sequence[str], aids: Aids) -> Floats:
    """Ridge regression on TF-IDF (Hoerl & Kennard 1970), its penalty by 3-fold cross-validation.

    Args:
        train_texts: M texts to learn from, the two of a pair joined.
        gold: Their numbers `(M,)`.
        texts: N texts to answer.
        aids: What turns texts into features; the seed of samples and folds.

    Returns:
        `(N,)`.
    """
    draw = np.random.default_rng(aids.seed)
    kept = np.sort(draw.permutation(len(train_texts))[:TRAINING_ROWS])
    learn = [train_texts[int(row)] for row in kept]
    penalty = chosen(learn, gold[kept], aids, draw)
    return fitted(learn, gold[kept], texts, (penalty,), aids)[0]


def chosen(texts: Sequence[str], gold: Floats, aids: Aids, draw: np.random.Generator) -> float:
    """The penalty with the smallest squared error on rows held out, of at most 2,000."""
    kept = np.sort(draw.permutation(len(texts))[:TUNING_ROWS])
    if len(kept) < 2 * FOLDS:
        return PENALTIES[1]
    errors = np.zeros(len(PENALTIES))
    for train, rest in KFold(FOLDS, shuffle=True, random_state=aids.seed).split(kept):
        known, asked = kept[train], kept[rest]
        found = fitted(
            [texts[int(row)] for row in known], gold[known], [texts[int(row)] for row in asked], PENALTIES, aids
        )
        errors += ((found - gold[asked]) ** 2).sum(1)
    return PENALTIES[int(errors.argmin())]


def fitted(train: Sequence[str], gold: Floats, texts: Sequence[str], penalties: Sequence[float], aids: Aids) -> Floats:
    """Answers `(P, N)` after learning with each penalty."""
    reader = aids.vectoriser()
    known, asked = reader.fit_transform(train), reader.transform(texts)
    models = [Ridge(alpha=penalty, solver="sparse_cg", tol=1e-4).fit(known, gold) for penalty in penalties]
    return np.stack([model.predict(asked) for model in models]).astype(np.float64)


def line(known: Floats, gold: Floats, asked: Floats) -> Floats:
    """Least squares through one number a row.

    Args:
        known: `(M,)` of the training rows.
        gold: `(M,)` their numbers.
        asked: `(N,)` of the rows to answer.

    Returns:
        `(N,)`.
    """
    spread = known.var()
    slope = ((known - known.mean()) * (gold - gold.mean())).mean() / spread if spread else 0.0
    return gold.mean() + slope * (asked - known.mean())
