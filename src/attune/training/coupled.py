"""A step of a loss that couples the rows of a batch, over a batch that is too large to be differentiated at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from attune.model.assemble import Model

Batch = tuple[dict[str, Tensor], Any]
"""Collated inputs and targets of a micro-batch."""
Precise = Callable[[], AbstractContextManager[Any]]
Drawn = tuple[Tensor, Tensor | None]
"""The state of the host's generator, and of the device's where it has one."""


def backward(model: Model, batches: Sequence[Batch], precise: Precise) -> tuple[float, float]:
    """Adds the gradient of the loss of all micro-batches taken as one batch.

    Args:
        model: The assembled model, in training mode.
        batches: The micro-batches of a step.
        precise: Makes the context in which the model computes.

    Returns:
        Total and weight of the loss.
    """
    if len(batches) > 1:
        return cached(model, batches, precise)
    (inputs, targets), *_ = batches
    with precise():
        losses, weights = model.objective.loss(model, inputs, targets)
    losses.sum().backward()
    return float(losses.detach().sum()), float(weights.sum())


def cached(model: Model, batches: Sequence[Batch], precise: Precise) -> tuple[float, float]:
    """The same of several micro-batches, by cached gradients (GradCache, Gao et al. 2021).

    What the head says of all rows is computed without a gradient; the loss of it is differentiated once; then each
    micro-batch is read again, its dropout drawn as before, and takes its part of that gradient further back. Memory is
    that of one micro-batch and of all outputs, time that of one more forward pass.

    Args:
        model: As for `backward`.
        batches: Two or more.
        precise: As for `backward`.

    Returns:
        Total and weight of the loss.
    """
    drawn: list[Drawn] = []
    found: list[Tensor] = []
    for inputs, _ in batches:
        drawn.append(randomness(model.device))
        with torch.no_grad(), precise():
            found.append(model(inputs).float())
    outputs = torch.cat(found).requires_grad_()
    losses, weights = model.weigh(outputs, torch.cat([targets for _, targets in batches]))
    (gradient,) = torch.autograd.grad(losses.sum(), outputs)
    parts = gradient.split([len(part) for part in found])
    for (inputs, _), state, part in zip(batches, drawn, parts, strict=True):
        draw_again(model.device, state)
        with precise():
            again = model(inputs).float()
        again.backward(part)
    return float(losses.detach().sum()), float(weights.sum())


def randomness(device: torch.device) -> Drawn:
    """Where the generators that dropout draws from are."""
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def draw_again(device: torch.device, state: Drawn) -> None:
    """Puts the generators back."""
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)
