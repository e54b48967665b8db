"""Rewards: the estimate by hand, the draws as they are weighed, their seeds, what is refused, and that it works."""

import inspect
import json

import numpy as np
import pytest
import torch

from attune.core.packing import pieces_of
from attune.core.recipe import parse
from attune.errors import DataError, RecipeError, UnsupportedError
from attune.lifecycle.train import plan, train
from attune.model.assemble import AXES, Cell, check, packages, why_not
from attune.model.bundle import load
from attune.objectives.reward import Reward
from attune.tasks.common.text_scores import TextScores
from attune.tasks.rewards.registry import FIGURES, REWARDS
from attune.training.draws import seed_of
from attune.training.encoded import learned_from
from attune.training.optimiser import moving
from support import cells
from support.bundles import write_rows
from support.tiny import WORDS


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Folder with one tiny backbone a kind."""
    return cells.backbones(tmp_path_factory.mktemp("backbones"))


def variant(kind, tuned="full", asked="greedy"):
    return next(
        found for found in cells.every()
        if (found.objective, found.kind, found.tuned, found.asked) == ("reward", kind, tuned, asked)
    )  # fmt: skip


def bench(kind, root, scratch, *, training=None, **options):
    made = variant(kind)
    recipe = made.recipe(**(training or {}))
    return cells.bench(made, root, scratch, recipe=recipe.having("objective", **options) if options else recipe)


def letters(text, row, gold):
    """A simple reward: which share of a text is the letter e."""
    del row, gold
    return text.count("e") / max(len(text), 1)


def gradients(on, indices, moment=(7, 0)):
    """What each parameter would be moved by, and the loss."""
    ids, targets = learned_from(on.model, on.rows, indices, moment)
    on.model.zero_grad(set_to_none=True)
    losses, weights = on.model.objective.loss(on.model, on.model.collate(ids), targets)
    losses.sum().backward()
    assert weights.tolist() == [1.0] * len(indices)
    return {name: value.grad.clone() for name, value in moving(on.model)}, losses.detach()


def test_the_estimate_is_that_of_leaving_one_out():
    surprise = torch.tensor([[3.0, 5.0, 10.0], [4.0, 2.0, 1.0]], requires_grad=True)
    rewards = torch.tensor([[1.0, 0.0, 0.5], [0.7, 0.7, 0.7]], dtype=torch.float64)
    # of the first row: 1 − (0 + 0.5) / 2, 0 − (1 + 0.5) / 2, 0.5 − (1 + 0) / 2
    found = Reward.losses(surprise, rewards)
    assert found.tolist() == pytest.approx([(0.75 * 3 - 0.75 * 5 + 0.0 * 10) / 3, 0.0], abs=1e-6)
    found.sum().backward()
    assert surprise.grad[0].tolist() == pytest.approx([0.25, -0.25, 0.0], abs=1e-6)
    assert surprise.grad[1].tolist() == pytest.approx([0.0] * 3, abs=1e-6)


def test_the_estimate_is_on_average_the_gradient_of_the_mean_reward():
    """All draws of two out of three texts, each weighed by its probability, give the gradient exactly."""
    logits = torch.tensor([0.3, -0.8, 0.1], dtype=torch.float64, requires_grad=True)
    worth = torch.tensor([1.0, 0.2, -0.5], dtype=torch.float64)
    (expected,) = torch.autograd.grad(-(logits.softmax(0) * worth).sum(), logits)
    total = torch.zeros(3, dtype=torch.float64)
    for first in range(3):
        for second in range(3):
            pair = torch.tensor([first, second])
            logs = logits.log_softmax(0)
            (found,) = torch.autograd.grad(Reward.losses(-logs[pair][None], worth[pair][None]).sum(), logits)
            total += found * logs[pair].sum().exp().detach()
    assert total.tolist() == pytest.approx(expected.tolist(), abs=1e-12)


@pytest.mark.parametrize("kind", ["gpt2", "bart", "t5", "marian", "encoder-decoder"])
def test_texts_are_weighed_by_what_they_were_drawn_from(kind, root, tmp_path):
    """The noise of each draw, added to what the training step says may stand there, gives the tokens drawn: without
    dropout, and without what a checkpoint forces or forbids."""
    on = bench(kind, root, tmp_path, training={"dropout": 0.3}, samples=3)
    model = on.model.train()
    own = model.backbone.network.generation_config
    own.forced_eos_token_id, own.bad_words_ids, own.min_length = model.backbone.stops[0], [[7], [8], [9]], 11
    ids, targets = learned_from(model, on.rows, [0, 5], (7, 3))
    assert model.backbone.network.generation_config is own and model.training
    assert targets.rewards.shape == (2, 3) and targets.rewards.dtype == torch.float64
    each = 1 if model.backbone.onward else 2
    model.eval()
    logits = model.read(model.collate(ids))
    lines = targets.tokens[each - 1 :: each]
    ends = set()
    for place, (line, said) in enumerate(zip(lines, logits, strict=True)):
        row, number = [0, 5][place // 4], place % 4 - 1
        if number < 0:
            continue
        noise = torch.Generator().manual_seed(seed_of((7, 3), row, number))
        written = line[line != -100]
        assert 1 <= len(written) <= 12
        for token, scores in zip(written, said[: len(line)][line[: len(said)] != -100], strict=True):
            gumbel = -torch.empty(scores.shape[0]).exponential_(generator=noise).log()
            assert int((scores + gumbel).argmax()) == int(token)
        ends.add(int(written[-1]) in model.backbone.stops)
        assert len(written) == 12 or int(written[-1]) in model.backbone.stops
    assert False in ends, "a text that is as long as it may be is given no end token"


def test_draws_depend_on_the_moment_and_the_row_and_not_on_the_batch(root, tmp_path):
    on = bench("gpt2", root, tmp_path)
    on.rows.grounds.reward = letters
    whole, targets = learned_from(on.model, on.rows, [2, 0, 5, 1], (7, 1))
    parts = [learned_from(on.model, on.rows, some, (7, 1)) for some in ([2, 0], [5, 1])]
    again = [row for ids, _ in parts for row in ids]
    assert all(np.array_equal(one, other) for one, other in zip(whole, again, strict=True))
    assert torch.equal(targets.rewards, torch.cat([found.rewards for _, found in parts]))
    assert targets.rewards.unique().numel() > 3
    later = learned_from(on.model, on.rows, [2, 0, 5, 1], (7, 2))[0]
    assert not any(np.array_equal(one, other) for one, other in zip(whole, later, strict=True))
    same = learned_from(on.model, on.rows, [3, 3], (7, 1))[0]
    assert np.array_equal(*same)
    on.table.texts[4], on.table.golds[4] = on.table.texts[3], on.table.golds[3]
    twice = cells.bench(variant("gpt2"), root, tmp_path / "twice")
    twice.rows.grounds.row = lambda index: ({"text": on.table.texts[3]}, on.table.golds[3])
    one, other = (pieces_of(row) for row in learned_from(twice.model, twice.rows, [3, 4], (7, 1))[0])
    assert len(one) == 3 and not any(np.array_equal(a, b) for a, b in zip(one[1:], other[1:], strict=True)), (
        "two rows that are read alike draw apart"
    )


def test_rewards_that_are_all_equal_leave_the_supervised_loss_alone(root, tmp_path):
    on = bench("gpt2", root, tmp_path, supervised_weight=0.5, samples=3)
    on.rows.grounds.reward = lambda text, row, gold: 0.4
    found, losses = gradients(on, [0, 1, 2])
    total, count = on.model.loss(on.model.collate(on.rows.rows([0, 1, 2])), on.rows.tokens_of([0, 1, 2]))
    assert losses.tolist() == pytest.approx((0.5 * total / count).tolist(), rel=1e-5)
    on.model.zero_grad(set_to_none=True)
    (0.5 * total / count).sum().backward()
    for name, value in moving(on.model):
        torch.testing.assert_close(found[name], value.grad, atol=1e-6, rtol=1e-4)
    alone = bench("gpt2", root, tmp_path / "alone", supervised_weight=0.0)
    alone.rows.grounds.reward = lambda text, row, gold: 0.4
    found, losses = gradients(alone, [0, 1, 2])
    assert not any(bool(value.any()) for value in found.values()) and not losses.any()
    alone.rows.grounds.reward = letters
    assert any(bool(value.any()) for value in gradients(alone, [0, 1, 2])[0].values())


def test_grounds_are_the_rows_as_they_were_read(root, tmp_path):
    on = bench("bart", root, tmp_path)
    for index, (row, gold) in enumerate(zip(cells.texts(on.table), on.table.golds, strict=True)):
        assert on.rows.grounds.row(index) == (row, gold)
    assert (tmp_path / "grounds").stat().st_size == len(on.rows.grounds.flat)
    assert isinstance(on.rows.grounds.flat, np.memmap)
    ids, _ = learned_from(on.model, on.rows, [4], (0, 0))
    pieces = pieces_of(ids[0])
    (prompt,) = on.model.encode([cells.texts(on.table)[4]]).ids
    mask = (1 << 24) - 1
    assert all((piece & mask).tolist() == (prompt & mask).tolist() for piece in pieces[::2])
    assert len(pieces) == 2 * (1 + 2)


def test_what_cannot_be_rewarded_is_told_before_data_is_read(root):
    assert "a task that writes: generation" in why_not(Cell("text", "classification", "linear", "full", "reward"))
    assert "method none leaves all as it is" in why_not(Cell("causal", "generation", "own", "none", "reward"))
    usual = variant("gpt2").recipe()
    assert check(usual, root)
    for changes, told in (
        ({"label_smoothing": 0.1}, "would change the probabilities"),
        ({"preset": "data_to_text", "hybrid": True}, "lets others write"),
    ):
        with pytest.raises(RecipeError, match=told):
            check(usual.having("task", **changes), root)
    for name, key in (("slots", "slots"), ("passes", "problem")):
        wanted = usual.having("objective", reward=name)
        with pytest.raises(RecipeError, match=f"goes by a row's {key}") as error:
            check(wanted, root)
        assert "bleu, chrf, exact, rouge_l" in str(error.value)
    assert check(usual.having("objective", reward="slots").having("task", preset="data_to_text"), root)
    assert {FIGURES[name] for name in REWARDS.names()} <= set(TextScores.names)
    with pytest.raises(RecipeError, match="no reward named 'rouge'") as error:
        check(usual.having("objective", reward="rouge"), root)
    assert "rouge_l" in str(error.value)
    with pytest.raises(RecipeError, match="reward"):
        parse({"data": {"train": "x"}, "objective": {"name": "reward"}}, AXES)
    with pytest.raises(RecipeError, match="samples"):
        parse({"data": {"train": "x"}, "objective": {"name": "reward", "reward": "exact", "samples": 1}}, AXES)
    with pytest.raises(UnsupportedError, match="writes none"):
        check(parse({"data": {"train": "x"}, "objective": {"name": "reward", "reward": "exact"}}, AXES), root)


def test_rows_without_what_the_reward_goes_by_are_told_of(root, tmp_path):
    made = variant("gpt2")
    recipe = made.recipe().having("task", preset="data_to_text").having("objective", reward="slots")
    with pytest.raises(DataError, match="no training row has slots"):
        cells.bench(made, root, tmp_path, recipe=recipe)


def rows(count, seed=0):
    """Words, and the same ones turned round."""
    draw = np.random.default_rng(seed)
    found = []
    for number in range(count):
        words = [str(word) for word in draw.choice(WORDS, 3)]
        found.append({"id": str(number), "source": " ".join(words), "target": " ".join(words[::-1])})
    return found


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that registers the reward `letters`, as an installer leaves it."""
    site = tmp_path / "site"
    made = site / "attune_es-0.1.dist-info"
    made.mkdir(parents=True)
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: attune-es\nVersion: 0.1\n")
    (made / "entry_points.txt").write_text("[attune.rewards]\nletters = attune_es:letters\n")
    code = inspect.getsource(letters)
    (site / "attune_es.py").write_text(code)
    monkeypatch.syspath_prepend(site)


def recipe(family, **tables):
    document = {
        "data": {"train": "rows.jsonl", "text": "source", "label": "target", "id": "id", "test_share": 0.1},
        "backbone": {
            "family": family, "name": "scratch", "scratch": {"layers": 1, "width": 32, "heads": 2, "positions": 64},
            "tokenizer": {"vocabulary": 340},
        },
        "task": {"name": "generation", "max_target": 16},
        "training": {
            "epochs": 4, "batch_size": 8, "threads": 1, "precision": "float32", "attention": "sdpa",
            "learning_rate": 2e-3,
        },
        "evaluation": {"resamples": 100},
        **tables,
    }  # fmt: skip
    return parse(document, AXES)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["causal", "seq2seq"])
def test_a_bundle_is_tuned_on_by_a_reward_of_another_package(tmp_path, family, package):
    write_rows(tmp_path / "rows.jsonl", rows(160))
    first = train(recipe(family), tmp_path, tmp_path / "first")
    wanted = recipe(
        family,
        backbone={"family": family, "name": "first/bundle"},
        objective={"name": "reward", "reward": "letters", "supervised_weight": 0.02, "samples": 4},
    )
    with pytest.raises(RecipeError, match="is no figure of texts that epochs could be chosen by"):
        check(wanted, tmp_path)
    wanted = wanted.having("training", metric="perplexity")
    assert packages(wanted) == {"attune-es": "0.1"}
    shown = plan(wanted, tmp_path)
    assert shown["first row, ⟦what is learned⟧"].count("⟦") == 1 and shown["steps"] > 0
    bundle = train(wanted, tmp_path, tmp_path / "run")
    assert bundle.manifest.lineage["parent"] == first.digest
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    earned = [event["reward"] for event in events if event["event"] == "step"]
    begin, end = np.mean(earned[:8]), np.mean(earned[-8:])
    assert end > begin + 0.1, f"the mean reward of draws went from {begin:.3f} to {end:.3f}"
    assert {"perplexity", "bleu"} <= set(bundle.manifest.metrics), "figures are those of texts"
    again = load(bundle.path, root=tmp_path)
    asked = [row["source"] for row in rows(4, seed=3)]
    assert [told.answer for told in again.predict(asked)] == [told.answer for told in bundle.predict(asked)]
    near = wanted.having("objective", reward="rouge_l").having("training", metric="", epochs=1)
    resolved = train(near, tmp_path, tmp_path / "near").recipe
    assert resolved.training.metric == "rouge_l", "epochs are chosen by what is rewarded"
