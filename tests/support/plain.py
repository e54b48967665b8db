"""Invariant 9 of tasks that learn from texts alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attune.core.packing import IGNORED, ids_of
from attune.model.assemble import Model
from attune.training.encoded import Encoded


def texts_stay(task: str, model: Model, texts: Sequence[str], rows: Encoded) -> None:
    """No token is lost, however long its text, and each is asked for in its own row."""
    assert rows.truncated == 0 and rows.longest == model.backbone.max_length
    special = model.task.known.special
    own = model.backbone.tokenizer(list(texts), add_special_tokens=False, truncation=False)["input_ids"]
    flat = ids_of(rows.flat)
    assert flat[~special[flat]].tolist() == [token for row in own for token in row], "tokens were lost or moved"
    trial = model.task.trial(model.backbone, [{"text": text} for text in texts])
    assert max(map(len, trial.ids)) == model.backbone.max_length
    ids, owners, targets = (np.concatenate(part) for part in (trial.ids, trial.owners, trial.targets))
    for number, row in enumerate(own):
        mine, asked = ids[owners == number], targets[owners == number]
        known = mine if task == "replaced_token" else np.where(asked == IGNORED, mine, asked)
        apart = np.flatnonzero(known != row)
        expected = np.flatnonzero(asked == 1).tolist() if task == "replaced_token" else []
        assert apart.tolist() == expected, "a row is asked for other tokens than its own"
    assert (targets != IGNORED).any()
