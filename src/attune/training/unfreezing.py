"""Gradual unfreezing: the top layer moves first, then one layer more at a time (Howard & Ruder 2018, ULMFiT)."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from torch import nn

from attune.core.recipe import TrainingOptions
from attune.model.assemble import Model
from attune.training.optimiser import moving


class Unfreezing:
    """Which of the parameters that move take part in a step.

    ULMFiT adds a layer an epoch; here they are added evenly over a share of the steps, whatever their number. A
    function of the step alone, so that a resume needs nothing besides it.

    Args:
        model: The assembled model.
        options: Whether, and over which share of the steps.
        steps: Optimiser steps of the run.
    """

    def __init__(self, model: Model, options: TrainingOptions, steps: int) -> None:
        backbone = model.backbone
        named = [(name.removeprefix("backbone."), value) for name, value in moving(model) if name[:5] != "head."]
        self.parameters: list[tuple[int, nn.Parameter]] = [(backbone.depth(name), value) for name, value in named]
        self.top: int = backbone.layers_count
        self.bottom = min((depth for depth, _ in self.parameters), default=self.top)
        self.span = steps * options.unfreeze_share if options.unfreeze == "gradual" else 0.0

    def lowest(self, step: int) -> int:
        """The lowest depth that moves in a step: at first the top layer's, L; 0 where the embeddings move too.

        Args:
            step: Optimiser steps already taken.

        Returns:
            A depth; what lies below it stays still.
        """
        if step >= self.span:
            return self.bottom
        return self.top - int((self.top - self.bottom) * step / self.span)

    def news(self, step: int) -> int | None:
        """The lowest depth that moves, where it is another than in the step before or not all of them in the first."""
        lowest = self.lowest(step)
        before = self.lowest(step - 1) if step else self.bottom
        return lowest if lowest != before else None

    @contextlib.contextmanager
    def at(self, step: int) -> Generator[None]:
        """What lies too low takes no gradient, so that the backward pass ends above it and no optimiser touches it.

        Everything is marked as moving again at the end, for checkpoints and bundles hold it whether it has moved yet
        or not.

        Args:
            step: Optimiser steps already taken.

        Yields:
            Nothing; forward and backward passes belong inside.
        """
        lowest = self.lowest(step)
        still = [parameter for depth, parameter in self.parameters if depth < lowest]
        for parameter in still:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in still:
                parameter.requires_grad_(True)
