"""Hard negatives: for each training row, near texts that do not belong to it, found by the untuned backbone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from attune.core.files import whole_file
from attune.core.recipe import TrainingOptions
from attune.data.table import GOLD, Table
from attune.errors import RecipeError
from attune.tasks.common.aids import Embed
from attune.tasks.common.retrieval import NEGATIVES, POSITIVE, Queries, asked_of

BLOCK = 512
NONE = -1
"""Stands where a row has fewer negatives than asked for."""

Places = NDArray[np.int64]


class Mined:
    """Training rows with mined negatives added to those they bring.

    Args:
        table: The rows.
        texts: C texts.
        places: `(N, k)` which of them are negatives of each row; −1 for none.
    """

    def __init__(self, table: Table, texts: list[str], places: Places) -> None:
        self.table = table
        self.texts = texts
        self.places = places
        self.count = int((places != NONE).sum())
        self.fewer = int((places == NONE).any(1).sum())

    def __len__(self) -> int:
        return len(self.table)

    def batches(self, size: int) -> Iterator[dict[str, Any]]:
        """Columns, at most `size` rows at a time."""
        done = 0
        for columns in self.table.batches(size):
            golds = columns[GOLD]
            chosen = self.places[done : done + len(golds)]
            done += len(golds)
            yield {**columns, GOLD: [self._with(gold, row) for gold, row in zip(golds, chosen, strict=True)]}

    def _with(self, gold: dict[str, Any], row: Places) -> dict[str, Any]:
        return {**gold, NEGATIVES: [*gold[NEGATIVES], *(self.texts[place] for place in row if place != NONE)]}


def mined(table: Table, options: Any, embed: Callable[[], Embed], kept: Path) -> Mined:
    """Finds negatives, once: what was found is kept, so that a run that is resumed learns from the same.

    Args:
        table: The training rows.
        options: The task's: `negatives` a row, from a `window` of ranks, within a `margin`.
        embed: Makes the untuned backbone's embedding.
        kept: A file of the run.

    Returns:
        The rows with their negatives.
    """
    asked = asked_of(table.texts(), table.golds())
    if not kept.is_file():
        places = nearest(asked, table.golds(), options, embed())
        with whole_file(kept) as path:
            save_file({"places": places}, path)
    return Mined(table, asked.texts, load_file(kept)["places"])


def nearest(asked: Queries, golds: list[dict[str, Any]], options: Any, embed: Embed) -> Places:
    """The nearest texts that do not belong to each row, `(N, k)` positions among the texts.

    Ranks are counted among the texts that do not belong to the row; of those within the window the nearest are taken
    whose similarity is at most the margin times that of the row's own positive, for what is nearer may well belong to
    it without anyone having said so (Moreira et al. 2024, NV-Retriever's TopK-PercPos).

    Args:
        asked: The rows as queries, and the positives of all rows as texts.
        golds: The rows' own positives and negatives.
        options: As for `mined`.
        embed: Texts to vectors of length one.

    Returns:
        Positions, −1 where there are too few.
    """
    low, high = options.window
    place = {text: at for at, text in enumerate(asked.texts)}
    queries, texts = embed(list(asked.queries)), embed(asked.texts)
    found = np.full((len(golds), options.negatives), NONE, dtype=np.int64)
    for begin in range(0, len(golds), BLOCK):
        block = (queries[begin : begin + BLOCK] @ texts.T).astype(np.float64)
        for row, scores in enumerate(block, begin):
            bound = options.margin * scores[place[golds[row][POSITIVE]]]
            scores[out_of_question(asked, golds[row], row, place)] = -np.inf
            order = np.argsort(-scores, kind="stable")[low - 1 : high]
            taken = order[(scores[order] <= bound) & np.isfinite(scores[order])][: options.negatives]
            found[row, : len(taken)] = taken
    return found


def out_of_question(asked: Queries, gold: dict[str, Any], row: int, place: dict[str, int]) -> list[int]:
    """Texts that are no negatives to be found: what belongs to the row, the row's own text, and negatives it brings."""
    known = [place[text] for text in gold[NEGATIVES] if text in place]
    return [*asked.right[row], *known, *([asked.itself[row]] if asked.itself[row] >= 0 else [])]


def refuse_alone(options: TrainingOptions, task: Any, table: Table) -> None:
    """Stops where a loss that compares the rows of a batch would have nothing to compare.

    Args:
        options: Rows in a batch, and batches in a step.
        task: The task.
        table: The training rows.

    Raises:
        RecipeError: One row a step, and a row without hard negatives, or a task that has none.
    """
    alone = options.batch_size * options.accumulation == 1
    if not alone or getattr(task, "per_row", True) or getattr(task.options, "negatives", 0):
        return
    if not hasattr(task.options, "negatives"):
        raise RecipeError(
            "one row a step, beside one of its own label: there is nothing to contrast", where="training.batch_size",
            expected="several rows a step, for each is told apart from those of other labels",
            remedy="raise training.batch_size or training.accumulation",
        )  # fmt: skip
    if without := sum(not gold[NEGATIVES] for gold in table.golds()):
        raise RecipeError(
            f"one row a step, and {without} of {len(table)} rows have no hard negative: there is nothing to contrast",
            where="training.batch_size",
            expected="several rows a step, for each is told apart from the positives of the others",
            remedy="raise training.batch_size or training.accumulation, or set task.negatives to mine hard negatives",
        )
