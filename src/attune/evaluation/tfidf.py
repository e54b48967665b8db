"""The baseline that is hard to beat: counted words and characters with logistic regression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import KFold
from sklearn.pipeline import make_union

from attune.core.records import Answers
from attune.errors import DataError
from attune.tasks.metrics import NO_CASE, Floats

STRENGTHS = (3.0, 10.0, 30.0)
"""Values of C that cross-validation chooses from."""

FOLDS = 3
TUNING_ROWS = 2_000
"""Training rows that C and the threshold are chosen on; more are sampled down to this."""

TRAINING_ROWS = 20_000
"""Training rows the baseline learns from; more are sampled down to this."""

FEATURES = 50_000
"""The most frequent n-grams kept, of words and of characters each."""

TOLERANCE = 0.01
"""Where LIBLINEAR stops; ten times as far changes Banking77 by 0.05 points."""

THRESHOLDS = sorted((place / 20 for place in range(1, 20)), key=lambda threshold: abs(threshold - 0.5))
"""Thresholds tried; the first of equals wins, so 0.5 where all are as good."""

HAN = "\u3400-\u4dbf\u4e00-\u9fff"
WORD = rf"(?u)[{HAN}]|[^\W{HAN}]+|[^\w\s]"
"""A word, a sign, or one Chinese character: unspaced sentences would else be words that never come again."""

Learned = Callable[[Any], Floats]


def tfidf(
    train_texts: Sequence[str],
    train_gold: NDArray[Any],
    texts: Sequence[str],
    gold: NDArray[Any],
    labels: Sequence[str],
    *,
    seed: int,
    reader: Callable[[], Any] | None = None,
) -> Answers:
    """Logistic regression on TF-IDF of word 1-2-grams and character 2-5-grams; a Chinese character is a word.

    C is one of 3, 10 and 30, by 3-fold cross-validation on at most 2,000 training rows: by accuracy, multi-label by
    macro F1 at the threshold that suits each best, one for all labels. Every label has its own regression. It learns
    from at most 20,000 rows.

    Args:
        train_texts: M texts to learn from.
        train_gold: Their gold, `(M,)` indices or `(M, K)` bool.
        texts: N texts to answer.
        gold: Their gold, in the same form.
        labels: K label names.
        seed: Seed of samples and folds.
        reader: Makes what turns texts into features; default `vectoriser`.

    Returns:
        The answers.

    Raises:
        DataError: There are no training rows.
    """
    if not len(train_texts):
        raise DataError("there are no training rows", where="baseline tfidf", expected="at least one")
    generator = np.random.default_rng(seed)
    kept = sample(len(train_texts), TRAINING_ROWS, generator)
    learn_from, learn_gold = pick(train_texts, kept), train_gold[kept]
    reader = reader or vectoriser
    strength, threshold = choose(learn_from, learn_gold, len(labels), generator, seed, reader)
    probabilities = fitted(learn_from, learn_gold, texts, len(labels), strength, reader)
    chosen = probabilities >= threshold if gold.ndim == 2 else probabilities.argmax(axis=1)
    return Answers("tfidf", tuple(labels), gold, probabilities, chosen)


def sample(rows: int, most: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """All rows, or a sorted random sample of them."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(generator.choice(rows, most, replace=False))


def pick(texts: Sequence[str], rows: NDArray[np.int64]) -> list[str]:
    """The texts of some rows."""
    return [texts[int(row)] for row in rows]


def choose(
    texts: Sequence[str],
    gold: NDArray[Any],
    labels: int,
    generator: np.random.Generator,
    seed: int,
    reader: Callable[[], Any],
) -> tuple[float, float]:
    """C and, multi-label, the threshold, by cross-validation on a sample of the training rows.

    Args:
        texts: M training texts.
        gold: Their gold.
        labels: K.
        generator: Draws the sample.
        seed: Seed of the folds.
        reader: Makes what turns texts into features.

    Returns:
        The best C, the first of equals, and the threshold, 0.5 where there are too few rows to choose.
    """
    kept = sample(len(texts), TUNING_ROWS, generator)
    if len(kept) < 2 * FOLDS:
        return STRENGTHS[1], 0.5
    texts, gold = pick(texts, kept), gold[kept]
    best = (-1.0, STRENGTHS[0], 0.5)
    for strength, probabilities in held_out(texts, gold, labels, seed, reader).items():
        for threshold in THRESHOLDS if gold.ndim == 2 else [0.5]:
            score = quality(gold, probabilities, threshold)
            if score > best[0]:
                best = (score, strength, threshold)
    return best[1], best[2]


def held_out(
    texts: Sequence[str], gold: NDArray[Any], labels: int, seed: int, reader: Callable[[], Any]
) -> dict[float, Floats]:
    """Probabilities of rows from regressions that have not seen them `(M, K)`, for each C."""
    result = {strength: np.zeros((len(texts), labels)) for strength in STRENGTHS}
    for train, rest in KFold(FOLDS, shuffle=True, random_state=seed).split(np.arange(len(texts))):
        read = reader()
        learned = read.fit_transform(pick(texts, train))
        asked = read.transform(pick(texts, rest))
        for strength in STRENGTHS:
            result[strength][rest] = regression(learned, gold[train], labels, strength)(asked)
    return result


def quality(gold: NDArray[Any], probabilities: Floats, threshold: float) -> float:
    """Accuracy, or macro F1 at a threshold."""
    if gold.ndim == 1:
        return float((probabilities.argmax(axis=1) == gold).mean())
    return float(f1_score(gold, probabilities >= threshold, average="macro", zero_division=NO_CASE))


def fitted(
    train_texts: Sequence[str],
    train_gold: NDArray[Any],
    texts: Sequence[str],
    labels: int,
    strength: float,
    reader: Callable[[], Any],
) -> Floats:
    """Probabilities of `texts` `(N, K)` after learning from the training rows."""
    read = reader()
    learned = read.fit_transform(train_texts)
    return regression(learned, train_gold, labels, strength)(read.transform(texts))


def vectoriser() -> Any:
    """TF-IDF of word and character n-grams with sublinear counts."""
    shared: dict[str, Any] = {"sublinear_tf": True, "max_features": FEATURES, "dtype": np.float32}
    return make_union(
        TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORD, **shared),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **shared),
    )


def regression(features: Any, gold: NDArray[Any], labels: int, strength: float) -> Learned:
    """Learns one logistic regression a label, by LIBLINEAR's dual method (Yu, Huang and Lin, 2011).

    Args:
        features: `(M, D)` sparse.
        gold: `(M,)` indices or `(M, K)` bool.
        labels: K.
        strength: C, the inverse of the L2 penalty.

    Returns:
        A function from `(N, D)` features to `(N, K)` probabilities: of each label by itself, or, where a row has one
        label, divided by their sum. Labels not met have zero.
    """
    applies = gold if gold.ndim == 2 else gold[:, None] == np.arange(labels)
    learned = [binary(features, applies[:, k], strength) for k in range(labels)]

    def answer(asked: Any) -> Floats:
        probabilities = np.stack([one(asked) for one in learned], axis=1)
        return probabilities if gold.ndim == 2 else probabilities / probabilities.sum(axis=1, keepdims=True)

    return answer


def binary(features: Any, applies: NDArray[np.bool_], strength: float) -> Learned:
    """The probability of one label; constant where all training rows agree."""
    if applies.all() or not applies.any():
        share = float(applies[0])
        return lambda asked: np.full(asked.shape[0], share)
    model = LogisticRegression(C=strength, solver="liblinear", dual=True, tol=TOLERANCE, max_iter=1000, random_state=0)
    model.fit(features, applies)
    return lambda asked: np.asarray(model.predict_proba(asked)[:, 1], dtype=np.float64)
