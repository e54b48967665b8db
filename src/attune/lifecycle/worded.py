"""How a head that asks in words begins: what is shown, which words stand for the labels, and what they are ahead by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attune.core.recipe import Recipe
from attune.core.texts import rows_of
from attune.data.redaction import redact
from attune.data.table import Table
from attune.errors import DataError, RecipeError, UnsupportedError
from attune.lifecycle.begin import balance, draw_shots, fewer
from attune.model.assemble import Model
from attune.tasks.common.labelled import Labels
from attune.tasks.common.verbalisers import words_of
from attune.tasks.common.wording import best_words
from attune.training.encoded import Encoded

CHUNK = 256


@dataclass(frozen=True)
class Wording:
    """What a head asks with.

    Attributes:
        options: What the resolved recipe is to say in [task].
        searched: Labelled rows that words were found by.
        unlabelled: Texts that the labels were balanced on.
        notices: What a reader should know.
    """

    options: dict[str, Any]
    searched: int
    unlabelled: int
    notices: list[str]


def showing(recipe: Recipe, task: Any, train: Table, labels: Labels) -> Recipe:
    """Draws what is shown before each row, where the head shows any and the recipe names none.

    One row of each label after the other, so that the first few are balanced too; in an order drawn anew each time.

    Args:
        recipe: For the seed.
        task: The task.
        train: The training rows.
        labels: Their labels.

    Returns:
        The recipe with the rows written in, personal data redacted.
    """
    options = task.options
    given: Any = getattr(options, "demonstrations", ())
    if given or not getattr(options, "shots", 0) or "demonstrations" not in task.read_options:
        return recipe
    seed = recipe.training.seed
    drawn = draw_shots(task.targets(train.golds(), labels), len(labels.names), options.shots, seed)
    draw = np.random.default_rng(seed)
    order = [
        (int(label), int(drawn[label][turn]))
        for turn in range(options.shots)
        for label in draw.permutation(len(drawn))
        if turn < len(drawn[label])
    ]
    rows = train.select([row for _, row in order])
    shown = [
        {"text": redact(row["text"]), "label": labels.names[label]} for (label, _), row in zip(order, rows, strict=True)
    ]
    return recipe.having("task", demonstrations=shown)


def shown_of(model: Model) -> list[str]:
    """What a reader should know of what is shown; the same of rows that were drawn and of rows that are given."""
    given: Any = getattr(model.task.options, "demonstrations", ())
    if not given:
        return []
    counts = Counter(one.label for one in given)
    shots = [np.zeros(counts[name], dtype=np.int64) for name in model.labels.names]
    told = f"{len(given)} labelled rows are shown before each row, and are kept with the bundle"
    return [told, *fewer(model.labels.names, shots, model.task.options.shots)]


def refuse_long(model: Model, table: Table) -> None:
    """Stops where what is shown leaves no room for the longest training row, before anything is computed.

    Args:
        model: The assembled model.
        table: The training rows.

    Raises:
        RecipeError: How many of those shown would fit.
    """
    asking: Any = getattr(model.task, "asking", None)
    if not (model.worded and hasattr(asking, "lengths") and model.task.options.demonstrations):
        return
    room, shown = asking.room, len(model.task.options.demonstrations)
    longest, row = 0, dict[str, Any]()
    for batch in table.batches(CHUNK):
        rows = rows_of(batch, model.task.form.fields)
        lengths = asking.lengths(rows)
        if max(lengths) > longest:
            longest, row = max(lengths), rows[int(np.argmax(lengths))]
    if longest <= room:
        return
    fit = next((count for count in range(shown - 1, 0, -1) if asking.lengths([row], count)[0] <= room), 0)
    each = fit // len(model.labels.names)
    raise RecipeError(
        f"a prompt of {longest:,} tokens: {shown} demonstrations before the longest training row",
        where="task.demonstrations",
        expected=f"at most {room:,} tokens, which {model.backbone.checkpoint.name} reads: {fit} demonstrations fit",
        remedy=(f"set task.shots to {each} or less" if each else "show none (task.shots = 0)")
        + ", name shorter ones in task.demonstrations, or use a backbone with more positions",
    )


def word(model: Model, rows: Encoded, seed: int) -> Wording:
    """Finds words where they are to be found, and balances the labels where that is asked for.

    Args:
        model: Its head is set.
        rows: The encoded training rows.
        seed: Seed of what is drawn of them.

    Returns:
        What it asks with.

    Raises:
        UnsupportedError: The checkpoint's vocabulary head cannot be read.
    """
    head: Any = model.head
    asking: Any = model.task.asking
    options = model.task.options
    if getattr(head, "fresh", False):
        raise UnsupportedError(
            "its masked vocabulary head is not a dense layer, GELU, a norm and the word vectors, as attune reads it",
            where=f"[backbone] {model.backbone.checkpoint.name}",
            expected="a checkpoint such as BERT or RoBERTa, or the bundle of a run with task masked_lm",
            remedy='tune it first with task.name = "masked_lm", or use head descriptions',
        )
    names = model.labels.names
    words: dict[str, list[str]] = dict(zip(names, words_of(options.verbalisers, names), strict=True))
    notices, searched = shown_of(model), 0
    if options.search:
        drawn = draw_shots(rows.targets, len(names), options.shots, seed)
        if asking.searches:
            words, searched = found_words(model, rows, drawn), sum(map(len, drawn))
        notices += [f"words of the labels (task.search): {told(words)}", *fewer(names, drawn, options.shots)]
    unlabelled = balance(model, rows, seed) if options.calibrate else 0
    return Wording({"verbalisers": words, "pattern": asking.pattern}, searched, unlabelled, notices)


def found_words(model: Model, rows: Encoded, drawn: Sequence[NDArray[np.int64]]) -> dict[str, list[str]]:
    """Words of each label by a few labelled rows; the head is set to them.

    Args:
        model: With a head that tells how likely words are.
        rows: The encoded training rows.
        drawn: Which of them, by label.

    Returns:
        Words by label.

    Raises:
        DataError: A label has no row.
    """
    if rowless := [name for name, own in zip(model.labels.names, drawn, strict=True) if not len(own)]:
        raise DataError(
            f"no training row of {', '.join(map(repr, rowless))}, and words are looked for in rows",
            where="task.search",
            expected="a row of each label",
            remedy="name the words of all labels under [task.verbalisers]",
        )
    head: Any = model.head
    likely = [
        head.likely(torch.from_numpy(model.features(rows.rows(own))).to(model.device)).cpu().numpy() for own in drawn
    ]
    found = best_words(np.stack(likely), model.labels.names, model.task.asking.word_of, model.task.options.search)
    head.name([model.task.asking.tokens(words) for words in found.values()])
    return found


def told(words: Mapping[str, Sequence[str]]) -> str:
    """Words by label, as a person reads them."""
    return "; ".join(f"{name}: {', '.join(own)}" for name, own in words.items())
