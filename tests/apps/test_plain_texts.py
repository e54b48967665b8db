"""Plain texts through the command line: init, audit, train, predict."""

import json

import pytest

from support.bundles import command, made_up, write_recipe
from support.tiny import backbone

LINES = [row["text"] for row in made_up(60)]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A data root with a tiny backbone, plain texts and a recipe."""
    root = tmp_path_factory.mktemp("plain")
    backbone(root / "tiny", texts=LINES)
    (root / "notes.train.txt").write_text("\n".join(LINES[:50]) + "\n")
    (root / "notes.test.txt").write_text("\n".join(LINES[50:]) + "\n")
    tables = {"train": "notes.train.txt", "test": "notes.test.txt"}
    write_recipe(root / "recipe.toml", data=tables, task={"name": "masked_lm"})
    return root


@pytest.fixture(scope="module")
def bundle(home):
    """A bundle trained there by the command line."""
    outcome = command("train", home / "recipe.toml", "--out", home / "run")
    assert outcome.code == 0, outcome.err
    return home / "run" / "bundle"


def test_init_drafts_a_recipe_for_texts_alone(home):
    outcome = command("init", home / "notes.train.txt", "--out", home / "drafted.toml")
    assert outcome.code == 0, outcome.err
    text = (home / "drafted.toml").read_text()
    assert 'name = "masked_lm"' in text and 'test = "notes.test.txt"' in text and "label" not in text
    plan = command("train", home / "drafted.toml", "--plan", "--set", "backbone.name=tiny", "--set",
                   "backbone.max_length=32", "--json")  # fmt: skip
    assert plan.code == 0, plan.err


def test_the_audit_of_a_text_file_says_nothing_of_labels(home):
    outcome = command("audit", home / "recipe.toml", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["sampled"]["label_errors"] == "not run: rows have no labels"


def test_a_text_without_a_mask_is_refused_and_the_others_are_answered(home, bundle):
    asked = b"please [MASK] me\nplease help me\n"
    outcome = command("predict", bundle, "--data-root", home, "--json", stdin=asked)
    assert [line["line"] for line in outcome.lines] == [1]
    assert "standard input:2" in outcome.err and "holds no [MASK]" in outcome.err
    strict = command("predict", bundle, "--data-root", home, "--strict", stdin=asked)
    assert strict.code == 2 and "holds no [MASK]" in strict.err and not strict.out


def test_a_bundle_is_evaluated_and_compared_on_plain_texts(home, bundle):
    outcome = command("evaluate", bundle, bundle, "--data", home / "notes.test.txt", "--data-root", home, "--json")
    assert outcome.code == 0, outcome.err
    kept = json.loads((bundle / "evaluation.json").read_text())["metrics"]["masked_perplexity"]["value"]
    assert outcome.json["evaluations"][0]["metrics"]["masked_perplexity"]["value"] == pytest.approx(kept, rel=1e-4)
    assert outcome.json["comparisons"][0]["differences"]["masked_perplexity"]["value"] == 0


@pytest.mark.parametrize(
    ("setting", "said"),
    [("data.train=empty.txt", "an empty file"), ("task.mask_share=1", "mask_share"), ("method.name=none", "trained"),
     ("task.name=classification", "unknown column 'label'")],
)  # fmt: skip
def test_bad_input_is_one_clear_message(home, setting, said):
    (home / "empty.txt").write_text("")
    outcome = command("train", home / "recipe.toml", "--out", home / "bad", "--set", setting)
    assert outcome.code == 2 and said in outcome.err and "Traceback" not in outcome.err
    assert not (home / "bad").exists()
