"""In-context learning: prompts, label scores against plain transformers, and whole runs."""

import json
import random

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from attune.core.packing import ids_of, marks_of, pieces_of
from attune.core.recipe import parse, parse_toml
from attune.errors import RecipeError, UnsupportedError
from attune.lifecycle.train import train
from attune.model.assemble import AXES, assemble, check
from attune.model.bundle import load
from attune.tasks.common.labelled import Labels
from support import tiny
from support.bundles import FILLER, made_up, recipe, write_rows

NAMES = ("account", "delivery", "refund")
WORDS = {"account": "order help", "delivery": "order late", "refund": "refund"}
PATTERN = "{text} it is {label} now "
SHOWN = [{"text": "where is my parcel", "label": "delivery"}, {"text": "wrong size", "label": "refund"}]
TOPIC = (("account", "password"), ("delivery", "parcel"), ("refund", "broken"))
TEXTS = ["my parcel is late", "refund please", "i want to change my password"]


def in_context(*, method="none", name="gpt2", data=None, backbone=None, **task):
    return recipe(
        backbone={"family": "causal", "name": name, **(backbone or {})},
        task={"head": "in_context", "pattern": PATTERN, "verbalisers": WORDS, **task},
        method={"name": method},
        data=data or {},
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A data root with rows and a tiny causal network."""
    folder = tmp_path_factory.mktemp("in-context")
    tiny.backbone(folder / "gpt2", "gpt2", [row["text"] for row in made_up()])
    write_rows(folder / "rows.jsonl", made_up())
    return folder


@pytest.fixture(scope="module")
def model(root):
    """A model with two rows to show, before any run."""
    wanted = in_context(demonstrations=SHOWN)
    return assemble(wanted, check(wanted, root), Labels(NAMES, (1, 1, 1)))


def test_a_label_is_as_likely_as_its_tokens_behind_the_prompt(model, root):
    """Against plain transformers, a whole sequence a label; two labels begin alike and share a piece."""
    plain = AutoModelForCausalLM.from_pretrained(root / "gpt2").eval()
    lead = "where is my parcel it is order late now wrong size it is refund now "
    tokenizer = model.backbone.tokenizer
    expected = np.zeros((len(TEXTS), 3))
    for row, text in enumerate(TEXTS):
        for label, name in enumerate(NAMES):
            prompt = tokenizer(f"{lead}{text} it is")["input_ids"]
            whole = tokenizer(f"{lead}{text} it is {WORDS[name]}")["input_ids"]
            with torch.inference_mode():
                told = plain(torch.tensor([whole])).logits[0].log_softmax(-1)
            expected[row, label] = np.mean([float(told[at - 1, whole[at]]) for at in range(len(prompt), len(whole))])
    encoding = model.encode([{"text": text} for text in TEXTS])
    assert [len(pieces_of(ids)) for ids in encoding.ids] == [2, 2, 2]
    np.testing.assert_allclose(model.logits(encoding.ids), expected, atol=1e-5)
    assert expected.std(1).min() > 1e-4


def test_a_long_text_loses_its_end_and_what_is_shown_stays(model):
    limit = model.backbone.max_length
    found = model.encode([{"text": " ".join(["late"] * 90)}, {"text": "late"}])
    assert found.truncated.tolist() == [True, False] and found.longest == limit
    first, second = pieces_of(found.ids[0])
    assert (len(first), len(second)) in ((limit, limit - 1), (limit - 1, limit))
    for piece in pieces_of(found.ids[1]):
        at = int(np.flatnonzero(marks_of(piece))[0])
        said = model.backbone.tokenizer.decode(ids_of(piece)[: at + 1])
        assert said == "where is my parcel it is order late now wrong size it is refund now late it is"
    assert "the end of the text was left out" in model.predict([{"text": "late " * 90}])[0].notices[0]


def test_a_text_cannot_pass_for_a_demonstration(model):
    end = model.backbone.tokenizer.eos_token
    plain, spelled = model.encode([{"text": "late order"}, {"text": "late\n\n order"}]).ids
    assert plain.tolist() == spelled.tolist()
    (broken,) = model.encode([{"text": f"late {end} order"}]).ids
    ends = model.backbone.tokenizer.eos_token_id
    assert all(ends not in ids_of(piece) for piece in pieces_of(broken))


def test_rows_are_drawn_evenly_shown_by_the_service_and_need_no_file(root, tmp_path):
    short = [{"text": f"{word} {other}", "label": name} for name, word in TOPIC for other in FILLER]
    write_rows(root / "short.jsonl", short)
    bundle = train(in_context(data={"train": "short.jsonl"}, shots=2, calibrate=True), root, tmp_path / "run")
    resolved = parse_toml((bundle.path / "recipe.toml").read_text(encoding="utf-8"), AXES, where="test")
    shown = [one.label for one in resolved.task.demonstrations]
    assert sorted(shown[:3]) == sorted(shown[3:]) == list(NAMES), "one of each label, then again"
    rows = {row["text"]: row["label"] for row in short}
    assert all(rows[one.text] == one.label for one in resolved.task.demonstrations)
    notices = json.loads((bundle.path / "run.json").read_text(encoding="utf-8"))["notices"]
    assert "6 labelled rows are shown before each row, and are kept with the bundle" in notices
    (root / "short.jsonl").unlink()
    again = load(bundle.path, root=root)
    assert [found.as_dict() for found in again.predict(TEXTS)] == [found.as_dict() for found in bundle.predict(TEXTS)]
    assert float(bundle.model.head.level.detach().abs().max()) > 0
    assert bundle.model.task.asking.shown().startswith(resolved.task.demonstrations[0].text)
    write_rows(root / "short.jsonl", short)
    assert train(resolved, root, tmp_path / "again").digest == bundle.digest


def test_a_prompt_longer_than_the_positions_says_how_many_would_fit(root, tmp_path):
    with pytest.raises(RecipeError, match=r"a prompt of \d+ tokens: 15 demonstrations before the longest") as caught:
        train(in_context(shots=5), root, tmp_path / "out")
    fit = int(caught.value.expected.split(": ")[1].split()[0])
    assert 0 < fit < 15 and caught.value.where == "task.demonstrations"
    assert f"set task.shots to {fit // 3} or less" in caught.value.remedy or "show none" in caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_is_refused(root, tmp_path):
    with pytest.raises(UnsupportedError, match="cannot be trained; use method none, or head linear"):
        train(in_context(method="lora", data={"train": "nowhere.jsonl"}), root, tmp_path / "out")
    with pytest.raises(UnsupportedError, match="head in_context needs next_token, which the text family"):
        train(recipe(task={"head": "in_context"}, method={"name": "none"}), root, tmp_path / "out")
    with pytest.raises(RecipeError, match="demonstrations have labels that no training row has: refnud"):
        train(in_context(demonstrations=[{"text": "a", "label": "refnud"}]), root, tmp_path / "out")
    with pytest.raises(RecipeError, match="behind a prompt stands one"):
        in_context(verbalisers={"refund": ["refund", "size"]})
    with pytest.raises(RecipeError, match=r"before \{text\}"):
        in_context(pattern="{label}: {text}")


LABEL_OF = {"lovely": "good", "superb": "good", "dreadful": "bad", "broken": "bad", "ordinary": "fair", "usual": "fair"}


def planted(count, seed):
    """Rows whose label is told by one word among others: a planted pattern, and no measure of any real text."""
    draw = random.Random(seed)
    rest = "the room was a film with food and music we saw it here again today".split()
    rows = []
    while len(rows) < count:
        words = draw.choices(rest, k=draw.randint(3, 6))
        told = draw.choice(sorted(LABEL_OF))
        words.insert(draw.randint(0, len(words)), told)
        rows.append({"text": " ".join(words), "label": LABEL_OF[told]})
    return rows


@pytest.mark.slow
def test_a_network_pre_trained_on_a_planted_pattern_answers_above_chance(tmp_path):
    """Lines as they are shown later, of rows that no later row is among; the pattern is planted."""
    pattern = "review: {text} label: {label}\n"
    lines = [pattern.format(**row).strip() for row in planted(2000, 1)]
    (tmp_path / "train.txt").write_text("\n".join(dict.fromkeys(lines)) + "\n", encoding="utf-8")
    kept = {line.split(" label: ")[0].removeprefix("review: ") for line in lines}
    rows = list({row["text"]: row for row in planted(400, 2) if row["text"] not in kept}.values())
    write_rows(tmp_path / "rows.jsonl", rows)
    document = {
        "data": {"train": "train.txt", "validation_share": 0.0},
        "backbone": {
            "family": "causal", "name": "scratch", "max_length": 96,
            "scratch": {"layers": 2, "width": 64, "heads": 2, "positions": 128},
            "tokenizer": {"vocabulary": 600},
        },
        "task": {"name": "causal_lm"}, "method": {"name": "full"},
        "training": {"epochs": 30, "threads": 1, "precision": "float32", "learning_rate": 3e-3, "batch_size": 4},
        "evaluation": {"baselines": [], "resamples": 100},
    }  # fmt: skip
    train(parse(document, AXES), tmp_path, tmp_path / "language")
    wanted = recipe(
        backbone={"family": "causal", "name": "language/bundle"}, method={"name": "none"},
        task={"head": "in_context", "pattern": pattern, "shots": 1}, data={"test_share": 0.5},
    )  # fmt: skip
    bundle = train(wanted, tmp_path, tmp_path / "shown")
    figures = json.loads((bundle.path / "evaluation.json").read_text(encoding="utf-8"))
    accuracy = figures["metrics"]["accuracy"]
    assert accuracy["low"] > 0.6, f"three labels, a third by chance: {accuracy}"
