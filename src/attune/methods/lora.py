"""LoRA: low-rank updates beside the linear maps of every layer (Hu et al. 2021), by peft."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from peft import LoraConfig
from pydantic import Field
from safetensors.torch import load_file
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from attune.core.recipe import Options
from attune.methods import peft_layout as layout
from attune.methods.base import Layered, Method, Tunable
from attune.methods.lora_sum import DOWN, UP, add_up
from attune.methods.maps import within


class LoraOptions(Options):
    """Low-rank updates beside the linear maps of every layer."""

    name: Literal["lora"] = "lora"
    rank: int = Field(16, ge=1)
    """Rank of the updates."""
    alpha: float = Field(32.0, gt=0)
    """Scale; the update is multiplied by alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout probability before the update."""
    targets: Literal["all", "attention"] = "all"
    """Which linear maps of each layer: all of them, or those of attention."""
    rslora: bool = False
    """Multiply by alpha / √rank instead, so that a high rank learns as fast as a low one (rsLoRA)."""
    dora: bool = False
    """Learn the length of every weight row apart from its direction (DoRA); slower."""
    init: Literal["zero", "pissa", "olora"] = "zero"
    """Where the updates begin: at zero, at the weight's principal components (PiSSA), or at its QR factors (OLoRA).
    The last two want about a fifth of the learning rate."""


class Lora(Method):
    """Moves low-rank updates; the published weights stay.

    rsLoRA is Kalajdzievski 2023, DoRA Liu et al. 2024, PiSSA Meng et al. 2024, OLoRA Büyükakyüz 2024; all by peft.

    PiSSA and OLoRA take the updates' start out of the weights. What is saved is relative to the published weights all
    the same: W - s·B₀A₀ + s·BA = W + s·[B, -B₀][A; A₀] is ordinary LoRA of twice the rank.

    Args:
        options: Validated options.
    """

    Options: ClassVar[type[Options]] = LoraOptions
    needs: ClassVar[frozenset[str]] = frozenset({"linear_layers"})
    summary: ClassVar[str] = "low-rank updates beside each layer's linear maps; small bundles, many on one backbone"
    rate: ClassVar[float] = 1e-3
    head_rate: ClassVar[float] = 1e-3

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.started: dict[str, Tensor] = {}
        """The updates that were taken out of the weights, by name; empty where they began at zero."""

    def why_not(self, layers: int, width: int) -> str:
        """Refuses a rank that is no longer low."""
        del layers
        return layout.too_wide("lora", "rank", self.options.rank, width)

    def no_place(self, outline: Callable[[], Layered]) -> str:
        """Refuses a start that peft computes of no weight kept the other way round."""
        if self.options.init != "olora":
            return ""
        turned = [
            name
            for own in within(outline(), self.options.targets)
            for name, module in own.items()
            if isinstance(module, Conv1D)
        ]
        if not turned:
            return ""
        return (
            f'lora with init = "olora" reads weights with outputs before inputs, and those of {", ".join(turned)} are '
            'the other way round; use init = "zero" or "pissa"'
        )

    def apply(self, backbone: Tunable) -> None:
        """Wraps the network in a `PeftModel`."""
        config = LoraConfig(
            r=self.options.rank,
            lora_alpha=self.options.alpha,  # pyright: ignore[reportArgumentType] peft annotates int and computes with floats
            lora_dropout=self.options.dropout,
            target_modules=layout.pattern(backbone, within(backbone, self.options.targets)),
            bias="none",
            use_rslora=self.options.rslora,
            use_dora=self.options.dora,
            init_lora_weights=True if self.options.init == "zero" else self.options.init,
        )
        layout.wrap(backbone, config)
        if self.options.init != "zero":
            self.started = {name: value.clone() for name, value in updates(backbone).items()}

    def merge(self, backbone: Tunable) -> None:
        """Adds the updates to the published weights."""
        layout.merge(backbone)

    @staticmethod
    def summed(parts: Sequence[tuple[LoraOptions, Path]], shares: Sequence[float], folder: Path) -> dict[str, Any]:
        """Writes the weighted sum of several adapters, as ordinary LoRA, where `load` finds it.

        Args:
            parts: The options of each, and where `save` wrote it.
            shares: Weights, which sum to one.
            folder: An empty folder.

        Returns:
            The options that the sum has.
        """
        rank = add_up([place for _, place in parts], shares, folder)
        everywhere = any(options.targets == "all" for options, _ in parts)
        targets = "all" if everywhere else "attention"
        return {"rank": rank, "alpha": float(rank), "targets": targets, "rslora": False, "init": "zero"}

    def save(self, backbone: Tunable, folder: Path, published: str) -> None:
        """Writes PEFT's own layout, relative to the published weights."""
        if not self.started:
            layout.save(backbone, folder, published)
            return
        # peft has a conversion of its own, which inserts a second adapter for it and loses DoRA's lengths
        tensors: dict[str, Tensor] = {**backbone.network.state_dict()}
        for name, start in self.started.items():
            start = start.to(tensors[name].device)
            tensors[name] = torch.cat((tensors[name], start)) if DOWN in name else torch.cat((tensors[name], -start), 1)
        alpha = self.options.alpha * (math.sqrt(2) if self.options.rslora else 2)
        changes = {"r": 2 * self.options.rank, "lora_alpha": alpha, "init_lora_weights": True}
        layout.save(backbone, folder, published, tensors=tensors, **changes)

    def load(self, backbone: Tunable, folder: Path) -> None:
        """Restores PEFT's layout."""
        if not self.started:
            layout.load(backbone, folder)
            return
        tensors = load_file(folder / layout.WEIGHTS)
        started: dict[str, Tensor] = {}
        for name in [name for name in tensors if DOWN in name or UP in name]:
            halves = tensors[name].chunk(2, 0 if DOWN in name else 1)
            tensors[name] = halves[0].contiguous()
            owner = name.removesuffix("weight") + f"{layout.ADAPTER}.weight"
            started[owner] = halves[1].contiguous() if DOWN in name else -halves[1].contiguous()
        layout.load(backbone, folder, tensors)
        self._start_from(backbone, started)

    def _start_from(self, backbone: Tunable, started: dict[str, Tensor]) -> None:
        """Takes the saved start out of the weights in place of this machine's, which may differ by rounding or sign."""
        for down in [name for name in started if DOWN in name]:
            up = down.replace(DOWN, UP)
            if all(torch.equal(started[name], self.started[name]) for name in (down, up)):
                continue
            module: Any = backbone.network.get_submodule(down.split(DOWN)[0])
            change = self.started[up] @ self.started[down] - started[up] @ started[down]
            weight = module.base_layer.weight
            with torch.no_grad():
                added = (module.scaling[layout.ADAPTER] * change).to(weight.device)
                weight.add_(added.T if module.fan_in_fan_out else added)
        self.started = started


def updates(backbone: Tunable) -> dict[str, Tensor]:
    """Both factors of every update, by name."""
    state: dict[str, Tensor] = backbone.network.state_dict()
    return {name: value for name, value in state.items() if DOWN in name or UP in name}
