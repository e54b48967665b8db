"""Optimisers, their parameter groups and schedules."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from transformers.optimization import Adafactor

from attune.core.recipe import TrainingOptions
from attune.model.assemble import Model


def moving(model: Model) -> Iterator[tuple[str, nn.Parameter]]:
    """Every parameter that moves, by name, in a fixed order: the backbone's, then the head's; none by method `none`."""
    if not model.method.trains:
        return
    for name, parameter in model.backbone.network.named_parameters():
        if parameter.requires_grad:
            yield f"backbone.{name}", parameter
    for name, parameter in model.head.named_parameters():
        yield f"head.{name}", parameter


def build(model: Model, options: TrainingOptions) -> Optimizer:
    """An optimiser over what moves.

    Layer-wise decay lowers the rate by a factor a layer from the top (Howard & Ruder 2018); biases and norms (every
    one-dimensional parameter) have no weight decay, nor has what moves by a method that it does not suit.

    Args:
        model: The assembled model.
        options: Rates resolved.

    Returns:
        The optimiser; each group carries its peak rate as `peak`.
    """
    rate = options.learning_rate or model.method.rate
    head_rate = options.head_learning_rate or model.method.head_rate
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    top = model.backbone.layers_count
    for name, parameter in moving(model):
        if name.startswith("head."):
            peak, decays = head_rate, True
        else:
            depth = model.backbone.depth(name.removeprefix("backbone."))
            peak, decays = rate * options.layer_decay ** max(top - depth, 0), model.method.decays
        decay = options.weight_decay if decays and parameter.ndim > 1 else 0.0
        groups.setdefault((peak, decay), []).append(parameter)
    tables: list[dict[str, Any]] = [
        {"params": parameters, "lr": peak, "peak": peak, "weight_decay": decay}
        for (peak, decay), parameters in groups.items()
    ]
    if options.optimiser == "adamw":
        return AdamW(tables, betas=(0.9, 0.999), eps=1e-8, fused=True)
    if options.optimiser == "sgd":
        return SGD(tables, momentum=0.9)
    return Adafactor(tables, scale_parameter=False, relative_step=False, warmup_init=False)


def factor(step: int, steps: int, options: TrainingOptions) -> float:
    """The share of its peak that a learning rate has at a step.

    Args:
        step: Optimiser steps already taken.
        steps: Optimiser steps in all.
        options: Warm-up and shape.

    Returns:
        Between 0 and 1.
    """
    warmup = round(options.warmup * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(steps - warmup, 1)
    if options.schedule == "linear":
        return 1 - done
    if options.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    return 1.0


def set_rates(optimiser: Optimizer, share: float) -> None:
    """Sets every group's rate to a share of its peak."""
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * share


def tensors(optimiser: Optimizer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """An optimiser's state as tensors by flat name, and its plain values.

    Args:
        optimiser: The optimiser.

    Returns:
        Tensors (`index.key`), and plain values by the same names.
    """
    found: dict[str, torch.Tensor] = {}
    plain: dict[str, Any] = {}
    for index, state in optimiser.state_dict()["state"].items():
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                found[f"{index}.{key}"] = value.contiguous()
            else:
                plain[f"{index}.{key}"] = value
    return found, plain


def restore(optimiser: Optimizer, found: dict[str, torch.Tensor], plain: dict[str, Any]) -> None:
    """Puts back what `tensors` took."""
    state: dict[int, dict[str, Any]] = {}
    for name, value in {**found, **plain}.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
