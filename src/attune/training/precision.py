"""Which number format is faster here: a property of the machine, so it is measured."""

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


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """A context in which matrix products run in bfloat16, or an empty one."""
    if precision == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


def choose(
    model: Model, ids: Sequence[NDArray[np.int32]], targets: torch.Tensor, clock: Callable[[], float] = time.perf_counter
) -> tuple[str, dict[str, float]]:
    """Times one training step in each format on rows of the run, and takes the faster.

    Args:
        model: The assembled model; its parameters do not change.
        ids: Rows of one micro-batch.
        targets: Their targets.
        clock: Seconds.

    Returns:
        `float32` or `bfloat16`, and the median seconds of each.
    """
    seconds: dict[str, float] = {}
    inputs = model.collate(ids)
    goal = targets.to(model.device)
    for precision in ("float32", "bfloat16"):
        taken: list[float] = []
        for _ in range(4):
            begin = clock()
            with autocast(model.device, precision):
                total, weight = model.loss(inputs, goal)
            (total.sum() / weight.sum()).backward()
            taken.append(clock() - begin)
        seconds[precision] = statistics.median(taken[1:])
        model.zero_grad(set_to_none=True)
    faster = seconds["float32"] > WORTHWHILE * seconds["bfloat16"]
    return ("bfloat16" if faster else "float32"), seconds
