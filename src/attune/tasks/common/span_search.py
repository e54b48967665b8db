"""Untuned span search: the few words of a context whose embedding is nearest to the question's; a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attune.core.records import Input, Prediction, Span
from attune.core.texts import parts

WORDS = 10
"""Words of the longest span."""
ROWS = 32

Vectors = NDArray[np.float32]


def search(backbone: Any, texts: Sequence[str], overlap: int) -> list[Prediction]:
    """Answers questions from their contexts without training.

    A span's embedding is the mean of its tokens' vectors, as they come out of the backbone when the whole context is
    read: so one pass a context serves all of its spans and all questions about it.

    Args:
        backbone: An untuned text encoder that pools by mean.
        texts: N questions and contexts, joined.
        overlap: Tokens that two windows of a long context share.

    Returns:
        One span of at most ten words each.
    """
    pairs = [parts(text) for text in texts]
    questions = embedded(backbone, [question for question, _ in pairs])
    rows: dict[str, list[int]] = {}
    for row, (_, context) in enumerate(pairs):
        rows.setdefault(context, []).append(row)
    found: dict[int, Prediction] = {}
    for context, own in rows.items():
        for row, answer in zip(own, nearest(backbone, context, questions[own], overlap), strict=True):
            found[row] = answer
    return [found[row] for row in range(len(texts))]


@torch.inference_mode()
def embedded(backbone: Any, texts: Sequence[str]) -> Vectors:
    """Mean-pooled vectors of texts `(N, D)`, of length one."""
    blocks: list[Vectors] = []
    for at in range(0, len(texts), ROWS):
        encoding = backbone.encode([Input(text) for text in texts[at : at + ROWS]])
        blocks.append(backbone(backbone.collate(encoding.ids)).float().cpu().numpy())
    return unit(np.concatenate(blocks))


@torch.inference_mode()
def nearest(backbone: Any, context: str, questions: Vectors, overlap: int) -> list[Prediction]:
    """The span of a context that is nearest to each question `(M, D)`."""
    encoding, _ = backbone.windows([Input(context)], overlap=overlap)
    ends: list[tuple[int, int]] = []
    vectors: list[Vectors] = []
    for ids, places in zip(encoding.ids, encoding.places, strict=True):
        tokens = backbone.tokens(backbone.collate([ids]))[0].float().cpu().numpy()
        spans, means = spans_of(tokens, places)
        ends += spans
        vectors.append(means)
    near = questions @ unit(np.concatenate(vectors)).T
    return [answer(context, *ends[int(line.argmax())]) for line in near]


def spans_of(tokens: Vectors, places: NDArray[np.int64]) -> tuple[list[tuple[int, int]], Vectors]:
    """Every span of at most ten words of one window: its place in the text, and the mean of its tokens' vectors."""
    own = np.flatnonzero(places[:, 3] == 0)
    first = own[np.flatnonzero(np.diff(places[own, 2], prepend=-2))]
    after = np.append(first[1:], own[-1] + 1) if len(own) else first
    sums = np.concatenate([np.zeros((1, tokens.shape[1])), np.cumsum(tokens, axis=0, dtype=np.float64)])
    ends: list[tuple[int, int]] = []
    means: list[NDArray[np.float64]] = [np.zeros((0, tokens.shape[1]))]
    for count in range(1, min(WORDS, len(first)) + 1):
        begin, end = first[: len(first) - count + 1], after[count - 1 :]
        means.append((sums[end] - sums[begin]) / (end - begin)[:, None])
        ends += zip(places[begin, 0].tolist(), places[end - 1, 1].tolist(), strict=True)
    return ends, np.concatenate(means).astype(np.float32)


def answer(context: str, start: int, end: int) -> Prediction:
    """A span as a prediction."""
    return Prediction(context[start:end], spans=(Span(start, end, "answer", context[start:end]),))


def unit(vectors: Vectors) -> Vectors:
    """Vectors of length one."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
