"""BitFit: only the bias terms of the layers move (Ben-Zaken et al. 2022)."""

from __future__ import annotations

from typing import ClassVar, Literal

from attune.core.recipe import Options
from attune.methods.base import Method, Tunable, freeze


class BiasOptions(Options):
    """Only bias terms move."""

    name: Literal["bias"] = "bias"


class Bias(Method):
    """Moves the bias terms of the layers and of what lies above them: of linear maps and of norms."""

    Options: ClassVar[type[Options]] = BiasOptions
    needs: ClassVar[frozenset[str]] = frozenset({"bias_terms"})
    summary: ClassVar[str] = "only the layers' bias terms move (BitFit); about a thousandth of the parameters"
    rate: ClassVar[float] = 1e-3
    head_rate: ClassVar[float] = 1e-3

    def apply(self, backbone: Tunable) -> None:
        """Marks the bias terms from the first layer up."""
        freeze(backbone)
        for name, parameter in backbone.used():
            if name.endswith(".bias") and backbone.depth(name) > 0:
                parameter.requires_grad_(True)
