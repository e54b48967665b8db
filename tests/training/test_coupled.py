"""A batch in parts, where the loss couples its rows: the gradient of the whole, dropout included."""

import contextlib

import torch

from attune.training.coupled import backward
from attune.training.optimiser import moving
from support import cells

PAIRS = [v for v in cells.every() if (v.task, v.kind, v.pooling, v.tuned) == ("embedding", "bert", "mean", "lora-all")]


def parts(on, sizes):
    """The bench's rows as micro-batches."""
    found, at = [], 0
    for size in sizes:
        rows = range(at, at + size)
        found.append((on.model.collate(on.rows.rows(rows)), on.rows.targets_of(rows)))
        at += size
    return found


def gradients(model):
    found = {name: parameter.grad.clone() for name, parameter in moving(model)}
    model.zero_grad(set_to_none=True)
    return found


def test_cached_gradients_are_those_of_one_graph_with_the_same_dropout(root, tmp_path):
    on = cells.bench(PAIRS[0], root, tmp_path, recipe=PAIRS[0].recipe(dropout=0.3))
    cells.shake(on)
    on.model.train()
    assert on.model.coupled
    batches = parts(on, (3, 3, 2))
    torch.manual_seed(5)
    total, weight = backward(on.model, batches, contextlib.nullcontext)
    after, cached = torch.get_rng_state(), gradients(on.model)
    torch.manual_seed(5)
    outputs = torch.cat([on.model(inputs) for inputs, _ in batches])
    assert torch.equal(torch.get_rng_state(), after), "the next draws depend on how the gradient was computed"
    losses, _ = on.model.weigh(outputs, torch.cat([targets for _, targets in batches]))
    losses.sum().backward()
    assert (total, weight) == (float(losses.detach().sum()), 8.0)
    for name, expected in gradients(on.model).items():
        assert expected.any(), name
        torch.testing.assert_close(cached[name], expected, rtol=1e-5, atol=1e-6)


def test_parts_taken_one_by_one_would_be_another_loss(root, tmp_path):
    """What is proven above does not hold of itself: a part has fewer texts to tell apart."""
    on = cells.bench(PAIRS[0], root, tmp_path)
    batches = parts(on, (4, 4))
    whole, _ = backward(on.model, batches, contextlib.nullcontext)
    each = sum(backward(on.model, [batch], contextlib.nullcontext)[0] for batch in batches)
    assert whole > each + 0.5
