"""Resolving a recipe: every measured or automatic choice becomes an explicit value before the first step."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attune.backbones.registry import BACKBONES
from attune.core.form import Form
from attune.core.packing import IGNORED
from attune.core.recipe import Recipe, Several, TrainingOptions
from attune.core.texts import SECOND
from attune.errors import DataError
from attune.model.assemble import Model, rewarded_figure
from attune.tasks.heads.linear import L2_GRID, choose_l2
from attune.training.encoded import Encoded, learned_from
from attune.training.precision import ANSWERING, CANDIDATES, choose

ROUNDING = 8
SHORTEST = 64
ROWS_FOR_L2 = 10_000
TOKENS_FOR_HEAD = 100_000
"""Tokens on whose features a head is solved at most; their rows are drawn."""
TOKENS_FOR_TRIAL = 4_096
"""Tokens, with padding, of the rows on which number formats are tried at most."""
STILL: dict[str, Any] = {"epochs": 0, "precision": "float32", "attention": ANSWERING}
"""What the recipe of a run that takes no step says."""


@dataclass(frozen=True)
class Known:
    """What is known before the model is put together."""

    fingerprints: Mapping[str, str]
    checkpoint_sha256: str
    form: Form


def threads_here() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def before_model(recipe: Recipe, known: Known) -> Recipe:
    """Fingerprints, the column of a second text, and threads.

    Args:
        recipe: The recipe as given.
        known: Digests of data and backbone.

    Returns:
        The recipe with them written in.
    """
    recipe = recipe.having("data", fingerprints=dict(known.fingerprints))
    if SECOND in known.form.texts:
        recipe = recipe.having("data", text_pair=recipe.data.text_pair or SECOND)
    own = (*known.form.also, *(known.form.gold.of if known.form.gold else ()))
    if own:
        recipe = recipe.having("data", columns={name: recipe.data.column(name) for name in own})
    recipe = recipe.having("backbone", sha256=known.checkpoint_sha256)
    return recipe.having("training", threads=recipe.training.threads or threads_here())


def max_length(longest: int, limit: int) -> int:
    """Tokens to read: the longest training row, rounded up, at least 64, within the backbone's limit."""
    rounded = -(-longest // ROUNDING) * ROUNDING
    return min(max(rounded, SHORTEST), limit)


def solved(model: Model) -> bool:
    """Whether nothing but the head moves and the head is solved, so that there are no steps to take."""
    return model.method.frozen_below(model.backbone) > model.backbone.layers_count and model.solvable


def rates(options: TrainingOptions, model: Model) -> dict[str, float | None]:
    """The learning rates: the recipe's, or the method's own; none where nothing is trained."""
    if not model.method.trains:
        return {"learning_rate": None, "head_learning_rate": None}
    pace = model.objective.pace
    return {
        "learning_rate": options.learning_rate or model.method.rate * pace,
        "head_learning_rate": options.head_learning_rate or model.method.head_rate * pace,
    }


def after_encoding(recipe: Recipe, model: Model, rows: Encoded) -> tuple[Recipe, dict[str, Any]]:
    """Rates, metric, precision, steps and the strength of the head's penalty.

    Args:
        recipe: With `before_model` done.
        model: The assembled model.
        rows: The encoded training rows.

    Returns:
        The resolved recipe, and what was measured on the way.
    """
    options = recipe.training
    measured: dict[str, Any] = {}
    metric, _ = model.task.metric(options.metric or rewarded_figure(recipe))
    changes: dict[str, Any] = {"metric": metric, **rates(options, model)}
    if not model.method.trains or (options.start == "probe" and solved(model)):
        changes |= STILL
    elif "auto" in (options.precision, options.attention):
        size = min(options.batch_size, len(rows))
        sample = some(rows, np.random.default_rng(options.seed).choice(len(rows), size, replace=False))
        wanted = (options.precision, options.attention)
        allowed = [
            pair for pair in CANDIDATES if all(want in ("auto", is_) for want, is_ in zip(wanted, pair, strict=True))
        ]
        chosen, measured["seconds_a_step"] = choose(
            model, *learned_from(model, rows, sample, (options.seed, 0)), allowed
        )
        changes |= {"precision": chosen[0], "attention": chosen[1]}
    return recipe.having("training", **changes), measured


def some(rows: Encoded, sample: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first of the drawn rows, two at least: of long ones a few tell which number format is faster."""
    padded = np.maximum.accumulate([len(row) for row in rows.rows(sample)]) * np.arange(1, len(sample) + 1)
    return sample[: max(2, int(np.searchsorted(padded, TOKENS_FOR_TRIAL, side="right")))]


def fixed(model: Model, rows: Encoded, seed: int) -> tuple[NDArray[np.float32], torch.Tensor]:
    """What the head is solved on: the untuned features, and their targets.

    Args:
        model: The assembled model.
        rows: The encoded training rows.
        seed: Seed of the draw, where targets are drawn, or rows have more than `TOKENS_FOR_HEAD` tokens.

    Returns:
        `(M, W)` and `(M,)` or `(M, K)`: a line a row; where the task reads tokens, a line a token that has a target.
    """
    if not rows.aligned:
        ids, targets = learned_from(model, rows, range(len(rows)), (seed, 0))
        return model.features(ids), targets
    order = np.random.default_rng(seed).permutation(len(rows))
    fits = np.cumsum(rows.lengths()[order]) <= TOKENS_FOR_HEAD
    chosen = np.sort(order[fits | (np.arange(len(order)) == 0)])
    return with_target(model.features(rows.rows(chosen)), rows, chosen)


def with_target(
    values: NDArray[np.float32], rows: Encoded, chosen: NDArray[np.int64]
) -> tuple[NDArray[np.float32], torch.Tensor]:
    """Of values of all tokens of some rows `(T, W)` those whose token has a target, and the targets."""
    targets = np.concatenate([rows.each[rows.starts[i] : rows.starts[i + 1]] for i in chosen]).astype(np.int64)
    kept = targets != IGNORED
    return values[kept], torch.from_numpy(targets[kept])


def solve(recipe: Recipe, model: Model, rows: Encoded) -> Recipe:
    """Solves the head on the untuned features; of several tasks that have one that can be solved, each.

    Args:
        recipe: For the seed, and the strengths that are given.
        model: Its heads are changed.
        rows: The encoded training rows.

    Returns:
        The recipe with the strengths written in.
    """
    seed = recipe.training.seed
    if not isinstance(recipe.task, Several):
        l2 = fit(model, rows, seed, recipe.training.probe_l2)
        return recipe.having("training", probe_l2=l2)
    task = recipe.task
    parts = model.parts()
    for part in recipe.task.parts:
        if parts[part.name].solvable:
            own = rows.alone(part.name, first=model.task.windowed is not None)
            task = task.having(part.name, probe_l2=fit(parts[part.name], own, seed, part.probe_l2))
    return recipe.model_copy(update={"task": task})


def fit(model: Model, rows: Encoded, seed: int, given: float | None) -> float:
    """Solves one head; tells the strength of its penalty."""
    features, targets = fixed(model, rows, seed)
    l2 = given or l2_of(model, features, targets, seed)
    head: Any = model.head
    head.fit(features, targets, task_loss(model), l2)
    head.to(model.device)
    return l2


def l2_of(model: Model, features: NDArray[np.float32], targets: torch.Tensor, seed: int) -> float:
    """The strength of the head's penalty, by cross-validation on at most 10,000 of the lines."""
    draw = np.random.default_rng(seed)
    chosen = np.sort(draw.permutation(len(features))[:ROWS_FOR_L2])
    some = targets[torch.from_numpy(chosen)]
    grid = getattr(model.task, "strengths", L2_GRID)
    return choose_l2(features[chosen], some, task_loss(model), model.outputs_count, grid=grid, seed=seed)


def task_loss(model: Model) -> Any:
    """The task's loss with the labels filled in."""
    return lambda logits, targets: model.task.loss(logits, targets, model.labels)


def refuse_unknown(recipe: Recipe, rows: Encoded, name: str) -> str:
    """Stops a run whose training rows the backbone cannot read.

    Args:
        recipe: For `backbone.max_unknown`.
        rows: The encoded training rows.
        name: The backbone.

    Returns:
        A notice where some tokens are unknown; empty where none are.

    Raises:
        DataError: More tokens are unknown than the recipe allows.
    """
    share = rows.unknown / max(rows.words, 1)
    bound: float = recipe.backbone.max_unknown  # pyright: ignore[reportAttributeAccessIssue] every family has it
    told = (
        f"{share:.1%} of the training rows' tokens are unknown to {name} ({rows.affected} of {len(rows)} rows affected)"
    )
    if share > bound:
        family = BACKBONES.get(recipe.backbone.family)  # pyright: ignore[reportAttributeAccessIssue]
        own = "give it a tokenizer of these texts with [backbone.tokenizer] and method full, "
        raise DataError(
            told,
            where="backbone.max_unknown",
            expected=f"at most {bound:.1%}",
            remedy="use a backbone whose tokenizer knows this language and script (for Chinese: a Chinese "
            f"or multilingual encoder such as bge-small-zh, chinese-roberta or multilingual-e5), "
            f"{own if family.exchanges else ''}or accept it with "
            f"--set backbone.max_unknown={min(1.0, np.ceil(share * 20) / 20):.2f}",
        )
    return told if rows.unknown else ""
