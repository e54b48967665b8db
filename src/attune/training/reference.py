"""What a model holds of texts: while it is tuned, and before, as the reference that an objective compares with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from attune.core.files import whole_file
from attune.model.assemble import Model, length_batches, untuned
from attune.training.encoded import Encoded


@torch.inference_mode()
def surprises(model: Model, rows: Encoded) -> NDArray[np.float64]:
    """Loss in nats and number of the tokens that are learned, `(N, S, 2)`, of each of a row's S texts; no dropout."""
    training = model.training
    model.eval()
    found: list[NDArray[np.float64]] = []
    order: list[int] = []
    for batch in length_batches(rows.lengths().tolist()):
        inputs = model.collate(rows.rows(batch))
        total, weight = model.loss(inputs, rows.tokens_of(batch).to(model.device))
        told = torch.stack([total, weight], -1).double().cpu().numpy()
        found.extend(told.reshape(len(batch), -1, 2))
        order.extend(batch)
    model.train(training)
    return np.stack(found)[np.argsort(order)]


def fingerprint(model: Model, rows: Encoded) -> str:
    """What tells rows and the backbone that is asked of them from others: weights, ids, rows and targets."""
    digest = xxhash.xxh3_128(model.backbone.checkpoint.sha256.encode())
    for part in (rows.flat, rows.starts, np.asarray(rows.each)):
        digest.update(f"{part.dtype}{part.shape}".encode())
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def refer(model: Model, rows: Encoded, kept: Path | None = None) -> None:
    """Gives rows what the untuned backbone holds of them, where the model's objective compares with that.

    The backbone is read once more, asked, and let go: nothing of it stays in memory, and a bundle has none of it.

    Args:
        model: As assembled or loaded.
        rows: Changed in place.
        kept: A file of the run, so that one that is resumed does not ask again.
    """
    if not model.objective.pairs:
        return
    known = fingerprint(model, rows)
    if kept is None or not (kept.is_file() and known in (there := load_file(kept))):
        there = {known: torch.from_numpy(surprises(untuned(model), rows)[..., 0]).float()}
        if kept:
            with whole_file(kept) as path:
                save_file(there, path)
    rows.reference = there[known]
