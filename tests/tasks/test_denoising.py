"""Denoising: which spans are hidden, what is read and written, answers and refusals."""

import numpy as np
import pytest

from attune.core.recipe import parse
from attune.errors import DataError, UnsupportedError
from attune.lifecycle.train import train
from attune.model.assemble import AXES, check
from attune.tasks.denoising import Denoising, hidden_spans, stand_ins
from support import tiny
from support.bundles import made_up

LINES = [row["text"] for row in made_up(80)]


def wanted(name="bart", family="seq2seq", **training):
    document = {
        "data": {"train": "train.txt", "test": "test.txt", "acknowledge": ["leakage"]},
        "task": {"name": "denoising"}, "backbone": {"family": family, "name": name}, "method": {"name": "full"},
        "training": {"epochs": 2, "threads": 1, "precision": "float32", "learning_rate": 1e-3, **training},
        "evaluation": {"baselines": ["majority"], "resamples": 100},
    }  # fmt: skip
    return parse(document, AXES)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A data root with plain texts and a tiny BART."""
    root = tmp_path_factory.mktemp("denoising")
    (root / "train.txt").write_text("\n".join(LINES[:60]) + "\n")
    (root / "test.txt").write_text("\n".join(LINES[60:]) + "\n")
    tiny.backbone(root / "bart", "bart")
    return root


def test_a_share_is_hidden_in_spans_and_nothing_that_must_not_be():
    able = np.ones(4000, dtype=bool)
    able[::50] = False
    gone = hidden_spans(able, 0.15, 3.0, np.random.default_rng(0), 4000)
    assert gone[able].mean() == pytest.approx(0.15, abs=0.001) and not gone[~able].any()
    starts = (gone & ~np.append(False, gone[:-1])).sum()
    assert 2.0 < gone.sum() / starts < 4.5
    assert hidden_spans(np.asarray([False, True]), 0.01, 3.0, np.random.default_rng(0), 9).tolist() == [False, True]
    assert not hidden_spans(np.zeros(3, dtype=bool), 0.5, 3.0, np.random.default_rng(0), 9).any()


def test_numbered_tokens_stand_for_spans_and_are_written_with_them():
    words = tiny.tokenizer(LINES, "seq2seq")
    assert stand_ins(words) == [words.mask_token_id]
    words.add_special_tokens({"additional_special_tokens": [f"<extra_id_{at}>" for at in range(12)]})
    marks = stand_ins(words)
    assert words.convert_ids_to_tokens(marks) == [f"<extra_id_{at}>" for at in range(12)]

    class Known:
        special = np.isin(np.arange(len(words)), words.all_special_ids)

    task = Denoising(Denoising.Options(), Known(), marks, words)
    block = np.asarray([*words("where is my order please help me now", add_special_tokens=False)["input_ids"], 3])
    torn = task.torn(block, 0.4, 2.0, np.random.default_rng(1))
    assert torn.source[-1] == torn.target[-1] == 3
    used = [at for at in torn.source.tolist() if at in marks]
    assert used == marks[: len(used)] and torn.target.tolist()[-2] == marks[len(used)]
    spans = {}
    for token in torn.target[:-2].tolist():
        if token in marks:
            spans[token] = []
        else:
            spans[list(spans)[-1]].append(token)
    back = [part for token in torn.source.tolist() for part in spans.get(token, [token])]
    assert back == block.tolist()


def test_a_text_with_a_mask_is_filled_in_and_one_without_is_refused(place, tmp_path):
    bundle = train(wanted(), place, tmp_path / "run")
    assert set(bundle.manifest.metrics) == {"masked_perplexity", "masked_accuracy"}
    assert isinstance(bundle.predict(["where is my [MASK]"])[0].answer, str)
    with pytest.raises(DataError, match=r"holds no \[MASK\]"):
        bundle.predict(["where is my order"])


def test_what_cannot_be_is_refused_before_data_is_read(place):
    tiny.backbone(place / "bert", "bert")
    tiny.backbone(place / "gpt2", "gpt2")
    for family in ("text", "causal"):
        with pytest.raises(UnsupportedError, match="families that provide it: seq2seq"):
            check(wanted({"text": "bert", "causal": "gpt2"}[family], family), place)
    words = tiny.tokenizer(LINES, "causal")
    assert "neither numbered special tokens nor a mask token" in Denoising.lacks(words)
