"""A bundle or a model judged on labelled rows, beside its baselines."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from attune.backbones.checkpoints import Checkpoint
from attune.backbones.registry import BACKBONES
from attune.core.packing import by_piece
from attune.core.recipe import EvaluationOptions
from attune.core.records import Answers, Input, Prediction, Scores
from attune.core.texts import parts, rows_of
from attune.data.table import Table
from attune.evaluation import baselines
from attune.evaluation.overlap import pair_vectoriser
from attune.evaluation.tfidf import vectoriser
from attune.lifecycle import drawn
from attune.model.assemble import Model, length_batches
from attune.model.rows import told
from attune.tasks.common.aids import Aids, Embed
from attune.tasks.common.drawn import DrawnScores
from attune.tasks.common.parts import Parts
from attune.tasks.common.preference_scores import PreferenceScores, scores
from attune.training.encoded import Encoded, encode
from attune.training.reference import refer, surprises

CHUNK = 1024
LOSS_ROWS = 256
MOST_SURPRISED = 700.0
"""Nats of which a float64 can still say how many words they are."""
OF_RETRIEVAL = frozenset({"bm25"})
"""Baselines that rank texts, and are nothing else."""
LOWEST, HIGHEST = 0.25, 20.0
"""Bounds of the temperature: on rows that are told apart perfectly the best one is zero, and rounding would decide."""


@dataclass(frozen=True)
class Judged:
    """A model's answers to a table's rows."""

    answers: Answers | Scores
    texts: list[str]
    ids: list[str]
    table: Table


def judge(model: Model, table: Table, name: str) -> Judged:
    """Answers every row of a table by the same path as `predict`; where targets are drawn, the draw is fixed.

    Args:
        model: The model, calibrated.
        table: Labelled rows.
        name: What to call the model.

    Returns:
        The answers beside texts (the two of a pair joined) and ids.
    """
    if not model.task.form.labelled:
        return Judged(drawn.scores(model, table, name), table.texts(), table.ids(), table)
    if model.objective.pairs:
        with tempfile.TemporaryDirectory() as scratch:
            rows = encode(model, table, Path(scratch) / "ids")
            refer(model, rows)
            return Judged(preferred(model, rows, table, name), table.texts(), table.ids(), table)
    found = judged_of(model, predicted(model, table), table, name)
    if not hasattr(model.task, "tell"):
        return found
    with tempfile.TemporaryDirectory() as scratch:
        surprise = surprises(model, encode(model, table, Path(scratch) / "ids"))[:, 0]
    answers: Any = found.answers
    return replace(found, answers=replace(answers, surprise=surprise))


def preferred(model: Model, rows: Encoded, table: Table, name: str) -> PreferenceScores:
    """Which text of each pair has gained more since the model was untuned.

    Args:
        model: The model.
        rows: The table's, with their reference.
        table: Pairs.
        name: What to call the model.

    Returns:
        The scores.
    """
    assert rows.reference is not None
    told = surprises(model, rows)
    reference = rows.reference.double().numpy()
    gained = reference - told[..., 0]
    return scores(name, table.golds(), gained[:, 0] - gained[:, 1], told=told, reference=reference, gains=True)


def compared(model: Model, held: Encoded, table: Table) -> dict[str, float]:
    """Figures of the validation pairs, and the objective's mean loss on them; nothing is written for it."""
    assert held.reference is not None
    found = preferred(model, held, table, "validation")
    told = torch.from_numpy(np.asarray(found.told))
    losses = model.objective.losses(told[..., 0], told[..., 1], held.reference.double())
    return {**model.task.metrics(found), "loss": float(losses.mean())}


def judged_of(model: Model, predictions: Sequence[Prediction], table: Table, name: str) -> Judged:
    """Answers to a table's rows beside what is right."""
    answers = model.task.judged(name, predictions, table.golds(), model.labels)
    return Judged(answers, table.texts(), table.ids(), table)


def predicted(model: Model, table: Table) -> list[Prediction]:
    """Answers to every row of a table, in order."""
    predictions: list[Prediction] = []
    for batch in table.batches(CHUNK):
        rows = rows_of(batch, model.task.form.fields)
        predictions += model.predict(told(model.task, rows, batch))
    return predictions


def written(model: Model, held: Encoded, table: Table, wanted: str) -> dict[str, float]:
    """Loss and perplexity of the rows' right texts; and where another metric is wanted, those of what is written."""
    total, weight = (float(value) for value in surprises(model, held)[:, 0].sum(axis=0))
    found = {"loss": total / weight, "perplexity": math.exp(min(total / weight, MOST_SURPRISED))}
    if wanted in found:
        return found
    answers = model.task.judged("validation", predicted(model, table), table.golds(), model.labels)
    return {**model.task.metrics(answers), **found}


def loss_of(model: Model, held: Encoded, outputs: Sequence[Any]) -> tuple[float, float]:
    """Total and weight of the loss of all rows, of what the head said of them."""
    total = weight = 0.0
    for start in range(0, len(held), LOSS_ROWS):
        rows = range(start, min(start + LOSS_ROWS, len(held)))
        padded = batch_of(outputs, rows, held)
        with torch.inference_mode():
            losses, weights = model.weigh(padded.to(model.device), held.targets_of(rows).to(model.device))
        total += float(losses.sum())
        weight += float(weights.sum())
    return total, weight


def batch_of(outputs: Sequence[Any], rows: Sequence[int], held: Encoded) -> Any:
    """Outputs of some rows as the batch that they came from; of several tasks a batch of each."""
    if held.parts:
        own = {name: [row[name] for row in outputs] for name in held.parts}
        return Parts({name: batch_of(own[name], rows, part) for name, part in held.parts.items()})
    return as_batch([outputs[row] for row in rows], held.rows(rows)) if held.aligned else stacked(outputs, rows)


def stacked(outputs: Sequence[NDArray[np.float32]], rows: Sequence[int]) -> torch.Tensor:
    """Outputs of some rows `(B, K)`."""
    return torch.from_numpy(np.stack([outputs[row] for row in rows]))


def as_batch(outputs: Sequence[NDArray[np.float32]], ids: Sequence[NDArray[np.int64]]) -> torch.Tensor:
    """Outputs of all tokens of some rows as the padded batch that they came from `(P, T, K)`."""
    pieces = [part for values, row in zip(outputs, ids, strict=True) for part in by_piece(values, row)]
    padded = np.zeros((len(pieces), max(map(len, pieces)), pieces[0].shape[1]), dtype=np.float32)
    for line, part in zip(padded, pieces, strict=True):
        line[: len(part)] = part
    return torch.from_numpy(padded)


def untuned(checkpoint: Checkpoint, family: str) -> Any:
    """A backbone of a family as it is published, pooled by mean."""
    kind: Any = BACKBONES.get(family)
    options = kind.Options.model_validate({"name": checkpoint.name, "pooling": "mean", "max_length": 256})
    return kind(checkpoint, options).eval()


def embedder(checkpoint: Checkpoint, family: str) -> Embed:
    """The untuned backbone of a family as a function from texts to mean-pooled vectors of length one."""
    backbone = untuned(checkpoint, family)

    @torch.inference_mode()
    def embed(rows: list[str]) -> NDArray[np.float32]:
        encoding = backbone.encode([Input(row) for row in rows])
        result = np.zeros((len(rows), backbone.width), dtype=np.float32)
        for batch in length_batches([len(row) for row in encoding.ids]):
            vectors = backbone(backbone.collate([encoding.ids[i] for i in batch]))
            result[batch] = torch.nn.functional.normalize(vectors, dim=-1).numpy()
        return result

    return embed


def pair_embedder(embed: Embed) -> Embed:
    """The vectors of joined pairs from those of their texts: `[u, v, |u − v|, u · v]` (Reimers & Gurevych 2019)."""

    def features(rows: list[str]) -> NDArray[np.float32]:
        first, second = embed([parts(row)[0] for row in rows]), embed([parts(row)[1] for row in rows])
        return np.concatenate([first, second, np.abs(first - second), first * second], axis=1)

    return features


def baselines_for(wanted: Sequence[str], task: Any) -> tuple[list[str], list[str]]:
    """The baselines that a task has.

    Args:
        wanted: Names in the recipe.
        task: The task.

    Returns:
        Names, and a notice for what is left out; nothing is said of what ranks texts, where there is nothing to rank.
    """
    left = [name for name in wanted if name not in task.baselines and name not in OF_RETRIEVAL]
    told = [f"{', '.join(left)} left out: {task.no_baseline}"] if left else []
    return [name for name in wanted if name in task.baselines], told


def shown_beside(
    model: Model, train: Table, judged: Judged, options: EvaluationOptions
) -> tuple[list[Answers | Scores], list[str]]:
    """The baselines that a recipe asks for and a task has.

    Args:
        model: For task, labels and checkpoint.
        train: The rows they learn from, as the model did.
        judged: The model's answers, for their gold.
        options: Which are wanted, and the seed.

    Returns:
        Their answers, and a notice for what is left out.
    """
    wanted, left_out = baselines_for(options.baselines, model.task)
    if isinstance(judged.answers, PreferenceScores):
        return list(judged.answers.beside_it(wanted, train.golds())), left_out
    family = model.backbone.options.family
    embed = embedder(model.backbone.checkpoint, family) if "zero_shot" in wanted else None
    return [*beside(wanted, model, train, judged, embed, options.seed), *alone(model, judged)], left_out


def alone(model: Model, judged: Judged) -> Iterator[Scores]:
    """What each source of a task that chooses among several answers by itself, by the same path.

    Args:
        model: Of any task; of most nothing comes.
        judged: The model's answers, for their gold and rows.

    Yields:
        One record a source.
    """
    sources: Mapping[str, Any] = model.task.alone() if hasattr(model.task, "alone") else {}
    for name, task in sources.items():
        source = Model(model.backbone, model.head, task, model.method, model.objective, model.labels)
        found = predicted(source.train(model.training), judged.table)
        yield model.task.judged(name, found, judged.answers.gold, model.labels)


def beside(
    wanted: Sequence[str], model: Model, train: Table, judged: Judged, embed: Embed | None, seed: int
) -> Iterator[Answers | Scores]:
    """The baselines' answers to the same rows.

    Args:
        wanted: Names of baselines.
        model: For task and labels.
        train: The rows the baselines learn from, as the model did.
        judged: The model's answers, for their gold.
        embed: Texts to vectors of the untuned backbone.
        seed: Seed of what is drawn.

    Yields:
        One record a baseline.
    """
    if isinstance(judged.answers, DrawnScores):
        if "majority" in wanted:
            yield drawn.majority(model, train, judged.table, judged.answers)
        if "zero_shot" in wanted and embed:
            yield drawn.cosine(model, train, judged.table, judged.answers, embed)
        return
    reader = pair_vectoriser if len(model.task.form.texts) > 1 else vectoriser
    if not isinstance(judged.answers, Answers):
        called: dict[str, str] = getattr(model.task, "called", {})
        for name in wanted:
            if name == "zero_shot" and hasattr(model.task, "untuned"):
                published = untuned(model.backbone.checkpoint, model.backbone.options.family)
                found = model.task.untuned(published, judged.table)
            else:
                found = model.task.baseline(name, train, judged.table, model.labels, Aids(embed, reader, seed))
            yield model.task.judged(called.get(name, name), found, judged.answers.gold, model.labels)
        return
    yield from beside_labels(wanted, model, train, judged, judged.answers, Aids(embed, reader, seed))


def beside_labels(
    wanted: Sequence[str],
    model: Model,
    train: Table,
    judged: Judged,
    answers: Answers,
    aids: Aids,
) -> Iterator[Answers]:
    """The baselines of a task whose answer is a label, or several."""
    labels = answers.labels
    train_gold = model.task.gold(train.labels(), labels)
    gold = answers.gold
    if "majority" in wanted:
        yield baselines.majority(labels, train_gold, gold)
    if "tfidf" in wanted:
        yield baselines.tfidf(
            train.texts(), train_gold, judged.texts, gold, labels, seed=aids.seed, reader=aids.vectoriser
        )
    if "zero_shot" in wanted and aids.embed:
        yield baselines.zero_shot(aids.embed, labels, judged.texts, gold, multi_label=train.multi_label)


def calibrate(model: Model, held: Encoded) -> None:
    """Gives a model its temperature, where one means something; of several tasks each its own.

    Args:
        model: Changed in place.
        held: Rows that it was not trained on.
    """
    parts = model.parts()
    if not parts:
        model.temperature = calibrated(model, held) if model.tempered else model.temperature
        return
    first = model.task.windowed is not None
    fitted = {name: part.tempered and bool(held.there[name].any()) for name, part in parts.items()}
    model.temperature = {
        name: calibrated(part, held.alone(name, first=first)) if fitted[name] else 1.0 for name, part in parts.items()
    }


def calibrated(model: Model, held: Encoded) -> float:
    """The temperature that makes the loss of rows smallest that the model was not trained on.

    Args:
        model: Of a task and a head whose logits become probabilities.
        held: Such rows.

    Returns:
        A positive number, to six digits.
    """
    outputs = model.outputs(held.rows(range(len(held))))
    if not held.aligned:
        return temperature(np.stack(outputs), held.targets)
    return coldest(lambda degree: loss_of(model, held, [values / np.float32(degree) for values in outputs])[0])


def temperature(logits: NDArray[np.float32], targets: torch.Tensor) -> float:
    """The temperature that makes log loss on held-out rows smallest (Guo et al. 2017).

    Args:
        logits: `(N, K)` of rows the model was not trained on.
        targets: Their targets.

    Returns:
        A positive number, to six digits.
    """
    scores = torch.from_numpy(logits)

    def loss(degree: float) -> float:
        scaled = scores / degree
        if targets.ndim == 2:
            return float(torch.nn.functional.binary_cross_entropy_with_logits(scaled, targets))
        return float(torch.nn.functional.cross_entropy(scaled, targets))

    return coldest(loss)


def coldest(loss: Callable[[float], float]) -> float:
    """The temperature within bounds that makes a loss smallest, to six digits."""
    bounds = (float(np.log(LOWEST)), float(np.log(HIGHEST)))
    found = minimize_scalar(
        lambda exponent: loss(float(np.exp(exponent))), bounds=bounds, method="bounded", options={"xatol": 1e-4}
    )
    return round(float(np.exp(found.x)), 6)
