"""Where a result is weaker: the headline figure by length and by script."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from attune.core.recipe import EvaluationOptions
from attune.core.records import Answers
from attune.evaluation.intervals import Interval, intervals
from attune.tasks.metrics import headline_of, names_of

HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
LATIN = re.compile("[A-Za-z\u00c0-\u024f]")


class Slice(TypedDict):
    """Some of the rows: what they share, how many they are, and the headline figure on them."""

    by: str
    name: str
    rows: int
    metric: Interval


def slices(answers: Answers, texts: Sequence[str], options: EvaluationOptions) -> list[Slice]:
    """The headline figure on slices of the rows.

    Args:
        answers: N rows.
        texts: Their texts.
        options: Level, resamples and seed of the intervals.

    Returns:
        Quartiles of length in characters, shortest first, then scripts where the rows have more than one.
    """
    result: list[Slice] = []
    for by, groups in (("length", by_length(texts)), ("script", by_script(texts))):
        for name, rows in groups:
            result.append({"by": by, "name": name, "rows": len(rows), "metric": headline(answers, rows, options)})
    return result


def headline(answers: Answers, rows: NDArray[np.int64], options: EvaluationOptions) -> Interval:
    """The first headline figure on some of the rows."""
    part = replace(
        answers, gold=answers.gold[rows], chosen=answers.chosen[rows], probabilities=answers.probabilities[rows]
    )
    name = headline_of(names_of(answers))[0]
    level, resamples, seed = options.confidence, options.resamples, options.seed
    return intervals(part, [name], confidence=level, resamples=resamples, seed=seed)[name]


def by_length(texts: Sequence[str]) -> list[tuple[str, NDArray[np.int64]]]:
    """Rows by quartile of length in characters; quartiles that equal lengths make empty are left out."""
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    place = np.searchsorted(np.quantile(lengths, [0.25, 0.5, 0.75]), lengths, side="left")
    groups: list[tuple[str, NDArray[np.int64]]] = []
    for quarter in range(4):
        rows = np.flatnonzero(place == quarter)
        if len(rows):
            low, high = int(lengths[rows].min()), int(lengths[rows].max())
            span = str(low) if low == high else f"{low}–{high}"
            groups.append((f"{span} {'character' if high == 1 else 'characters'}", rows))
    return groups


def by_script(texts: Sequence[str]) -> list[tuple[str, NDArray[np.int64]]]:
    """Rows by script; none where all rows share one."""
    scripts = np.array([script(text) for text in texts])
    names = [name for name in ("latin", "han", "mixed", "other") if (scripts == name).any()]
    return [(name, np.flatnonzero(scripts == name)) for name in names] if len(names) > 1 else []


def script(text: str) -> str:
    """`han`, `latin`, `mixed` where letters of both occur, `other` where neither does."""
    han, latin = bool(HAN.search(text)), bool(LATIN.search(text))
    if han and latin:
        return "mixed"
    return "han" if han else "latin" if latin else "other"
