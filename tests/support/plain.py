"""Invariant 9 of tasks that learn from texts alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from attune.core.packing import IGNORED, ids_of, pieces_of
from attune.core.records import Input
from attune.model.assemble import Model
from attune.training.encoded import Encoded


def texts_stay(task: str, model: Model, texts: Sequence[str], rows: Encoded) -> None:
    """No token is lost, however long its text, and each is asked for in its own row."""
    assert rows.truncated == (2 if model.task.paired else 0) and rows.longest == model.backbone.max_length
    OF[task](model, texts, rows)


def tokens(model: Model, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of texts, without special ones."""
    return model.backbone.tokenizer(list(texts), add_special_tokens=False, truncation=False)["input_ids"]


def hidden_stay(model: Model, texts: Sequence[str], rows: Encoded) -> None:
    """Every token is in one block; of each row those that are asked for are its own."""
    covered(model, texts, rows)
    for ids, targets, own in trial(model, texts):
        assert np.where(targets == IGNORED, ids, targets).tolist() == own, (
            "a row is asked for other tokens than its own"
        )


def replaced_stay(model: Model, texts: Sequence[str], rows: Encoded) -> None:
    """Every token is in one block; the tokens of each row that are not its own are the ones called replaced."""
    covered(model, texts, rows)
    for ids, targets, own in trial(model, texts):
        assert np.flatnonzero(ids != own).tolist() == np.flatnonzero(targets == 1).tolist()


def next_stay(model: Model, texts: Sequence[str], rows: Encoded) -> None:
    """Every token but the first of all is the target of one block, and of one row's."""
    own = tokens(model, texts)
    special, asked = model.task.known.special, []
    for number in range(len(rows)):
        ids, targets = model.task.corrupted(rows.row(number), model.task.plan, np.random.default_rng(0))
        assert targets[:-1].tolist() == ids[1:].tolist() and targets[-1] == IGNORED
        asked += targets[:-1][~special[targets[:-1]]].tolist()
    assert asked == [token for row in own for token in row], "tokens were lost, moved or asked for twice"
    made = model.task.trial(model.backbone, [{"text": text} for text in texts])
    owners, targets = (np.concatenate(part) for part in (made.owners, made.targets))
    for number, row in enumerate(own):
        mine = targets[(owners == number) & (targets != IGNORED)]
        assert mine[~special[mine]].tolist() == row, "a row is asked for other tokens than its own"


def written_stay(model: Model, texts: Sequence[str], rows: Encoded) -> None:
    """Every token is in one block; read and hidden ones together are the block; each hidden one is its row's."""
    own = tokens(model, texts)
    special, kept = model.task.known.special, list[int]()
    for number in range(len(rows)):
        block = ids_of(pieces_of(rows.row(number))[0])
        kept += block[~special[block]].tolist()
        torn = model.task.torn(block, 0.3, 3.0, np.random.default_rng(number))
        hidden = torn.origin[torn.origin >= 0]
        assert torn.target[torn.origin >= 0].tolist() == block[hidden].tolist() and len(hidden)
        shown = torn.source[~special[torn.source]].tolist()
        assert shown == [token for at, token in enumerate(block) if at not in set(hidden) and not special[token]]
    assert kept == [token for row in own for token in row], "tokens were lost or moved"
    made = model.task.trial(model.backbone, [{"text": text} for text in texts])
    owners, targets = (np.concatenate(part) for part in (made.owners, made.targets))
    for number, row in enumerate(own):
        assert set(targets[owners == number].tolist()) <= set(row), "a row is asked for other tokens than its own"


def covered(model: Model, texts: Sequence[str], rows: Encoded) -> None:
    """Every token is in one block, in order."""
    flat = ids_of(rows.flat)
    kept = flat[~model.task.known.special[flat]].tolist()
    assert kept == [token for row in tokens(model, texts) for token in row], "tokens were lost or moved"


def trial(model: Model, texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray, list[int]]]:
    """Of each row the tokens and targets of the fixed draw, and its own tokens."""
    made = model.task.trial(model.backbone, [{"text": text} for text in texts])
    assert max(map(len, made.ids)) == model.backbone.max_length
    ids, owners, targets = (np.concatenate(part) for part in (made.ids, made.owners, made.targets))
    assert (targets != IGNORED).any()
    own = tokens(model, texts)
    return [(ids[owners == number], targets[owners == number], row) for number, row in enumerate(own)]


def segments_stay(model: Model, texts: Sequence[str], rows: Encoded) -> None:
    """Every two neighbouring lines are one pair; a long one is cut as the tokenizer does, and told of."""
    lines = [text.splitlines() for text in texts]
    expected = [pair for row in lines for pair in pairwise(row)]
    frame = model.task.framed(model.backbone)
    assert len(rows) == len(expected)
    for number, (first, second) in enumerate(expected):
        own = [ids_of(piece) for piece in pieces_of(rows.row(number))]
        made = frame.around(own[0], own[1], model.backbone.max_length)
        assert made.tolist() == model.backbone.encode([Input(first, pair=second)]).ids[0].tolist()
    told = [any("tokens were read" in one for one in found.notices) for found in model.predict(asked(model, texts))]
    assert [index for index, cut in enumerate(told) if cut] == [3, 7], "the answers do not say which rows were cut"
    trial_of = model.task.asked([{"text": text} for text in texts])
    assert trial_of.owners == [number for number, row in enumerate(lines) for _ in row[1:]]
    for (first, second), target, pair in zip(trial_of.texts, trial_of.targets, expected, strict=True):
        assert ((first, second) == pair) == (target == 0)
        assert target == 0 or first == pair[0] or (second, first) == pair


def asked(model: Model, texts: Sequence[str]) -> list[dict[str, str]]:
    """Rows as questions."""
    return model.task.questions([{"text": text} for text in texts])


OF: Mapping[str, Callable[[Model, Sequence[str], Encoded], None]] = {
    "causal_lm": next_stay, "denoising": written_stay, "masked_lm": hidden_stay, "next_sentence": segments_stay,
    "replaced_token": replaced_stay, "sentence_order": segments_stay,
}  # fmt: skip
"""What is tried, by task."""
