"""Frozen layers: only the top layers move, or none but the head (the linear probe)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from attune.core.recipe import Options
from attune.methods.base import Method, Tunable, freeze


class FrozenOptions(Options):
    """All but the top layers stay as published."""

    name: Literal["frozen"] = "frozen"
    trainable_layers: int = Field(0, ge=0)
    """Layers at the top that move; 0 is the linear probe."""


class Frozen(Method):
    """Moves the top `trainable_layers` layers and what lies above them."""

    Options: ClassVar[type[Options]] = FrozenOptions
    summary: ClassVar[str] = (
        "only the top `trainable_layers` layers move; 0 is the linear probe, solved as a convex problem"
    )

    def why_not(self, layers: int, width: int) -> str:
        """Refuses more layers than there are."""
        del width
        if self.options.trainable_layers > layers:
            return (
                f"frozen with trainable_layers = {self.options.trainable_layers} needs as many layers; the backbone "
                f"has {layers}; use at most {layers}, or full to move everything"
            )
        return ""

    @property
    def moves_head_only(self) -> bool:
        """Whether no layer moves: the probe."""
        return self.options.trainable_layers == 0

    def whole_layers(self, layers: int) -> int:
        """The top ones."""
        return min(self.options.trainable_layers, layers)

    def frozen_below(self, backbone: Tunable) -> int:
        """Every layer below the ones that move; all of it for the probe."""
        if self.options.trainable_layers == 0 and not backbone.fresh:
            return backbone.layers_count + 1
        return backbone.layers_count - self.options.trainable_layers

    def apply(self, backbone: Tunable) -> None:
        """Marks the top layers and what lies above them; with 0 layers, nothing but what is fresh."""
        freeze(backbone)
        if self.options.trainable_layers == 0:
            return
        lowest = backbone.layers_count - self.options.trainable_layers + 1
        for name, parameter in backbone.used():
            if backbone.depth(name) >= lowest:
                parameter.requires_grad_(True)
