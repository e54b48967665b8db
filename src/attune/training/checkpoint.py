"""Checkpoints: everything a run needs to go on as if it had never died. Nothing is pickled."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.optim import Optimizer

from attune.core.files import canonical, read_json, whole_folder
from attune.model.assemble import Model
from attune.training import optimiser as optimisers
from attune.training.optimiser import moving


@dataclass
class State:
    """Where a run is.

    Attributes:
        step: Optimiser steps done.
        epochs: Epochs done, their evaluation included.
        best: Best value of the chosen metric so far.
        best_epoch: The epoch it was reached in, counted from 1; 0 for the start.
        stale: Epochs since then.
        loss: Sum of the training loss since the epoch began.
        weight: Sum of its weights.
        events: Bytes of events.jsonl that belong to the steps done.
    """

    step: int = 0
    epochs: int = 0
    best: float | None = None
    best_epoch: int = 0
    stale: int = 0
    loss: float = 0.0
    weight: float = 0.0
    events: int = 0
    plain: dict[str, Any] = field(default_factory=dict)


def weights(model: Model) -> dict[str, torch.Tensor]:
    """The parameters that move, copied to the host."""
    return {name: parameter.detach().cpu().contiguous().clone() for name, parameter in moving(model)}


def progress(model: Model) -> dict[str, torch.Tensor]:
    """What the method needs to go on, copied to the host."""
    found: dict[str, torch.Tensor] = model.method.progress(model.backbone)
    return {name: value.detach().cpu().contiguous().clone() for name, value in found.items()}


def put(model: Model, tensors: dict[str, torch.Tensor]) -> None:
    """Copies saved parameters back."""
    with torch.no_grad():
        for name, parameter in moving(model):
            parameter.copy_(tensors[name])


def save(folder: Path, model: Model, optimiser: Optimizer, state: State) -> None:
    """Writes a checkpoint whole, then removes older ones.

    Args:
        folder: The run's `checkpoints` folder.
        model: The model.
        optimiser: Its optimiser.
        state: Where the run is.
    """
    tensors, state.plain = optimisers.tensors(optimiser)
    target = folder / f"step-{state.step:08d}-{state.epochs:04d}"
    with whole_folder(target) as temporary:
        save_file(weights(model), temporary / "weights.safetensors")
        save_file(tensors, temporary / "optimiser.safetensors")
        save_file(progress(model), temporary / "method.safetensors")
        (temporary / "state.json").write_text(canonical(asdict(state)), encoding="utf-8")
    for old in sorted(folder.glob("step-*")):
        if old != target:
            shutil.rmtree(old)


def latest(folder: Path) -> Path | None:
    """The newest whole checkpoint."""
    found = sorted(folder.glob("step-*"))
    return found[-1] if found else None


def load(folder: Path, model: Model, optimiser: Optimizer) -> State:
    """Puts a run back to where a checkpoint was written.

    Args:
        folder: One checkpoint.
        model: The assembled model.
        optimiser: A fresh optimiser.

    Returns:
        Where the run is.
    """
    put(model, load_file(folder / "weights.safetensors"))
    state = State(**read_json(folder / "state.json"))
    model.method.resume(model.backbone, load_file(folder / "method.safetensors"))
    optimisers.restore(optimiser, load_file(folder / "optimiser.safetensors"), state.plain)
    return state


def save_weights(folder: Path, model: Model) -> None:
    """Writes the moved parameters whole, as `best` or `start`."""
    with whole_folder(folder) as temporary:
        save_file(weights(model), temporary / "weights.safetensors")


def load_weights(folder: Path, model: Model) -> None:
    """Restores what `save_weights` wrote."""
    put(model, load_file(folder / "weights.safetensors"))
