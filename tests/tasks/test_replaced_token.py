"""Replaced tokens: the generator, the targets, the figures and the answers."""

import json
import math

import numpy as np
import pytest
import torch

from attune.errors import RecipeError, UnsupportedError
from attune.lifecycle.train import train
from attune.model.assemble import assemble, check
from attune.model.bundle import load
from attune.tasks.common.drawn import Found
from attune.tasks.common.labelled import Labels
from attune.tasks.common.masking import Plan
from attune.tasks.replaced_token import ReplacedToken
from support.bundles import made_up, recipe
from support.tiny import backbone

LINES = [row["text"] for row in made_up(120)]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A data root with a tiny backbone and plain texts."""
    root = tmp_path_factory.mktemp("replaced")
    backbone(root / "tiny", texts=LINES)
    (root / "train.txt").write_text("\n".join(LINES[:100]) + "\n")
    (root / "test.txt").write_text("\n".join(LINES[100:]) + "\n")
    return root


def wanted(**tables):
    """A recipe for it."""
    base = {"data": {"train": "train.txt", "test": "test.txt"}, "task": {"name": "replaced_token"}}
    base["method"] = {"name": "full"}
    return recipe(**{name: {**base.get(name, {}), **tables.get(name, {})} for name in {*base, *tables}})


def model(home):
    """An assembled model that was not trained."""
    return assemble(wanted(), check(wanted(), home), Labels((), ()))


def test_tokens_are_replaced_by_others_as_frequent_as_in_the_training_rows(home):
    made = model(home)
    made.head.learn(np.asarray([2, 10, 10, 10, 11, 3]))
    ids = np.tile([2, 11, 20, 20, 3], 4000)
    result, targets = made.task.corrupted(ids, Plan(0.15), np.random.default_rng(0))
    inner = (ids != 2) & (ids != 3)
    assert (targets[~inner] == -100).all() and (result[~inner] == ids[~inner]).all()
    assert ((targets == 1) == ((result != ids) & inner)).all()
    new = result[(ids == 20) & (result != ids)]
    assert set(new) == {10, 11} and abs((new == 10).mean() - 0.75) < 0.03
    assert (targets[ids == 20] == 1).mean() == pytest.approx(0.15, abs=0.01)
    assert (targets[ids == 11] == 1).mean() == pytest.approx(0.15 * 0.75, abs=0.02), "the same token is no other"


def test_the_generator_is_kept_with_the_head(home):
    made, other = model(home), model(home)
    made.head.learn(np.asarray([10, 11, 11, 2]))
    assert made.head.frequencies[[2, 10, 11, 12]].tolist() == [0, 1, 2, 0]
    other.head.load_state_dict(made.head.state_dict())
    chances = np.linspace(0, 0.999, 50)
    assert (other.head.tokens(chances) == made.head.tokens(chances)).all()
    assert set(made.head.tokens(chances)) == {10, 11}


def test_the_loss_is_of_every_token_that_is_asked_for(home):
    made = model(home)
    features, targets = torch.randn(2, 3, 32), torch.tensor([[1, 0, -100], [-100, -100, 0]])
    total, count = made.head.score(features, targets)
    logits = made.head(features)[..., 0]
    expected = torch.stack([-logits[0, 0].sigmoid().log() - (-logits[0, 1]).sigmoid().log(),
                            -(-logits[1, 2]).sigmoid().log()])  # fmt: skip
    torch.testing.assert_close(total, expected)
    assert count.tolist() == [2, 1]
    torch.testing.assert_close(made.head.judged(features, targets)[..., 0].sum(1), total)


def test_figures_weigh_rows():
    scores = ReplacedToken(ReplacedToken.Options()).scores(
        "it", range(2), Found(np.asarray([0, 0, 0, 1]), np.asarray([1, 1, 0, 1]), np.asarray([1, 0, 0, 1]), np.ones(4))
    )
    values = scores.measure(np.asarray([[1.0, 1], [1, 0], [0, 3]]))
    np.testing.assert_allclose(values["replaced_f1"], [4 / 5, 2 / 3, 1])
    np.testing.assert_allclose(values["replaced_accuracy"], [3 / 4, 2 / 3, 1])
    assert scores.words(scores.gold[0]) == ["1", "2"]
    part = scores.take(np.asarray([1])).beside(scores)
    assert part.both.tolist() == [1, 1, 1] and part.either.tolist() == [2, 3, 2]
    chosen, loss = ReplacedToken(ReplacedToken.Options()).frequent(np.asarray([0, 1]), np.zeros(9))
    assert not chosen.any()
    np.testing.assert_allclose(loss, [-math.log(0.85), -math.log(0.15)])


def test_a_bundle_tells_which_tokens_do_not_fit(home):
    asked = wanted(training={"epochs": 8, "batch_size": 4, "learning_rate": 5e-3, "head_learning_rate": 5e-3})
    bundle = load(train(asked, home, home / "run").path, root=home)
    evaluation = json.loads((bundle.path / "evaluation.json").read_text())
    assert set(evaluation["metrics"]) == {"replaced_f1", "replaced_accuracy"}
    assert evaluation["baselines"][0]["metrics"]["replaced_f1"]["value"] == 0
    text = "please help me " * 40
    (found,) = bundle.predict([text])
    assert isinstance(found.answer, list) and len(found.answer) == len(found.spans)
    assert all(text[span.start : span.end] == span.text and span.confidence > 0.5 for span in found.spans)
    assert 0 <= found.margin <= 1


def test_what_cannot_be_is_refused(home):
    with pytest.raises(UnsupportedError, match="heads that do: replaced"):
        check(wanted(task={"head": "language"}), home)
    with pytest.raises(UnsupportedError, match="cannot answer before it is trained"):
        check(wanted(method={"name": "none"}), home)
    with pytest.raises(RecipeError, match="replaced_share"):
        wanted(task={"replaced_share": 1.0})
