"""Schedules, groups, order, optimiser state, early stopping, precision and events."""

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attune.core.recipe import TrainingOptions
from attune.errors import AttuneError, InterruptedRunError
from attune.lifecycle import resolve
from attune.training import checkpoint, optimiser, precision
from attune.training.encoded import epoch_order
from attune.training.events import Events
from attune.training.loop import Loop, Place
from attune.training.optimiser import build, factor, moving, set_rates
from attune.training.precision import choose
from support import cells

LINEAR = [v for v in cells.every() if v.head == "linear"]
FULL = next(v for v in LINEAR if (v.kind, v.pooling, v.tuned, v.multi_label) == ("bert", "mean", "full", False))


def curve(steps=100, **values):
    options = TrainingOptions(**values)
    return [factor(step, steps, options) for step in range(steps)]


def test_warmup_rises_evenly_and_never_starts_at_zero():
    found = curve(warmup=0.1, schedule="constant")
    np.testing.assert_allclose(found[:10], np.arange(1, 11) / 11)
    assert found[10:] == [1.0] * 90


def test_linear_falls_evenly_to_zero():
    found = curve(warmup=0.1, schedule="linear")
    np.testing.assert_allclose(np.diff(found[10:]), -1 / 90)
    assert found[10] == 1.0
    assert factor(100, 100, TrainingOptions(schedule="linear")) == 0.0


def test_cosine_is_half_way_in_the_middle():
    found = curve(warmup=0.0, schedule="cosine")
    assert found[0] == 1.0
    assert math.isclose(found[50], 0.5)
    assert math.isclose(found[25], 0.5 * (1 + math.cos(math.pi / 4)))
    assert all(later < earlier for earlier, later in pairwise(found))


@given(st.integers(1, 300), st.floats(0, 0.99), st.sampled_from(["linear", "cosine", "constant"]))
@settings(max_examples=100, deadline=None)
def test_a_rate_is_a_share_of_its_peak_and_every_step_moves(steps, warmup, schedule):
    found = curve(steps, warmup=warmup, schedule=schedule)
    assert all(0 < share <= 1 for share in found)


def groups(model, **values):
    return {
        id(parameter): group
        for group in build(model, TrainingOptions(**values)).param_groups
        for parameter in group["params"]
    }


def test_layer_decay_lowers_the_rate_a_layer_and_spares_the_head(root, tmp_path):
    model = cells.bench(FULL, root, tmp_path).model
    found = groups(model, learning_rate=1.0, head_learning_rate=3.0, layer_decay=0.5)
    for name, parameter in moving(model):
        peak = found[id(parameter)]["peak"]
        if name.startswith("head."):
            assert peak == 3.0
        elif "embeddings" in name:
            assert peak == 0.25, name
        else:
            assert peak == {"0": 0.5, "1": 1.0}[name.split("layer.")[1][0]], name
    assert len(found) == len(list(moving(model))) == sum(parameter.requires_grad for parameter in model.parameters())


def test_biases_and_norms_do_not_decay(root, tmp_path):
    model = cells.bench(FULL, root, tmp_path).model
    found = groups(model, weight_decay=0.3)
    for name, parameter in moving(model):
        plain = name.endswith("bias") or "norm" in name.lower()
        assert found[id(parameter)]["weight_decay"] == (0.0 if plain else 0.3), name


def test_rates_not_given_are_the_method_s(root, tmp_path):
    model = cells.bench(FULL, root, tmp_path).model
    assert {group["peak"] for group in build(model, TrainingOptions()).param_groups} == {
        model.method.rate,
        model.method.head_rate,
    }


@pytest.mark.parametrize(("name", "kind"), [("adamw", "AdamW"), ("sgd", "SGD"), ("adafactor", "Adafactor")])
def test_rates_are_set_in_every_group(name, kind, root, tmp_path):
    made = build(cells.bench(FULL, root, tmp_path).model, TrainingOptions(optimiser=name, learning_rate=2e-3))
    assert type(made).__name__ == kind
    set_rates(made, 0.25)
    assert [group["lr"] for group in made.param_groups] == [group["peak"] * 0.25 for group in made.param_groups]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=300), st.integers(1, 40), st.integers(0, 9), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_an_epoch_holds_every_row_once_and_repeats(lengths, batch_size, seed, epoch):
    of = np.asarray(lengths)
    batches = epoch_order(of, batch_size, seed, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(of)))
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    assert len(batches) == math.ceil(len(of) / batch_size)
    again = epoch_order(of, batch_size, seed, epoch)
    assert [batch.tolist() for batch in again] == [batch.tolist() for batch in batches]


def test_epochs_and_seeds_differ_in_order_and_batches_are_of_like_length():
    lengths = np.random.default_rng(0).integers(1, 100, 640)
    orders = [np.concatenate(epoch_order(lengths, 8, *key)).tolist() for key in ((0, 0), (0, 1), (1, 0))]
    assert len({tuple(order) for order in orders}) == 3
    spread = np.mean([np.ptp(lengths[batch]) for batch in epoch_order(lengths, 8, 0, 0)])
    assert spread < 10


def place(folder, stopping=lambda: ""):
    folder.mkdir(parents=True, exist_ok=True)
    return Place(folder, Events(folder / "events.jsonl", lambda: 0.0), stopping)


@pytest.mark.parametrize("name", ["adamw", "sgd", "adafactor"])
def test_a_run_stopped_and_resumed_equals_one_never_stopped(name, root, tmp_path):
    """Everything an optimiser remembers goes through the checkpoint."""
    recipe = FULL.recipe(optimiser=name, epochs=3, dropout=0.1, checkpoint_steps=100)
    whole = cells.bench(FULL, root, tmp_path / "whole", count=12, recipe=recipe)
    cells.run(whole, tmp_path / "whole" / "run")
    folder = tmp_path / "stopped"
    stopped = cells.bench(FULL, root, folder, count=12, recipe=recipe)
    asked = iter(["", "", "", "", "a test"])
    with pytest.raises(InterruptedRunError, match="stopped by a test at step 5 of 9"):
        cells.run(stopped, folder / "run", stopping=lambda: next(asked))
    resumed = cells.bench(FULL, root, folder, count=12, recipe=recipe)
    fresh = cells.digest(resumed.model)
    cells.run(resumed, folder / "run")
    assert cells.digest(resumed.model) == cells.digest(whole.model) != fresh
    logs = [(run / "run" / "events.jsonl").read_text(encoding="utf-8") for run in (tmp_path / "whole", folder)]
    assert logs[0] == logs[1]


@pytest.mark.parametrize("name", ["adamw", "sgd", "adafactor"])
def test_an_optimiser_s_state_comes_back_as_it_was(name, root, tmp_path):
    recipe = FULL.recipe(optimiser=name)
    on = cells.bench(FULL, root, tmp_path, recipe=recipe)
    loop = cells.run(on, tmp_path / "run")
    found, plain = optimiser.tensors(loop.optimiser)
    assert found
    other = build(on.model, recipe.training)
    optimiser.restore(other, {key: value.clone() for key, value in found.items()}, dict(plain))
    again, plainly = optimiser.tensors(other)
    assert plainly == plain
    assert again.keys() == found.keys()
    assert all(torch.equal(again[key], found[key]) and again[key].dtype == found[key].dtype for key in found)


def test_only_the_newest_checkpoint_is_kept(root, tmp_path):
    on = cells.bench(FULL, root, tmp_path)
    cells.run(on, tmp_path / "run")
    (kept,) = (tmp_path / "run" / "checkpoints").iterdir()
    assert kept.name == "step-00000004-0002"
    assert checkpoint.latest(tmp_path / "nothing") is None


def staged(root, tmp_path, values, **training):
    """Runs a loop whose validation metric is made up; tells the state and the digest after each epoch."""
    recipe = FULL.recipe(epochs=len(values) - 1, metric="accuracy", **training)
    on = cells.bench(FULL, root, tmp_path, recipe=recipe)
    told, after = iter(values), []

    def evaluate():
        after.append(cells.digest(on.model))
        return {"accuracy": next(told), "loss": 1.0}

    loop = Loop(on.model, on.rows, recipe.training, place(tmp_path / "run"), evaluate, True)
    return loop.run(), after, cells.digest(on.model)


def test_patience_stops_early_and_the_best_weights_come_back(root, tmp_path):
    state, after, end = staged(root, tmp_path, [0.1, 0.5, 0.9, 0.8, 0.9, 0.95], patience=2)
    assert (state.epochs, state.best, state.best_epoch, state.stale) == (4, 0.9, 2, 2)
    assert len(set(after)) == len(after) == 5
    assert end == after[2]


def test_without_patience_all_epochs_run_and_the_best_weights_come_back(root, tmp_path):
    state, after, end = staged(root, tmp_path, [0.1, 0.5, 0.4, 0.3, 0.2])
    assert (state.epochs, state.best_epoch) == (4, 1)
    assert end == after[1]


def test_a_start_that_is_never_beaten_is_what_comes_back(root, tmp_path):
    state, after, end = staged(root, tmp_path, [0.9, 0.5, 0.6], patience=5)
    assert state.best_epoch == 0
    assert end == after[0]


def test_lower_is_better_where_the_metric_says_so(root, tmp_path):
    recipe = FULL.recipe(epochs=2, metric="loss")
    on = cells.bench(FULL, root, tmp_path, recipe=recipe)
    told, after = iter([3.0, 1.0, 2.0]), []

    def evaluate():
        after.append(cells.digest(on.model))
        return {"loss": next(told)}

    state = Loop(on.model, on.rows, recipe.training, place(tmp_path / "run"), evaluate, False).run()
    assert (state.best, state.best_epoch) == (1.0, 1)
    assert cells.digest(on.model) == after[1]


def test_a_loss_that_is_no_number_stops_the_run(root, tmp_path):
    on = cells.bench(FULL, root, tmp_path)
    with torch.no_grad():
        next(on.model.head.parameters()).fill_(math.nan)
    before = cells.digest(on.model)
    with pytest.raises(AttuneError, match="the loss is nan at step 0"):
        cells.run(on, tmp_path / "run")
    assert cells.digest(on.model) == before


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ((1.0, 0.5), ("bfloat16", "sdpa")),
        ((1.0, 0.9), ("float32", "sdpa")),
        ((1.0, 2.0), ("float32", "sdpa")),
    ],
)
def test_precision_takes_the_faster_and_changes_nothing(costs, expected, root, tmp_path, monkeypatch):
    on = cells.bench(FULL, root, tmp_path)
    before, now, kind = cells.snapshot(on.model), [0.0], [""]
    real = precision.autocast

    def noted(device, name):
        kind[0] = name
        return real(device, name)

    monkeypatch.setattr(precision, "autocast", noted)
    ticks = SimpleNamespace(odd=False)

    def clock():
        ticks.odd = not ticks.odd
        if not ticks.odd:
            now[0] += costs[kind[0] == "bfloat16"]
        return now[0]

    chosen, seconds = choose(on.model, on.rows.rows(range(4)), on.rows.targets[:4], clock=clock)
    assert chosen == expected
    assert seconds == {
        f"{kind} {kernel}": pytest.approx(cost)
        for kind, cost in zip(("float32", "bfloat16"), costs, strict=True)
        for kernel in ("sdpa", "eager")
    }
    assert cells.snapshot(on.model) == before
    assert all(parameter.grad is None for parameter in on.model.parameters())


def test_precision_names_one_it_knows_by_the_real_clock(root, tmp_path):
    on = cells.bench(FULL, root, tmp_path)
    chosen, seconds = choose(on.model, on.rows.rows(range(4)), on.rows.targets[:4])
    assert " ".join(chosen) in seconds.keys() == {" ".join(pair) for pair in precision.CANDIDATES}
    assert all(value > 0 for value in seconds.values())


@pytest.mark.parametrize(("length", "kept"), [(12, 32), (1_000, 4), (9_000, 2)])
def test_precision_is_tried_on_few_rows_where_they_are_long(length, kept):
    rows = SimpleNamespace(rows=lambda sample: [np.zeros(length, dtype=np.int64) for _ in sample])
    assert resolve.some(rows, np.arange(32)).tolist() == list(range(kept))


def test_padding_counts_where_rows_for_a_trial_are_chosen():
    rows = SimpleNamespace(rows=lambda sample: [np.zeros(1_000 if row == 1 else 10, dtype=np.int64) for row in sample])
    assert resolve.some(rows, np.arange(32)).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("cost", "steps"), [(0.1, 5), (0.6, 3), (30.0, 2)])
def test_a_trial_is_short_where_steps_are_long(cost, steps, root, tmp_path):
    on, now = cells.bench(FULL, root, tmp_path), [0.0]

    def clock():
        now[0] += cost
        return now[0]

    inputs = on.model.collate(on.rows.rows(range(4)))
    taken = precision.timed(on.model, inputs, on.rows.targets[:4], "float32", clock)
    assert taken == pytest.approx([cost] * steps)


def test_events_after_a_checkpoint_are_cut(tmp_path):
    heard = []
    events = Events(tmp_path / "events.jsonl", lambda: 12.34567, (heard.append,))
    assert events.size() == 0 and events.read() == []
    events.cut(5)
    events.write("step", step=1, note="é")
    size = events.size()
    events.write("step", step=2)
    later = []
    events.listen(later.append)
    events.cut(size)
    events.write("step", step=2, again=True)
    assert events.read() == [
        {"event": "step", "step": 1, "note": "é", "time": 12.346},
        {"event": "step", "step": 2, "again": True, "time": 12.346},
    ]
    assert [event["step"] for event in heard] == [1, 2, 2]
    assert [event.get("again") for event in later] == [True]
