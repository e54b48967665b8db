"""The method `norms`: only the gains and biases of the layer norms move (Zhao et al. 2023)."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import nn

from attune.core.recipe import Options
from attune.methods.base import Method, Tunable, freeze


class NormsOptions(Options):
    """Only layer norms move."""

    name: Literal["norms"] = "norms"


class Norms(Method):
    """Moves the gains and biases of every layer norm that the features depend on."""

    Options: ClassVar[type[Options]] = NormsOptions
    summary: ClassVar[str] = "only the gains and biases of layer norms move"
    rate: ClassVar[float] = 3e-3

    def apply(self, backbone: Tunable) -> None:
        """Marks the parameters of the layer norms; everything else stays as published."""
        freeze(backbone)
        norms = {name for name, module in backbone.network.named_modules() if isinstance(module, nn.LayerNorm)}
        for name, parameter in backbone.used():
            if name.rpartition(".")[0] in norms:
                parameter.requires_grad_(True)
