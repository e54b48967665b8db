"""The weighted sum of LoRA adapters, as one LoRA adapter whose rank is the sum of theirs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from attune.core.files import read_json
from attune.errors import UnsupportedError
from attune.methods.peft_layout import CONFIG, FRESH, WEIGHTS

DOWN, UP = ".lora_A.", ".lora_B."


@dataclass(frozen=True)
class Part:
    """One adapter in PEFT's layout.

    Attributes:
        tensors: Both factors of every update, A `(r, D)` and B `(E, r)`, by name.
        rank: r.
        factor: Its share of the sum times its own scale.
    """

    tensors: dict[str, Tensor]
    rank: int
    factor: float

    def of(self, name: str, like: Tensor) -> Tensor:
        """A factor as it stands in the sum; zeros where this adapter leaves that map alone."""
        found = self.tensors.get(name)
        if DOWN in name:
            return like.new_zeros(self.rank, like.shape[1]) if found is None else found
        return like.new_zeros(like.shape[0], self.rank) if found is None else self.factor * found


def add_up(folders: Sequence[Path], shares: Sequence[float], out: Path) -> int:
    """Writes Σ wᵢ·sᵢ·BᵢAᵢ as [w₁s₁B₁, w₂s₂B₂, …][A₁; A₂; …], which is exact; and the mean of what is fresh.

    That is `add_weighted_adapter(combination_type="cat")` of peft, which wants a network with all the adapters in it,
    and scales the sum wrongly where its first adapter is an rsLoRA.

    Args:
        folders: Adapters in PEFT's layout, relative to the same weights.
        shares: wᵢ, which sum to one.
        out: Where to write the tensors.

    Returns:
        The rank of the sum; its scale is one.

    Raises:
        UnsupportedError: One of them is a DoRA adapter.
    """
    parts = [read(folder, share) for folder, share in zip(folders, shares, strict=True)]
    likes = {name: value for part in parts for name, value in part.tensors.items()}
    tensors = {
        name: torch.cat([part.of(name, like) for part in parts], 0 if DOWN in name else 1)
        for name, like in sorted(likes.items())
    }
    save_file(tensors, out / WEIGHTS)
    fresh = [load_file(folder / FRESH) for folder in folders if (folder / FRESH).is_file()]
    if fresh:
        mean = {
            name: torch.stack([share * one[name] for share, one in zip(shares, fresh, strict=True)]).sum(0)
            for name in fresh[0]
        }
        save_file(mean, out / FRESH)
    return sum(part.rank for part in parts)


def read(folder: Path, share: float) -> Part:
    """One adapter from its folder.

    Args:
        folder: PEFT's layout.
        share: Its weight in the sum.

    Returns:
        The part.

    Raises:
        UnsupportedError: It is a DoRA adapter.
    """
    config = read_json(folder / CONFIG)
    if config["use_dora"]:
        raise UnsupportedError(
            "a DoRA adapter sets the length of every weight row anew, which is no update that others could be added to",
            where=str(folder.parent),
            expected="bundles of lora with dora = false",
            remedy="tune it without dora, or keep the bundles apart, on one backbone, with `attune.switch`",
        )
    rank = int(config["r"])
    scale = config["lora_alpha"] / (math.sqrt(rank) if config["use_rslora"] else rank)
    return Part(load_file(folder / WEIGHTS), rank, share * scale)
