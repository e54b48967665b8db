"""Which number format and attention kernel are faster here: properties of the machine, so they are measured."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attune.model.assemble import Model

WORTHWHILE = 1.15
STEPS = 5
"""Steps of a trial at the most, the warm-up among them."""
ENOUGH = 1.0
"""Seconds of steps after which a trial is long enough."""
ANSWERING = "sdpa"
"""The attention kernel of every answer."""
CANDIDATES = (("float32", "sdpa"), ("float32", "eager"), ("bfloat16", "sdpa"), ("bfloat16", "eager"))


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """A context in which matrix products run in bfloat16, or an empty one."""
    if precision == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


def choose(
    model: Model,
    ids: Sequence[NDArray[np.int64]],
    targets: torch.Tensor,
    allowed: Sequence[tuple[str, str]] = CANDIDATES,
    clock: Callable[[], float] | None = None,
) -> tuple[tuple[str, str], dict[str, float]]:
    """Times a training step each way on rows of the run; the plainest wins unless another is clearly faster.

    On a processor the seconds are those it spends on the step, a thread, which other work does not lengthen.

    Args:
        model: The assembled model; its parameters do not change.
        ids: Rows of one micro-batch.
        targets: Their targets.
        allowed: Pairs of number format and attention kernel, the plainest first.
        clock: Seconds; that of the device where none is given.

    Returns:
        Number format and attention kernel, and the median seconds of each pair.
    """
    seconds: dict[tuple[str, str], float] = {}
    inputs = model.collate(ids)
    goal = targets.to(model.device)
    clock = clock or clock_of(model.device)
    for precision, attention in allowed:
        model.backbone.attend(attention)
        seconds[precision, attention] = statistics.median(timed(model, inputs, goal, precision, clock)[1:])
        model.zero_grad(set_to_none=True)
    model.backbone.attend(ANSWERING)
    fastest = min(seconds, key=lambda pair: seconds[pair])
    chosen = fastest if seconds[allowed[0]] > WORTHWHILE * seconds[fastest] else allowed[0]
    return chosen, {" ".join(pair): round(value, 6) for pair, value in seconds.items()}


def clock_of(device: torch.device) -> Callable[[], float]:
    """Seconds that a processor spent on this process, a thread; on an accelerator, those that went by."""
    threads = torch.get_num_threads()
    return (lambda: time.process_time() / threads) if device.type == "cpu" else time.perf_counter


def timed(
    model: Model, inputs: dict[str, torch.Tensor], targets: torch.Tensor, precision: str, clock: Callable[[], float]
) -> list[float]:
    """Seconds of a few training steps, of fewer where they take long; the first of them is a warm-up."""
    taken: list[float] = []
    while len(taken) < 2 or (len(taken) < STEPS and sum(taken[1:]) < ENOUGH):
        begin = clock()
        with autocast(model.device, precision):
            total, weight = model.objective.loss(model, inputs, targets)
        (total.sum() / weight.sum()).backward()
        taken.append(clock() - begin)
    return taken
