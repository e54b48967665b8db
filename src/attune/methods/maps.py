"""The layers of a backbone and the linear maps in them, whichever class they are of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from attune.methods.base import Layered

LINEAR = (nn.Linear, Conv1D)
"""Classes of linear maps; the second is GPT-2's, which keeps its weight the other way round, inputs before outputs."""


def sizes(linear: Any) -> tuple[int, int]:
    """Features that a linear map reads and gives."""
    if isinstance(linear, Conv1D):
        return int(linear.weight.shape[0]), int(linear.weight.shape[1])
    return linear.in_features, linear.out_features


def layers(backbone: Layered) -> Iterator[tuple[str, nn.Module]]:
    """Every layer of every stack with its module path, in the order in which they are run."""
    for stack in backbone.stacks:
        for index, layer in enumerate(backbone.network.get_submodule(stack.path)):
            yield f"{stack.path}.{index}", layer


def within(backbone: Layered, which: str = "all") -> list[dict[str, Any]]:
    """The linear maps of the layers of each stack, by their name within a layer, in the network's order.

    Args:
        backbone: For its stacks.
        which: `all` or `attention`.

    Returns:
        For each stack every such map of its first layer that has it.
    """
    found: list[dict[str, Any]] = []
    for stack in backbone.stacks:
        own: dict[str, Any] = {}
        for name, module in backbone.network.get_submodule(stack.path).named_modules():
            if isinstance(module, LINEAR) and (which == "all" or "att" in name.lower()):
                own.setdefault(name.split(".", 1)[1], module)
        found.append(own)
    return found
