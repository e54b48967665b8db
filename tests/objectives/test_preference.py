"""Preferences: the loss by hand, what it is differentiated by, what it is compared with, and what is refused."""

import math
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from attune.core.recipe import parse
from attune.errors import RecipeError, UnsupportedError
from attune.model.assemble import AXES, Cell, check, untuned, why_not
from attune.objectives.preference import Preference, PreferenceOptions
from attune.training.encoded import Encoded
from attune.training.optimiser import moving
from attune.training.reference import fingerprint, refer, surprises
from support import cells


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Folder with one tiny backbone a kind."""
    return cells.backbones(tmp_path_factory.mktemp("backbones"))


def variant(kind, tuned="full", asked="greedy"):
    return next(
        found for found in cells.every()
        if (found.objective, found.kind, found.tuned, found.asked) == ("preference", kind, tuned, asked)
    )  # fmt: skip


def bench(kind, root, scratch, tuned="full", **options):
    made = variant(kind, tuned)
    recipe = made.recipe()
    return cells.bench(made, root, scratch, recipe=recipe.having("objective", **options) if options else recipe)


def test_the_loss_is_that_of_the_paper():
    surprise = torch.tensor([[7.0, 12.0], [9.0, 8.0]])
    reference = torch.tensor([[8.0, 11.0], [9.0, 9.5]])
    tokens = torch.tensor([[4.0, 5.0], [3.0, 2.0]])
    # the preferred text gained 1 and the other lost 1; of the second row nothing, and the other gained 1.5
    margins = [0.2 * (1.0 - -1.0), 0.2 * (0.0 - 1.5)]

    def by_hand(margin, wrong):
        return -(1 - wrong) * math.log(1 / (1 + math.exp(-margin))) - wrong * math.log(1 / (1 + math.exp(margin)))

    plain = Preference(PreferenceOptions(beta=0.2))
    assert plain.margins(surprise, reference).tolist() == pytest.approx(margins)
    assert plain.losses(surprise, tokens, reference).tolist() == pytest.approx([by_hand(m, 0.0) for m in margins])
    both = Preference(PreferenceOptions(beta=0.2, label_smoothing=0.1, supervised_weight=0.5))
    expected = [by_hand(m, 0.1) + 0.5 * per for m, per in zip(margins, (7 / 4, 9 / 3), strict=True)]
    assert both.losses(surprise, tokens, reference).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["gpt2", "bart"])
def test_texts_are_compared_as_they_would_be_alone(kind, root, tmp_path):
    """Beside each other and padded, both texts have the log-probability that the network gives them by themselves."""
    on = bench(kind, root, tmp_path)
    model = on.model
    told = surprises(model, on.rows)
    assert told.shape == (8, 2, 2)
    prompts = model.encode(cells.texts(on.table)).ids
    for index, (row, prompt) in enumerate(zip(cells.texts(on.table), prompts, strict=True)):
        for place, text in enumerate(on.table.golds[index].values()):
            one = model.task.example(row, prompt, text)
            with torch.no_grad():
                lines = torch.tensor(one.targets)[None].long()
                if not model.backbone.onward:
                    lines = torch.stack([torch.full_like(lines[0], -100), lines[0]])
                    written = one.targets[one.targets != -100]
                    lines[1, : len(written)] = torch.tensor(written)
                    lines[1, len(written) :] = -100
                logits = model.read(model.collate([one.ids]))
                total, count = model.head.score(logits, lines)
            assert told[index, place].tolist() == pytest.approx([total.item(), count.item()], rel=1e-5)


@pytest.mark.parametrize("tuned", ["full", "lora-all", "prefix"])
def test_the_reference_is_the_untuned_backbone_whatever_the_method(tuned, root, tmp_path):
    on = bench("gpt2", root, tmp_path, tuned)
    plain = bench("gpt2", root, tmp_path / "plain")
    assert torch.equal(on.rows.reference, plain.rows.reference)
    assert on.rows.reference.shape == (8, 2) and not on.rows.reference.requires_grad
    cells.shake(on)
    before = on.rows.reference.clone()
    refer(on.model, on.rows)
    assert torch.equal(on.rows.reference, before), "what was tuned is no part of it"
    assert not [name for name, value in untuned(on.model).named_parameters() if value.requires_grad]


def test_gradients_are_the_policys_alone_and_push_the_two_texts_apart(root, tmp_path):
    on = bench("gpt2", root, tmp_path, label_smoothing=0.0, supervised_weight=0.0)
    model = on.model
    start = surprises(model, on.rows)[..., 0]
    inputs, targets = model.collate(on.rows.rows(range(8))), on.rows.targets_of(range(8))
    losses, weights = model.objective.loss(model, inputs, targets)
    assert losses.tolist() == pytest.approx([math.log(2)] * 8, abs=1e-5) and weights.tolist() == [1.0] * 8
    losses.sum().backward()
    with torch.no_grad():
        for _, parameter in moving(model):
            parameter -= 1e-3 * parameter.grad
    gained = start - surprises(model, on.rows)[..., 0]
    assert (gained[:, 0] - gained[:, 1]).mean() > 0


def test_the_reference_is_asked_once_and_only_of_the_same_rows(root, tmp_path):
    on = bench("gpt2", root, tmp_path)
    kept = tmp_path / "reference.safetensors"
    refer(on.model, on.rows, kept)
    ((name, value),) = load_file(kept).items()
    save_file({name: value + 1}, kept)
    refer(on.model, on.rows, kept)
    assert torch.equal(on.rows.reference, value + 1), "it was asked again"
    save_file({"of other rows": value + 1}, kept)
    refer(on.model, on.rows, kept)
    assert torch.equal(on.rows.reference, value)


def test_rows_and_backbones_are_told_apart_by_all_that_the_reference_depends_on(root, tmp_path):
    on = bench("gpt2", root, tmp_path)
    rows, checkpoint = on.rows, on.model.backbone.checkpoint
    known = fingerprint(on.model, rows)
    assert fingerprint(on.model, Encoded(rows.flat, rows.starts, rows.each)) == known
    assert fingerprint(on.model, Encoded(rows.flat, rows.starts[::2], rows.each)) != known
    assert fingerprint(on.model, Encoded(rows.flat, rows.starts, rows.each + 1)) != known
    on.model.backbone.checkpoint = replace(checkpoint, sha256="of other weights")
    assert fingerprint(on.model, rows) != known


def test_what_cannot_be_learned_from_pairs_is_told_before_data_is_read(root):
    assert "a task that writes: generation" in why_not(Cell("text", "classification", "linear", "full", "preference"))
    assert "method none leaves that as it is" in why_not(Cell("causal", "generation", "own", "none", "preference"))
    smooth = variant("gpt2").recipe().having("task", label_smoothing=0.1)
    with pytest.raises(RecipeError, match="as they are"):
        check(smooth, root)
    for preset, checked in (("data_to_text", "hybrid"), ("code", "programs")):
        with pytest.raises(RecipeError, match="have no text to check"):
            check(variant("gpt2").recipe().having("task", preset=preset, **{checked: True}), root)
    named = variant("gpt2").recipe().having("data", label="better")
    with pytest.raises(RecipeError, match="a row has chosen and rejected"):
        check(named, root)
    single = variant("gpt2").recipe().having("task", preset="translation")
    assert check(single, root)
    with pytest.raises(UnsupportedError, match="writes none"):
        check(parse({"data": {"train": "x"}, "objective": {"name": "preference"}}, AXES), root)


def test_an_objective_is_named_with_its_options_and_the_usual_one_is_not_written():
    usual = parse({"data": {"train": "x"}}, AXES)
    assert usual.objective.name == "supervised" and "objective" not in usual.toml()
    wanted = parse({"data": {"train": "x"}, "objective": {"name": "preference", "beta": 0.3}}, AXES)
    assert "[objective]" in wanted.toml() and "beta = 0.3" in wanted.toml()
    with pytest.raises(RecipeError, match="preference"):
        parse({"data": {"train": "x"}, "objective": {"name": "preferences"}}, AXES)
    with pytest.raises(RecipeError, match="unknown key 'bta'"):
        parse({"data": {"train": "x"}, "objective": {"name": "preference", "bta": 0.3}}, AXES)
    with pytest.raises(ValidationError):
        PreferenceOptions(label_smoothing=0.5)
