"""Bottleneck adapters: small networks inserted into every layer; the published weights stay."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from threading import get_ident
from typing import ClassVar, Literal

from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from attune.core.recipe import Options
from attune.errors import UnsupportedError
from attune.methods.base import WEIGHTS, Layered, Method, Tunable, freeze, moved, restore
from attune.methods.maps import layers, sizes
from attune.methods.sublayers import Sublayers, find

ADAPTERS = "adapters"


class AdapterOptions(Options):
    """Small networks inserted into every layer."""

    name: Literal["adapter"] = "adapter"
    style: Literal["houlsby", "pfeiffer", "parallel"] = "houlsby"
    """Where: after attention and after the feed-forward, after the feed-forward only, or beside the feed-forward."""
    reduction: int = Field(16, ge=1)
    """Width of the backbone divided by the units of the bottleneck."""
    bottleneck: int = Field(0, ge=0)
    """Units of the bottleneck. 0: the width divided by `reduction`."""
    activation: Literal["relu", "gelu"] = "relu"
    """The function between the two maps."""
    scale: float | None = Field(None, gt=0)
    """Factor on what an adapter adds. Not given: 4 for `parallel`, 1 for the others."""
    top_layers: int = Field(0, ge=0)
    """Layers at the top that get adapters, so that those below stay the same all run. 0: every layer."""


class Bottleneck(nn.Module):
    """Two linear maps with a function between them, added to the features that flow by.

    The second map begins at zero, so that the backbone begins as published. It is joined to the backbone by hooks
    on modules that are there: no parameter of the backbone gets another name.

    Args:
        width: D, features outside.
        units: Features inside.
        activation: `relu` or `gelu`.
        scale: Factor on what is added.
    """

    def __init__(self, width: int, units: int, activation: str, scale: float) -> None:
        super().__init__()
        self.down = nn.Linear(width, units)
        self.activation = nn.ReLU() if activation == "relu" else nn.GELU()
        self.up = nn.Linear(units, width)
        self.scale = scale
        self._read: dict[int, Tensor] = {}
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, features: Tensor) -> Tensor:
        """What is added, `(B, T, D)` like the features."""
        return self.scale * self.up(self.activation(self.down(features)))

    def after(self, last: nn.Module) -> None:
        """Joins it after a sub-layer: it reads what the sub-layer's last map gives."""
        last.register_forward_hook(self._add_own)

    def beside(self, first: nn.Module, last: nn.Module) -> None:
        """Joins it beside a sub-layer: it reads what the first map reads, and adds to what the last map gives."""
        first.register_forward_pre_hook(self._keep)
        last.register_forward_hook(self._add_kept)

    def _add_own(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        del module, inputs
        return output + self(output)

    def _keep(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        del module
        self._read[get_ident()] = inputs[0]  # by thread: two may be in one layer at once

    def _add_kept(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        del module, inputs
        return output + self(self._read.pop(get_ident()))


class Adapter(Method):
    """Moves bottleneck adapters, and nothing that was published.

    `houlsby` is after attention and after the feed-forward, before the skip connection (Houlsby et al. 2019);
    `pfeiffer` after the feed-forward only, in the place He et al. 2022 compare (Pfeiffer et al. 2021 read through the
    layer's norm); `parallel` reads what the feed-forward reads and adds to its output (He et al. 2022). The norms of
    the layers stay as published in all three, and dropout comes after the adapter.
    """

    Options: ClassVar[type[Options]] = AdapterOptions
    needs: ClassVar[frozenset[str]] = frozenset({"linear_layers"})
    summary: ClassVar[str] = "small networks inserted into every layer; small bundles that cannot be merged"
    cannot_merge: ClassVar[str] = (
        "the function between an adapter's two maps is not linear, so that no weights of the backbone do the same"
    )
    rate: ClassVar[float] = 3e-3
    head_rate: ClassVar[float] = 1e-3

    def why_not(self, layers: int, width: int) -> str:
        """Refuses a bottleneck that is none, and more layers than there are."""
        options = self.options
        if options.top_layers > layers:
            return (
                f"adapter with top_layers = {options.top_layers} needs as many layers; the backbone has {layers}; "
                f"use at most {layers}, or 0 for every layer"
            )
        if options.bottleneck > width:
            return (
                f"adapter with bottleneck = {options.bottleneck} is wider than the backbone's width of {width}; "
                f"use at most {width} units, or full"
            )
        if self._units(width) < 1:
            return (
                f"adapter with reduction = {options.reduction} leaves no unit of the backbone's width of {width}; "
                f"use a reduction of at most {width}"
            )
        return ""

    def no_place(self, outline: Callable[[], Layered]) -> str:
        """Refuses a network in whose layers the sub-layers cannot be told."""
        try:
            self._places(outline())
        except UnsupportedError as error:
            return f"adapter: {error.found}; {error.remedy}"
        return ""

    def frozen_below(self, backbone: Tunable) -> int:
        """Every layer below the lowest adapter."""
        return backbone.layers_count - self.options.top_layers if self.options.top_layers else 0

    def apply(self, backbone: Tunable) -> None:
        """Inserts the adapters; nothing else moves but what is fresh."""
        places = self._places(backbone)
        freeze(backbone)
        below = self.frozen_below(backbone)
        for (_, layer), place in list(zip(layers(backbone), places, strict=True))[below:]:
            layer.add_module(ADAPTERS, self._inserted(place))

    def save(self, backbone: Tunable, folder: Path, published: str) -> None:
        """Writes the adapters, named by layer (`adapters.0.attention.down.weight`), and what is fresh."""
        del published
        tensors = moved(backbone)
        for index, (path, _) in enumerate(layers(backbone)):
            own, short = f"{path}.{ADAPTERS}.", f"{ADAPTERS}.{index}."
            tensors = {name.replace(own, short) if name.startswith(own) else name: tensors[name] for name in tensors}
        save_file(tensors, folder / WEIGHTS)

    def load(self, backbone: Tunable, folder: Path) -> None:
        """Restores what `save` wrote."""
        paths = [path for path, _ in layers(backbone)]
        tensors = {
            re.sub(rf"^{ADAPTERS}\.(\d+)\.", lambda found: f"{paths[int(found[1])]}.{ADAPTERS}.", name): value
            for name, value in load_file(folder / WEIGHTS).items()
        }
        restore(backbone, tensors, str(folder / WEIGHTS))

    def _places(self, backbone: Layered) -> list[Sublayers]:
        places = find(backbone)
        if self.options.style == "houlsby" and any(place.attention is None for place in places):
            raise UnsupportedError(
                f"no attention that ends with a linear map in the layers of {type(backbone.network).__name__}",
                where=", ".join(stack.path for stack in backbone.stacks),
                remedy='use style = "pfeiffer" or "parallel", which need the feed-forward only',
            )
        return places

    def _inserted(self, place: Sublayers) -> nn.ModuleDict:
        made = {"feed_forward": self._bottleneck(sizes(place.narrow)[1])}
        if self.options.style == "parallel":
            made["feed_forward"].beside(place.wide, place.narrow)
        else:
            made["feed_forward"].after(place.narrow)
        if self.options.style == "houlsby" and place.attention is not None:
            made["attention"] = self._bottleneck(sizes(place.attention)[1])
            made["attention"].after(place.attention)
        return nn.ModuleDict(made)

    def _bottleneck(self, width: int) -> Bottleneck:
        scale = self.options.scale or (4.0 if self.options.style == "parallel" else 1.0)
        return Bottleneck(width, self._units(width), self.options.activation, scale)

    def _units(self, width: int) -> int:
        return self.options.bottleneck or width // self.options.reduction
