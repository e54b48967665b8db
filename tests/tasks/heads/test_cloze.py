"""Cloze questions: what is read, what a label's words count for, words that are found, and whole runs."""

import json

import numpy as np
import pytest
import torch

from attune.core.packing import ids_of, marks_of
from attune.core.recipe import parse_toml
from attune.errors import DataError, RecipeError, UnsupportedError
from attune.lifecycle.train import train
from attune.model.assemble import AXES, assemble, check
from attune.model.bundle import load
from attune.tasks.common.labelled import Labels
from attune.tasks.common.patterns import flaw, laid
from attune.tasks.common.wording import best_words
from support import tiny
from support.bundles import made_up, recipe, write_rows

WORDS = {"account": ["password", "login"], "delivery": "parcel", "refund": ["refund"]}
NAMES = ("account", "delivery", "refund")
PATTERN = "{text} it is {mask} now"
TEXTS = ["my parcel is late", "refund please", "i want to change my password"]


def cloze(*, method="none", training=None, backbone="fills", data=None, **task):
    return recipe(
        backbone={"name": backbone},
        task={"head": "cloze", "pattern": PATTERN, **task},
        method={"name": method},
        training=training or {},
        data=data or {},
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A data root with rows and two tiny encoders, one with its vocabulary head."""
    folder = tmp_path_factory.mktemp("cloze")
    texts = [row["text"] for row in made_up()]
    tiny.backbone(folder / "fills", "bert", texts, fills=True)
    tiny.backbone(folder / "bare", "bert", texts)
    write_rows(folder / "rows.jsonl", made_up())
    return folder


@pytest.fixture(scope="module")
def model(root):
    """A model with the words, before any run."""
    wanted = cloze(verbalisers=WORDS).having("backbone", max_length=16)
    return assemble(wanted, check(wanted, root), Labels(NAMES, (1, 1, 1)))


@pytest.fixture(scope="module")
def zero(root, tmp_path_factory):
    """A zero-shot bundle, calibrated."""
    wanted = cloze(verbalisers=WORDS, calibrate=True)
    return train(wanted, root, tmp_path_factory.mktemp("zero") / "run")


def test_a_label_is_as_likely_as_the_mean_log_probability_of_its_words(model):
    encoding = model.encode([{"text": text} for text in TEXTS])
    features = torch.from_numpy(model.features(encoding.ids))
    told = model.head.language(features).log_softmax(-1)
    number = model.backbone.tokenizer.convert_tokens_to_ids
    words = [[words] if isinstance(words, str) else words for words in WORDS.values()]
    means = torch.stack([told[:, number(own)].mean(1) for own in words], 1)
    torch.testing.assert_close(torch.from_numpy(model.logits(encoding.ids)).softmax(-1), means.softmax(-1))
    assert means.std() > 0


def test_the_patterns_own_mask_is_asked_and_a_long_text_loses_only_its_end(model):
    mask = model.backbone.tokenizer.mask_token_id
    found = model.encode([{"text": "where is [MASK]"}, {"text": " ".join(["late"] * 40)}, {"text": ""}])
    for ids, holds in zip(found.ids, (2, 1, 1), strict=True):
        assert (ids_of(ids) == mask).sum() == holds
        assert model.backbone.tokenizer.decode(ids_of(ids)).endswith("it is [MASK] now [SEP]")
        at = np.flatnonzero(marks_of(ids))
        assert len(at) == 1 and ids_of(ids)[at[0]] == mask and at[0] == len(ids) - 3
    assert found.truncated.tolist() == [False, True, False]
    assert len(found.ids[1]) == found.longest == 16
    assert (
        "only 16 tokens were read; the end of the text was left out"
        in model.predict([{"text": "late " * 40}])[0].notices
    )
    with pytest.raises(DataError, match=r"6 tokens stand around a text of 2") as caught:
        wide = type(model.task)(model.task.options).on(model.backbone)
        wide.asking.backbone = type("Short", (), {"max_length": 6, "encode": model.backbone.encode})()
        wide.read(model.backbone, [{"text": "late order"}])
    assert caught.value.where == "task.pattern"


def test_a_word_that_is_no_single_token_is_refused_with_its_pieces(root, tmp_path):
    wanted = cloze(verbalisers={**WORDS, "delivery": "lates"})
    with pytest.raises(UnsupportedError, match=r"1 word\(s\) are not one token .* 'lates' is 'late ##s'"):
        train(wanted, root, tmp_path / "out")
    labels, checkpoint = Labels(NAMES, (1, 1, 1)), check(cloze(), root)
    with pytest.raises(RecipeError, match="'delivery' is 'd ##e ##l"):  # without words the names are asked for
        assemble(cloze(), checkpoint, labels)
    with pytest.raises(RecipeError, match="labels 'account' and 'delivery' are the same tokens"):
        assemble(cloze(verbalisers={**WORDS, "account": "parcel"}), checkpoint, labels)
    with pytest.raises(DataError, match=r"have no verbaliser: refund") as caught:
        train(cloze(verbalisers={"account": "password", "delivery": "parcel"}), root, tmp_path / "out")
    assert caught.value.where == "task.verbalisers"
    assert not (tmp_path / "out").exists()


def test_a_backbone_without_a_vocabulary_head_is_refused_before_data_is_read(root, tmp_path):
    with pytest.raises(UnsupportedError, match="holds no masked vocabulary head") as caught:
        train(cloze(backbone="bare", data={"train": "nowhere.jsonl"}), root, tmp_path / "out")
    assert "bundle" in caught.value.remedy and "masked_lm" in caught.value.remedy
    assert check(cloze(data={"train": "nowhere.jsonl"}), root).name == "fills"


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ({"pattern": "{text} it is"}, "has not the places {text} and {mask}"),
        ({"pattern": "{mask} {mask} {text}"}, "has not the places"),
        ({"search": 2}, "set task.shots"),
        ({"shots": 2}, "without it nothing reads task.shots"),
        ({"multi_label": True}, "which one label's words fit"),
        ({"demonstrations": [{"text": "a", "label": "b"}]}, "set task.head to 'in_context'"),
        ({"head": "linear"}, "set task.head to 'cloze' or 'in_context'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(task, told):
    with pytest.raises(RecipeError, match=told.replace("{", r"\{")):
        cloze(**task)


def test_patterns_are_filled_and_braces_of_a_text_stay():
    assert laid("<{text}> {mask}", {"text": "{mask} {x}", "mask": "M"}) == (
        "<{mask} {x}> M",
        {"text": (1, 11), "mask": (13, 14)},
    )
    assert not flaw("{mask}: {text}", "mask") and not flaw("{text} {label}", "label")
    assert "goes on with" in flaw("{label}: {text}", "label")


def test_words_are_those_that_tell_labels_apart_and_nobody_elses():
    likely = np.log([[0.5, 0.3, 0.1, 0.05, 0.05], [0.52, 0.02, 0.1, 0.3, 0.06], [0.4, 0.1, 0.05, 0.1, 0.35]])
    names = ["the", "order", "##x", "refund", "login"]
    found = best_words(likely, ("a", "b", "c"), lambda token: names[token].replace("##x", ""), 2)
    assert found == {"a": ["order"], "b": ["refund", "the"], "c": ["login"]}
    with pytest.raises(DataError, match="no word is likeliest for the rows of 'c'"):
        best_words(likely, ("a", "b", "c"), lambda token: names[token].replace("login", ""), 2)


def test_a_zero_shot_bundle_says_its_words_and_answers_again(zero, root, tmp_path):
    resolved = parse_toml((zero.path / "recipe.toml").read_text(encoding="utf-8"), AXES, where="test")
    assert resolved.task.verbalisers == {
        "account": ("password", "login"),
        "delivery": ("parcel",),
        "refund": ("refund",),
    }
    assert resolved.task.pattern == PATTERN
    again = load(zero.path, root=root)
    assert [found.as_dict() for found in again.predict(TEXTS)] == [found.as_dict() for found in zero.predict(TEXTS)]
    levels = zero.model.head.level.detach()
    assert float(levels.abs().max()) > 0 and abs(float(levels.sum())) < 1e-5
    rows = [{"text": row["text"]} for row in made_up()]
    raw = zero.model.logits(zero.model.encode(rows).ids) - levels.numpy()
    np.testing.assert_allclose(raw.mean(0) - raw.mean(), -levels.numpy(), atol=0.02)  # of all rows, not of train alone


def test_words_are_not_looked_for_where_a_label_has_no_row(root, tmp_path):
    order = [*NAMES, "nothing like it"]
    with pytest.raises(DataError, match="no training row of 'nothing like it'"):
        train(cloze(search=2, shots=4, order=order), root, tmp_path / "run")


@pytest.mark.slow
def test_found_words_are_kept_with_the_bundle_and_named(root, tmp_path):
    wanted = cloze(search=2, shots=4)
    bundle = train(wanted, root, tmp_path / "run")
    resolved = parse_toml((bundle.path / "recipe.toml").read_text(encoding="utf-8"), AXES, where="test")
    words = resolved.task.verbalisers
    assert sorted(words) == list(NAMES)
    flat = [word for own in words.values() for word in own]
    assert len(set(flat)) == len(flat) >= 3
    run = json.loads((bundle.path / "run.json").read_text(encoding="utf-8"))
    told = "; ".join(f"{name}: {', '.join(own)}" for name, own in words.items())
    assert f"words of the labels (task.search): {told}" in run["notices"]
    assert [found.answer for found in load(bundle.path, root=root).predict(TEXTS)] == [
        found.answer for found in bundle.predict(TEXTS)
    ]
    assert bundle.model.head.chosen.tolist() == bundle.model.backbone.tokenizer.convert_tokens_to_ids(flat)
    assert train(resolved, root, tmp_path / "again").digest == bundle.digest


@pytest.mark.slow
def test_the_bundle_of_a_masked_language_model_is_a_backbone_to_ask_and_to_tune(root, tmp_path):
    (root / "plain.txt").write_text("\n".join(row["text"] for row in made_up(150)) + "\n", encoding="utf-8")
    plain = recipe(
        data={"train": "plain.txt"}, backbone={"name": "bare"}, task={"name": "masked_lm"}, method={"name": "full"},
        training={"epochs": 2, "learning_rate": 1e-3},
    )  # fmt: skip
    plain = plain.having("training", probe_l2=None)
    made = train(plain, root, root / "masked")
    named = str((made.path).relative_to(root))
    zero = train(cloze(backbone=named, verbalisers=WORDS), root, tmp_path / "zero")
    assert zero.manifest.lineage["parent"] == made.digest
    torch.testing.assert_close(zero.model.head.language.bias, made.model.head.bias)
    tuned = train(
        cloze(
            backbone=named,
            verbalisers=WORDS,
            method="full",
            data={"validation_share": 0.0},
            training={"epochs": 20, "learning_rate": 3e-3},
        ),
        root,
        tmp_path / "tuned",
    )
    rows = made_up(30, seed=4)
    right = [
        found.answer == row["label"] for found, row in zip(tuned.predict([r["text"] for r in rows]), rows, strict=True)
    ]
    assert np.mean(right) > 0.7
