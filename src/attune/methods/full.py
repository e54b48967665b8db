"""Full tuning: every parameter that the features depend on moves."""

from __future__ import annotations

from typing import ClassVar, Literal

from attune.core.recipe import Options
from attune.methods.base import Method, Tunable, freeze


class FullOptions(Options):
    """Every parameter moves."""

    name: Literal["full"] = "full"


class Full(Method):
    """Moves the whole backbone."""

    Options: ClassVar[type[Options]] = FullOptions
    summary: ClassVar[str] = "every parameter moves; best score with enough rows, largest bundle"

    def whole_layers(self, layers: int) -> int:
        """All of them."""
        return layers

    def apply(self, backbone: Tunable) -> None:
        """Marks every parameter that the features depend on."""
        freeze(backbone)
        for _, parameter in backbone.used():
            parameter.requires_grad_(True)
