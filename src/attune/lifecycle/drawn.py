"""Judging a task whose targets are drawn: rows packed as in training, every figure told back to its row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from attune.core.packing import IGNORED
from attune.data.table import Table
from attune.model.assemble import TOKENS_A_BATCH, Model, length_batches
from attune.model.rows import standing
from attune.tasks.common.aids import Embed
from attune.tasks.common.drawn import DrawnScores, Found, Trial
from attune.training.encoded import padded

CHUNK = 1024
LOGITS = 2**26
"""Numbers that are in memory at once where a backbone's own language head answers; 256 MiB."""


def scores(model: Model, table: Table, name: str) -> DrawnScores:
    """What a model answers to the fixed draw of a table's rows.

    Args:
        model: The model.
        table: The rows, in the order in which they are packed.
        name: What to call the model.

    Returns:
        The scores by row.
    """
    parts: list[Found] = []
    everything: list[dict[str, Any]] = []
    for rows in chunks(model, table):
        trial: Trial = model.task.trial(model.backbone, rows)
        values = np.concatenate([np.zeros((0, 2), dtype=np.float32), *judged(model, trial)])
        gold, owners = flat(trial.targets), flat(trial.owners)
        kept = gold != IGNORED
        loss, chosen = values[kept].astype(np.float64).T
        parts.append(Found(owners[kept] + len(everything), gold[kept], chosen.astype(np.int64), loss))
        everything += rows
    return model.task.scores(name, everything, together(parts))


def chunks(model: Model, table: Table) -> Iterator[list[dict[str, Any]]]:
    """The rows of a table, as many at a time as are packed together; all of them where they are parts of documents."""
    parts = (standing(model.task, batch) for batch in table.batches(CHUNK))
    return iter([list(chain.from_iterable(parts))]) if hasattr(model.task, "beside") else parts


def flat(parts: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """Values of blocks, one after the other."""
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts])


def together(parts: Sequence[Found]) -> Found:
    """What was found in several chunks."""
    names = ("owners", "gold", "chosen")
    whole = {name: flat([getattr(part, name) for part in parts]) for name in names}
    return Found(**whole, loss=np.concatenate([np.zeros(0), *(part.loss for part in parts)]))


@torch.inference_mode()
def judged(model: Model, trial: Trial) -> list[NDArray[np.float32]]:
    """Loss and answer `(T, 2)` of every target of every block, whatever the batches."""
    model.eval()
    head: Any = model.head
    verdict = head.judged if hasattr(head, "judged") else likeliest
    at_once = max(1, LOGITS // model.outputs_count) if verdict is likeliest else TOKENS_A_BATCH
    found: dict[int, NDArray[np.float32]] = {}
    for batch in length_batches([len(block) for block in trial.ids], at_once):
        inputs = model.collate([trial.ids[i] for i in batch])
        # of a row with one target the head's answer is that of its only place
        features = model(inputs).unsqueeze(1) if model.task.features == "pooled" else model.read(inputs)
        values = verdict(features, padded([trial.targets[i] for i in batch]).to(model.device)).cpu().numpy()
        found |= {i: line[: len(trial.targets[i])] for i, line in zip(batch, values, strict=True)}
    return [found[i] for i in range(len(trial.ids))]


def likeliest(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Of every token asked for its loss and the likeliest answer; zeros elsewhere.

    Args:
        logits: `(P, T, V)`.
        targets: `(P, T)`, −100 where nothing is asked.

    Returns:
        `(P, T, 2)` float32.
    """
    asked = targets != IGNORED
    found = logits.new_zeros((*targets.shape, 2), dtype=torch.float32)
    own = logits[asked].float()
    found[asked] = torch.stack([cross_entropy(own, targets[asked], reduction="none"), own.argmax(-1).float()], -1)
    return found


def majority(model: Model, train: Table, table: Table, scored: DrawnScores) -> DrawnScores:
    """The baseline that knows how frequent tokens are in the training rows, and nothing of the text.

    Args:
        model: For task and backbone.
        train: The training rows.
        table: The rows that were answered.
        scored: A model's answers, for what was asked.

    Returns:
        The baseline's answers to the same.
    """
    counts = sum(model.task.counted(model.backbone, rows) for rows in chunks(model, train))
    owners = np.repeat(np.arange(len(scored.gold)), [len(gold) for gold in scored.gold])
    gold = flat([np.asarray(gold, dtype=np.int64) for gold in scored.gold])
    chosen, loss = model.task.frequent(gold, counts)
    everything = [row for rows in chunks(model, table) for row in rows]
    return model.task.scores("majority", everything, Found(owners, gold, chosen, loss))


def cosine(model: Model, train: Table, table: Table, scored: DrawnScores, embed: Embed) -> DrawnScores:
    """The baseline that goes by the cosine of untuned vectors; it has no probabilities, and so no loss.

    Args:
        model: For a task with `near`.
        train: The training rows.
        table: The rows that were answered.
        scored: A model's answers, for their number.
        embed: Texts to vectors.

    Returns:
        The baseline's answers to the same.
    """
    (known,), (rows,) = chunks(model, train), chunks(model, table)
    chosen, asked = model.task.near(embed, known, rows)
    gold, owners = np.asarray(asked.targets), np.asarray(asked.owners)
    assert sum(map(len, scored.gold)) == len(gold)
    return model.task.scores("cosine", rows, Found(owners, gold, chosen, np.full(len(gold), np.nan)))
