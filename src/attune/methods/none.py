"""No training: nothing moves, the head included; the head answers from label texts and a few rows."""

from __future__ import annotations

from typing import ClassVar, Literal

from attune.core.recipe import Options
from attune.methods.base import Method, Tunable, freeze


class NoneOptions(Options):
    """Nothing moves."""

    name: Literal["none"] = "none"


class Nothing(Method):
    """Moves nothing; no step is taken and no learning rate is read.

    What the published checkpoint does not hold (the random layer some families read a first token through) does not
    move either, but is saved, for without it a bundle would not answer as it did.
    """

    Options: ClassVar[type[Options]] = NoneOptions
    trains: ClassVar[bool] = False
    summary: ClassVar[str] = "nothing moves, the head included; for heads that answer from label texts"

    def frozen_below(self, backbone: Tunable) -> int:
        """All of it."""
        return backbone.layers_count + 1

    def apply(self, backbone: Tunable) -> None:
        """Marks nothing but what is fresh, which is how `save` knows it."""
        freeze(backbone)
