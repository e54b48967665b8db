"""What the methods that peft has share: wrapping the network, finding its linear maps, peft's own layout on disk."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from peft import PeftConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor

from attune.errors import BundleError
from attune.methods.base import Tunable, moved, restore, sort_json

ADAPTER = "default"
"""The name peft gives the one adapter of a network."""
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
FRESH = "fresh.safetensors"


def wrap(backbone: Tunable, config: PeftConfig) -> None:
    """Wraps the network in a `PeftModel`; what the published checkpoint does not hold moves as well.

    Args:
        backbone: A fresh backbone; changed in place.
        config: What peft inserts, and where.
    """
    fresh = backbone.fresh
    with warnings.catch_warnings():  # transformers warns of a name of its own that peft still reads
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        # peft sees for itself which way round a weight is, and says so
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to", UserWarning)
        backbone.network = get_peft_model(backbone.network, config)
    for name, parameter in backbone.network.named_parameters():
        if plain(name) in fresh:
            parameter.requires_grad_(True)


def merge(backbone: Tunable) -> None:
    """Folds what peft inserted into the published weights, and takes the wrapping off."""
    network: PeftModel = backbone.network
    backbone.network = network.merge_and_unload()  # pyright: ignore[reportCallIssue]


def save(
    backbone: Tunable, folder: Path, published: str, *, tensors: Mapping[str, Tensor] | None = None, **changes: Any
) -> None:
    """Writes PEFT's own layout, and beside it what the published checkpoint does not hold.

    Args:
        backbone: The tuned backbone.
        folder: An empty folder.
        published: Name of the checkpoint that the adapter is relative to.
        tensors: What to write in place of the network's own state, by the same names.
        **changes: Values of adapter_config.json that differ from the network's.
    """
    network: PeftModel = backbone.network
    network.peft_config[ADAPTER].base_model_name_or_path = published
    network.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False, state_dict=tensors)
    (folder / "README.md").unlink(missing_ok=True)
    sort_json(folder / CONFIG, base_model_name_or_path=published, inference_mode=True, **changes)
    fresh = {name: value for name, value in moved(backbone).items() if plain(name) in backbone.fresh}
    if fresh:
        save_file(fresh, folder / FRESH)


def load(backbone: Tunable, folder: Path, tensors: dict[str, Tensor] | None = None) -> None:
    """Restores what `save` wrote.

    Args:
        backbone: A fresh backbone, wrapped.
        folder: Where `save` wrote.
        tensors: What to restore in place of the folder's own, by the same names.

    Raises:
        BundleError: There are tensors that the adapter has no place for.
    """
    path = folder / WEIGHTS
    result: Any = set_peft_model_state_dict(backbone.network, load_file(path) if tensors is None else tensors)
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


def pattern(backbone: Tunable, names: Sequence[Collection[str]]) -> str:
    """A pattern for some modules of every layer.

    Args:
        backbone: For the paths of its stacks.
        names: Of every stack the names within a layer.

    Returns:
        A regular expression that PEFT matches against module names.
    """
    each = [
        rf"{re.escape(stack.path)}\.\d+\.({'|'.join(re.escape(name) for name in sorted(own))})"
        for stack, own in zip(backbone.stacks, names, strict=True)
    ]
    return rf"(.*\.)?{each[0]}" if len(each) == 1 else rf"(.*\.)?({'|'.join(each)})"


def too_wide(method: str, option: str, rank: int, width: int) -> str:
    """Why a rank is no longer low; empty where it is.

    Args:
        method: The method's name.
        option: The option that holds the rank.
        rank: Its value.
        width: Features of the backbone.

    Returns:
        A sentence, or nothing.
    """
    if rank <= width:
        return ""
    return (
        f"{method} with {option} = {rank} is above the backbone's width of {width}; "
        f"use a rank of at most {width}, or full"
    )
