"""BLEU and chrF as sacreBLEU computes them (Post 2018), from counts of rows, so that rows can be weighed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attune.core.extras import require

Floats = NDArray[np.float64]
ORDERS = 4
"""Words of the longest run that BLEU counts (Papineni et al. 2002)."""
CHARACTERS = 6
"""Characters of the longest run that chrF counts (Popović 2015)."""
BETA = 2.0
"""How many times recall counts for precision in chrF."""
BLEU_COUNTS = 2 + 2 * ORDERS
CHRF_COUNTS = 3 * CHARACTERS


@cache
def metrics(tokenise: str) -> tuple[Any, Any]:
    """sacreBLEU's BLEU and chrF; raises MachineError where it is not installed."""
    require("sacrebleu", extra="generation")
    module: Any = import_module("sacrebleu.metrics")
    return module.BLEU(tokenize=tokenise, force=True, effective_order=True), module.CHRF()


def bleu_counts(text: str, references: Sequence[str], tokenise: str) -> list[float]:
    """What corpus BLEU sums over rows.

    Args:
        text: What was written.
        references: What is right, one or more.
        tokenise: sacreBLEU's name of a tokenizer.

    Returns:
        Words of the text and of the nearest reference in length, then of each order the runs that match, then all runs.
    """
    found = metrics(tokenise)[0].sentence_score(text, list(references))
    return [found.sys_len, found.ref_len, *found.counts, *found.totals]


def chrf_counts(text: str, references: Sequence[str]) -> list[float]:
    """What corpus chrF sums over rows: of each order the runs of the text, of the best reference, and those in both."""
    measure = metrics("none")[1]
    (found,) = measure._extract_corpus_statistics([text], [[one] for one in references])  # no public way tells them
    return [float(value) for value in found]


def bleu(counts: Floats) -> Floats:
    """Corpus BLEU with sacreBLEU's exponential smoothing.

    Args:
        counts: `(R, 10)` sums of `bleu_counts`.

    Returns:
        `(R,)` shares.
    """
    said, right = counts[:, 0], counts[:, 1]
    matched, total = counts[:, 2 : 2 + ORDERS], counts[:, 2 + ORDERS :]
    halvings = np.cumsum((matched == 0) & (total > 0), axis=1)
    smooth = np.where(matched > 0, matched, 0.5**halvings)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(smooth / total)
        brevity = np.where(said < right, np.exp(1 - right / said), 1.0)
        found = brevity * np.exp(logs.mean(axis=1))
    nothing = ~(matched > 0).any(axis=1) | (total == 0).any(axis=1)
    return np.where(nothing, 0.0, found)


def chrf(counts: Floats) -> Floats:
    """Corpus chrF2 as sacreBLEU averages it over orders.

    Args:
        counts: `(R, 18)` sums of `chrf_counts`.

    Returns:
        `(R,)` shares.
    """
    said, right, both = (counts[:, at::3] for at in range(3))
    able = (said > 0) & (right > 0)
    orders = np.maximum(able.sum(axis=1), 1)
    precision = np.where(able, both / np.where(able, said, 1), 0).sum(axis=1) / orders
    recall = np.where(able, both / np.where(able, right, 1), 0).sum(axis=1) / orders
    below = BETA**2 * precision + recall
    return np.where(below > 0, (1 + BETA**2) * precision * recall / np.where(below > 0, below, 1), 0.0)
