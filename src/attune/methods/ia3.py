"""(IA)³: a learned factor on keys, values and the inner features of every layer (Liu et al. 2022), by peft."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Literal

from peft import IA3Config

from attune.core.recipe import Options
from attune.errors import UnsupportedError
from attune.methods import peft_layout as layout
from attune.methods.base import Method, Tunable
from attune.methods.maps import within

KEYS_AND_VALUES = re.compile(r"(^|_)(k|key|v|value)(_|$)|qkv|c_attn|in_proj", re.IGNORECASE)
"""Attention's maps to keys and to values, by the last part of their name; or the one map that makes them all."""


class Ia3Options(Options):
    """Learned factors on keys, values and inner features."""

    name: Literal["ia3"] = "ia3"


class Ia3(Method):
    """Moves one factor a feature; the published weights stay.

    The factors scale the keys and values of attention, and what the last map of a layer's feed-forward part reads.
    Where one map makes queries, keys and values together, the queries are scaled with them, as peft does.
    """

    Options: ClassVar[type[Options]] = Ia3Options
    needs: ClassVar[frozenset[str]] = frozenset({"linear_layers"})
    summary: ClassVar[str] = "learned factors on keys, values and inner features; the smallest bundles of all"
    decays: ClassVar[bool] = False
    rate: ClassVar[float] = 5e-3
    head_rate: ClassVar[float] = 1e-3

    def apply(self, backbone: Tunable) -> None:
        """Wraps the network in a `PeftModel`."""
        scaled, read = factors(backbone)
        config = IA3Config(
            target_modules=layout.pattern(backbone, [[*own, last] for own, last in zip(scaled, read, strict=True)]),
            feedforward_modules=layout.pattern(backbone, [[last] for last in read]),
        )
        layout.wrap(backbone, config)

    def merge(self, backbone: Tunable) -> None:
        """Multiplies the factors into the published weights and biases."""
        layout.merge(backbone)

    def save(self, backbone: Tunable, folder: Path, published: str) -> None:
        """Writes PEFT's own layout."""
        layout.save(backbone, folder, published)

    def load(self, backbone: Tunable, folder: Path) -> None:
        """Restores PEFT's layout."""
        layout.load(backbone, folder)


def factors(backbone: Tunable) -> tuple[list[list[str]], list[str]]:
    """Where the factors go.

    Args:
        backbone: For the linear maps of its layers.

    Returns:
        For each stack the maps whose output is scaled (keys and values), and the one whose input is: the last outside
        of attention.

    Raises:
        UnsupportedError: The layers have no such maps.
    """
    scaled: list[list[str]] = []
    read: list[str] = []
    for every, attention in zip(within(backbone), within(backbone, "attention"), strict=True):
        own = [name for name in attention if KEYS_AND_VALUES.search(name.rsplit(".", 1)[-1])]
        outside = [name for name in every if name not in attention]
        if not own or not outside:
            raise UnsupportedError(
                f"its layers' linear maps are {', '.join(every)}",
                where="[method] ia3",
                expected="maps to keys and values by their usual names, and a feed-forward part",
                remedy="use lora, which needs no names",
            )
        scaled.append(own)
        read.append(outside[-1])
    return scaled, read
