"""How a head of label texts begins: from the texts, from a few rows of each label, and from texts without labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attune.model.assemble import Model
from attune.training.encoded import Encoded

TEXTS_FOR_BALANCE = 1000


@dataclass(frozen=True)
class Beginning:
    """What a head began from.

    Attributes:
        texts: Label texts.
        rows: Labelled rows.
        unlabelled: Texts that the labels were balanced on.
        notices: What a reader should know.
    """

    texts: int
    rows: int
    unlabelled: int
    notices: list[str]


def describe(model: Model, rows: Encoded, seed: int) -> Beginning:
    """Sets the head's label vectors and levels, by the path that every answer takes.

    Args:
        model: A model whose head begins from label texts.
        rows: The encoded training rows: shots are drawn from them, and texts to balance on.
        seed: Seed of both draws.

    Returns:
        What it began from.
    """
    options = model.task.options
    told = model.task.descriptions(model.labels)
    encoding = model.encode([{"text": text} for texts in told for text in texts])
    ends = np.cumsum([len(texts) for texts in told])[:-1]
    texts = np.split(model.features(encoding.ids), ends)
    drawn = draw_shots(rows.targets, len(told), options.shots, seed)
    shots = [model.features(rows.rows(chosen)) if len(chosen) else texts[0][:0] for chosen in drawn]
    head: Any = model.head
    head.begin(
        [torch.from_numpy(found).to(model.device) for found in texts],
        [torch.from_numpy(found).to(model.device) for found in shots],
    )
    unlabelled = balance(model, rows, seed) if options.calibrate or model.task.multi_label else 0
    notices = said(model, int(encoding.truncated.sum()), drawn, options.shots)
    return Beginning(len(encoding.ids), sum(map(len, drawn)), unlabelled, notices)


def draw_shots(targets: torch.Tensor, labels: int, count: int, seed: int) -> list[NDArray[np.int64]]:
    """Rows of each label, without repetition; fewer than `count` where there are fewer.

    Args:
        targets: `(N,)` label positions, or `(N, K)` of zeros and ones.
        labels: K.
        count: Rows a label.
        seed: A label's draw depends on it and on the label's position alone.

    Returns:
        Sorted row indices, one array a label.
    """
    gold = targets.numpy()
    drawn: list[NDArray[np.int64]] = []
    for label in range(labels):
        own = np.flatnonzero(gold[:, label] > 0 if gold.ndim == 2 else gold == label)
        chosen = np.random.default_rng([seed, label]).choice(own, min(count, len(own)), replace=False)
        drawn.append(np.sort(chosen.astype(np.int64)))
    return drawn


def balance(model: Model, rows: Encoded, seed: int) -> int:
    """Balances the labels on at most 1,000 training texts, whose labels are not read; tells on how many."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:TEXTS_FOR_BALANCE])
    features = torch.from_numpy(model.features(rows.rows(chosen))).to(model.device)
    head: Any = model.head
    head.balance(features, each=model.task.options.calibrate, several=model.task.multi_label)
    return len(chosen)


def said(model: Model, cut: int, drawn: Sequence[NDArray[np.int64]], wanted: int) -> list[str]:
    """What a reader should know of a beginning."""
    notices: list[str] = []
    name = model.backbone.checkpoint.name
    if cut:
        notices.append(f"{cut} label description(s) are longer than {name} was told to read and were cut")
    notices += fewer(model.labels.names, drawn, wanted)
    if unused := [label for label, count in zip(model.labels.names, model.labels.counts, strict=True) if not count]:
        notices.append(f"{len(unused)} label(s) are described and occur in no training row: {', '.join(unused[:10])}")
    if model.backbone.fresh and not model.method.trains:
        notices.append(f"texts are read through layers that {name} does not hold; they began at random")
    return notices


def fewer(names: Sequence[str], drawn: Sequence[NDArray[np.int64]], wanted: int) -> list[str]:
    """What a reader should know where labels have too few rows to show.

    Args:
        names: The labels.
        drawn: The rows drawn of each.
        wanted: How many were asked for.

    Returns:
        One sentence, or nothing.
    """
    short = [name for name, own in zip(names, drawn, strict=True) if len(own) < wanted]
    if not short:
        return []
    return [f"{len(short)} label(s) have fewer than {wanted} training rows to show: {', '.join(short[:10])}"]
