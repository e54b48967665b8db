"""Gradual unfreezing: what moves when, that what does not move yet is untouched, and that a resume is exact."""

import json
import math

import pytest
import torch

from attune.core.recipe import TrainingOptions, parse
from attune.errors import InterruptedRunError, UnsupportedError
from attune.lifecycle.train import train
from attune.model.assemble import AXES, check
from attune.training.loop import Loop
from attune.training.optimiser import moving, tensors
from attune.training.unfreezing import Unfreezing
from support import cells

GRADUAL = next(v for v in cells.every() if (v.kind, v.pooling, v.tuned) == ("bert", "mean", "full-gradual"))
LAYERS = 2


def schedule(model, steps, **values):
    unfreezing = Unfreezing(model, TrainingOptions(**values), steps)
    return [unfreezing.lowest(step) for step in range(steps)], [unfreezing.news(step) for step in range(steps)]


def test_the_top_layer_comes_first_then_one_after_another_down_to_the_embeddings(root, tmp_path):
    model = cells.bench(GRADUAL, root, tmp_path).model
    lowest, news = schedule(model, 12, unfreeze="gradual")
    assert lowest == [2, 2, 2, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert news == [2, None, None, 1, None, None, 0, None, None, None, None, None]
    assert schedule(model, 4, unfreeze="gradual", unfreeze_share=1.0)[0] == [2, 2, 1, 1]
    assert schedule(model, 1, unfreeze="gradual") == ([2], [2])
    assert schedule(model, 3, unfreeze="all") == ([0, 0, 0], [None, None, None])


def test_a_method_s_own_lowest_layer_is_the_last(root, tmp_path):
    variant = next(v for v in cells.every() if (v.kind, v.pooling, v.method) == ("bert", "mean", "frozen"))
    model = cells.bench(variant, root, tmp_path, recipe=variant.recipe().having("method", trainable_layers=2)).model
    assert schedule(model, 4, unfreeze="gradual")[0] == [2, 2, 1, 1]


@pytest.mark.parametrize("optimiser", ["adamw", "sgd", "adafactor"])
def test_what_does_not_move_yet_has_no_gradient_no_state_and_no_decay(optimiser, root, tmp_path, monkeypatch):
    recipe = GRADUAL.recipe(optimiser=optimiser, epochs=6, batch_size=8, weight_decay=0.3, warmup=0.0)
    on = cells.bench(GRADUAL, root, tmp_path, recipe=recipe)
    depths = {
        name: on.model.backbone.depth(name.removeprefix("backbone.")) if name[:5] != "head." else LAYERS + 1
        for name, _ in moving(on.model)
    }
    published = cells.snapshot(on.model)
    reached: list[bool] = []
    embedded = on.model.backbone.network.embeddings
    embedded.register_forward_hook(lambda module, given, made: reached.append(made.requires_grad))
    seen: list[int] = []
    apply = Loop._apply

    def applied(loop, weight, step):
        lowest = loop.unfreezing.lowest(step - 1)
        graded = {name for name, parameter in moving(on.model) if parameter.grad is not None}
        assert graded == {name for name, depth in depths.items() if depth >= lowest}
        apply(loop, weight, step)
        now = cells.snapshot(on.model)
        moved = {name for name in depths if now[of(name)] != published[of(name)]}
        assert {depths[name] for name in moved} == {depth for depth in depths.values() if depth >= lowest}
        known = {int(key.split(".")[0]) for state in tensors(loop.optimiser) for key in state}
        order = [value for group in loop.optimiser.param_groups for value in group["params"]]
        names = {id(value): name for name, value in moving(on.model)}
        assert {names[id(order[index])] for index in known} == graded
        assert reached[-1] is (lowest == 0), "the backward pass went further down than it had to"
        seen.append(lowest)

    monkeypatch.setattr(Loop, "_apply", applied)
    cells.run(on, tmp_path / "run")
    assert seen == [2, 2, 1, 0, 0, 0]
    assert all(parameter.requires_grad for _, parameter in moving(on.model))


def of(name):
    """A moving parameter's name among all."""
    return name.replace("backbone.", "backbone.network.", 1)


@pytest.mark.parametrize("at", [2, 3, 5])
def test_a_run_stopped_before_or_after_a_layer_is_added_goes_on_exactly(at, root, tmp_path):
    recipe = GRADUAL.recipe(epochs=3, dropout=0.1, checkpoint_steps=100)
    whole = cells.bench(GRADUAL, root, tmp_path / "whole", count=12, recipe=recipe)
    cells.run(whole, tmp_path / "whole" / "run")
    folder = tmp_path / "stopped"
    asked = iter([*[""] * (at - 1), "a test"])
    with pytest.raises(InterruptedRunError, match=f"at step {at} of 9"):
        cells.run(
            cells.bench(GRADUAL, root, folder, count=12, recipe=recipe), folder / "run", stopping=lambda: next(asked)
        )
    resumed = cells.bench(GRADUAL, root, folder, count=12, recipe=recipe)
    cells.run(resumed, folder / "run")
    assert cells.digest(resumed.model) == cells.digest(whole.model)
    logs = [(run / "run" / "events.jsonl").read_text(encoding="utf-8") for run in (tmp_path / "whole", folder)]
    assert logs[0] == logs[1]
    told = [json.loads(line) for line in logs[0].splitlines() if '"unfrozen"' in line]
    assert [(event["step"], event["lowest"], event["layers"]) for event in told] == [(0, 2, 2), (3, 1, 2), (5, 0, 2)]


def test_best_weights_of_an_early_epoch_hold_what_had_not_moved_yet(root, tmp_path):
    """They are put back over weights that have moved since."""
    recipe = GRADUAL.recipe(epochs=4, metric="accuracy", batch_size=8)
    on = cells.bench(GRADUAL, root, tmp_path, recipe=recipe)
    told, after = iter([0.1, 0.9, 0.5, 0.4, 0.3]), []

    def evaluate():
        after.append(cells.snapshot(on.model))
        return {"accuracy": next(told), "loss": 1.0}

    folder = tmp_path / "run"
    folder.mkdir()
    Loop(on.model, on.rows, recipe.training, cells.Place(folder, events(folder), lambda: ""), evaluate, True).run()
    embedding = "backbone.network.embeddings.word_embeddings.weight"
    assert after[4][embedding] != after[0][embedding] == after[1][embedding]
    assert cells.snapshot(on.model) == after[1]


def events(folder):
    return cells.Events(folder / "events.jsonl", lambda: 0.0)


@pytest.mark.parametrize(
    ("method", "moves"),
    [
        ({"name": "lora"}, 0), ({"name": "bias"}, 0), ({"name": "frozen"}, 0),
        ({"name": "frozen", "trainable_layers": 1}, 1), ({"name": "prompt", "tokens": 4}, 0), ({"name": "adapter"}, 0),
    ],
)  # fmt: skip
def test_methods_that_move_no_whole_layers_are_refused_before_data_is_read(method, moves, root, tmp_path):
    document = {
        "data": {"train": "nowhere.csv"}, "backbone": {"name": "bert"}, "method": method,
        "training": {"unfreeze": "gradual"},
    }  # fmt: skip
    with pytest.raises(UnsupportedError) as caught:
        train(parse(document, AXES), root, tmp_path / "out")
    assert f"{method['name']} as asked for moves {moves} of them whole" in caught.value.found
    assert "use method full, or frozen with trainable_layers of 2 or more" in caught.value.found
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("method", [{"name": "full"}, {"name": "frozen", "trainable_layers": 2}])
def test_what_the_refusal_names_works(method, root):
    document = {"backbone": {"name": "bert"}, "method": method, "training": {"unfreeze": "gradual"}}
    assert check(parse(document, AXES), root).name == "bert"


def test_gradual_and_all_end_differently_and_both_learn(root, tmp_path):
    ends = {}
    for how in ("all", "gradual"):
        recipe = GRADUAL.recipe(unfreeze=how, batch_size=8, epochs=20, head_learning_rate=0.05)
        on = cells.bench(GRADUAL, root, tmp_path / how, recipe=recipe)
        before = cells.mean_loss(on)
        cells.run(on, tmp_path / how / "run")
        ends[how] = cells.digest(on.model)
        assert cells.mean_loss(on) < 0.9 * before
        assert math.isfinite(cells.mean_loss(on))
    assert ends["all"] != ends["gradual"]


def test_torch_leaves_the_gradient_switch_as_it_was_after_an_error(root, tmp_path):
    on = cells.bench(GRADUAL, root, tmp_path)
    unfreezing = Unfreezing(on.model, TrainingOptions(unfreeze="gradual"), 10)
    with pytest.raises(ZeroDivisionError), unfreezing.at(0):
        assert not on.model.backbone.network.embeddings.word_embeddings.weight.requires_grad
        raise ZeroDivisionError
    assert all(parameter.requires_grad for _, parameter in moving(on.model))
    assert torch.is_grad_enabled()
