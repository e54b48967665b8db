"""LoRA: low-rank updates beside the linear maps of every layer (Hu et al. 2021), by peft."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any, ClassVar, Literal

from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import nn

from attune.core.recipe import Options
from attune.errors import BundleError
from attune.methods.base import Method, Tunable, moved, restore, sort_json

FRESH = "fresh.safetensors"


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


class Lora(Method):
    """Moves low-rank updates; the published weights stay."""

    Options: ClassVar[type[Options]] = LoraOptions
    needs: ClassVar[frozenset[str]] = frozenset({"linear_layers"})
    summary: ClassVar[str] = "low-rank updates beside each layer's linear maps; small bundles, many on one backbone"
    rate: ClassVar[float] = 1e-3
    head_rate: ClassVar[float] = 1e-3

    def why_not(self, layers: int, width: int) -> str:
        """Refuses a rank that is no longer low."""
        del layers
        if self.options.rank > width:
            return (
                f"lora with rank = {self.options.rank} is above the backbone's width of {width}; "
                f"use a rank of at most {width}, or full"
            )
        return ""

    def apply(self, backbone: Tunable) -> None:
        """Wraps the network in a `PeftModel`."""
        fresh = backbone.fresh
        config = LoraConfig(
            r=self.options.rank,
            lora_alpha=self.options.alpha,  # pyright: ignore[reportArgumentType] peft annotates int and computes with floats
            lora_dropout=self.options.dropout,
            target_modules=targets(backbone, self.options.targets),
            bias="none",
        )
        with warnings.catch_warnings():  # transformers warns of a name of its own that peft still reads
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            backbone.network = get_peft_model(backbone.network, config)
        for name, parameter in backbone.network.named_parameters():
            if plain(name) in fresh:
                parameter.requires_grad_(True)

    def merge(self, backbone: Tunable) -> None:
        """Adds the updates to the published weights."""
        network: PeftModel = backbone.network
        backbone.network = network.merge_and_unload()  # pyright: ignore[reportCallIssue]

    def save(self, backbone: Tunable, folder: Path, published: str) -> None:
        """Writes PEFT's own layout, and beside it what the published checkpoint does not hold."""
        network: PeftModel = backbone.network
        network.peft_config["default"].base_model_name_or_path = published
        network.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)
        sort_json(folder / "adapter_config.json", base_model_name_or_path=published, inference_mode=True)
        fresh = {name: value for name, value in moved(backbone).items() if plain(name) in backbone.fresh}
        if fresh:
            save_file(fresh, folder / FRESH)

    def load(self, backbone: Tunable, folder: Path) -> None:
        """Restores PEFT's layout."""
        path = folder / "adapter_model.safetensors"
        result: Any = set_peft_model_state_dict(backbone.network, load_file(path))
        if result.unexpected_keys:
            raise BundleError(
                f"holds tensors the adapter has no place for: {', '.join(result.unexpected_keys[:5])}",
                where=str(path),
                remedy="use the recipe and the backbone it was made with",
            )
        if (folder / FRESH).is_file():
            fresh = load_file(folder / FRESH)
            restore(backbone, {**moved(backbone), **fresh}, str(folder / FRESH))


def plain(name: str) -> str:
    """A parameter's name before PEFT wrapped it."""
    return name.removeprefix("base_model.model.").replace(".base_layer.", ".")


def targets(backbone: Tunable, which: str) -> str:
    """A pattern for the linear maps of the layers.

    Args:
        backbone: For the path of its layers.
        which: `all` or `attention`.

    Returns:
        A regular expression that PEFT matches against module names.
    """
    stack = backbone.network.get_submodule(backbone.layers_path)
    names = {name.split(".", 1)[1] for name, module in stack.named_modules() if isinstance(module, nn.Linear)}
    if which == "attention":
        names = {name for name in names if "att" in name.lower()}
    listed = "|".join(re.escape(name) for name in sorted(names))
    return rf"(.*\.)?{re.escape(backbone.layers_path)}\.\d+\.({listed})"
