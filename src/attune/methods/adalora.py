"""AdaLoRA: low-rank updates whose ranks are given to the maps that need them (Zhang et al. 2023), by peft."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from peft import AdaLoraConfig
from pydantic import Field
from torch import Tensor

from attune.core.files import read_json
from attune.core.recipe import Options
from attune.methods import peft_layout as layout
from attune.methods.base import Method, Tunable
from attune.methods.maps import within


class AdaLoraOptions(Options):
    """Low-rank updates whose ranks a budget shares out while training."""

    name: Literal["adalora"] = "adalora"
    target_rank: int = Field(8, ge=1)
    """Mean rank of the updates at the end: the budget."""
    initial_rank: int = Field(12, ge=2)
    """Rank of every update at the start; above `target_rank`."""
    alpha: float = Field(32.0, gt=0)
    """Scale; the update is multiplied by alpha / initial_rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout probability before the update."""
    targets: Literal["all", "attention"] = "all"
    """Which linear maps of each layer: all of them, or those of attention."""
    warm_share: float = Field(0.1, ge=0, lt=1)
    """Share of the steps, at the start, in which every rank stays."""
    final_share: float = Field(0.3, ge=0, lt=1)
    """Share of the steps, at the end, in which the ranks stay as they were shared out."""
    interval: int = Field(10, ge=1)
    """Steps between two sharings out."""
    orthogonal: float = Field(0.5, ge=0)
    """Strength of the penalty that keeps each update's vectors orthogonal."""


class AdaLora(Method):
    """Moves updates P·E·Q of singular-value form and sets to zero the values that matter least.

    The budget falls from `initial_rank` to `target_rank` by a cubic schedule between the warm and the final share of
    the run. What matters is told by the smoothed product of weight and gradient and by how much that varies.
    """

    Options: ClassVar[type[Options]] = AdaLoraOptions
    needs: ClassVar[frozenset[str]] = frozenset({"linear_layers"})
    summary: ClassVar[str] = "low-rank updates whose ranks go, during training, to the linear maps that need them"
    rate: ClassVar[float] = 2e-3
    head_rate: ClassVar[float] = 1e-3

    def why_not(self, layers: int, width: int) -> str:
        """Refuses a rank that is no longer low, a budget that has nothing to share out, and no time to do it in."""
        del layers
        options = self.options
        if options.target_rank >= options.initial_rank:
            return (
                f"adalora with initial_rank = {options.initial_rank} and target_rank = {options.target_rank} has no "
                f"ranks to take away; use a target_rank of at most {options.initial_rank - 1}, or lora for equal ranks"
            )
        if options.warm_share + options.final_share >= 1:
            return (
                f"adalora with warm_share = {options.warm_share} and final_share = {options.final_share} leaves no "
                "steps to share ranks out in; use shares of less than 1 together"
            )
        return layout.too_wide("adalora", "initial_rank", options.initial_rank, width)

    def apply(self, backbone: Tunable) -> None:
        """Wraps the network in a `PeftModel`; the schedule is set by the first step, which knows the run's length."""
        config = AdaLoraConfig(
            target_r=self.options.target_rank,
            init_r=self.options.initial_rank,
            lora_alpha=self.options.alpha,  # pyright: ignore[reportArgumentType] peft annotates int and computes with floats
            lora_dropout=self.options.dropout,
            deltaT=self.options.interval,
            orth_reg_weight=self.options.orthogonal,
            total_step=1,
            target_modules=layout.pattern(backbone, within(backbone, self.options.targets)),
            bias="none",
        )
        layout.wrap(backbone, config)

    def after_backward(self, backbone: Tunable, step: int, steps: int) -> None:
        """Notes what mattered in this step, and takes away ranks by the schedule.

        A run too short to learn what matters (one step before the final share) keeps every rank.
        """
        config = backbone.network.peft_config[layout.ADAPTER]
        config.total_step = steps
        config.tinit, config.tfinal = int(self.options.warm_share * steps), int(self.options.final_share * steps)
        if steps - config.tfinal > 1:
            backbone.network.base_model.update_and_allocate(step)

    def penalty(self, backbone: Tunable) -> Tensor:
        """How far the vectors are from orthogonal: the mean of ‖PᵀP - I‖ and ‖QQᵀ - I‖ over all updates (eq. 4)."""
        far: list[Tensor] = []
        for name, factor in backbone.network.named_parameters():
            if ".lora_A." in name or ".lora_B." in name:
                rows = factor if ".lora_A." in name else factor.T
                far.append(torch.linalg.norm(rows @ rows.T - torch.eye(len(rows), device=rows.device)))
        return self.options.orthogonal * torch.stack(far).mean()

    def progress(self, backbone: Tunable) -> dict[str, Tensor]:
        """The smoothed importances, and which ranks are kept."""
        allocator = backbone.network.base_model.rankallocator
        kept: dict[str, list[bool]] = backbone.network.peft_config[layout.ADAPTER].rank_pattern or {}
        return {
            **{f"sensitivity.{name}": value for name, value in allocator.exp_avg_ipt.items()},
            **{f"uncertainty.{name}": value for name, value in allocator.exp_avg_unc.items()},
            **{f"kept.{name}": torch.tensor(value) for name, value in kept.items()},
        }

    def resume(self, backbone: Tunable, progress: dict[str, Tensor]) -> None:
        """Puts back what `progress` told."""
        network = backbone.network
        own = dict(network.base_model.model.named_parameters())
        found: dict[str, dict[str, Tensor]] = {"sensitivity": {}, "uncertainty": {}, "kept": {}}
        for key, value in progress.items():
            kind, _, name = key.partition(".")
            found[kind][name] = value.to(own[name].device)
        allocator = network.base_model.rankallocator
        allocator.exp_avg_ipt, allocator.exp_avg_unc = found["sensitivity"], found["uncertainty"]
        allocator.ipt = {name: torch.zeros_like(value) for name, value in found["sensitivity"].items()}
        kept = {name: value.tolist() for name, value in found["kept"].items()}
        network.peft_config[layout.ADAPTER].rank_pattern = kept or None

    def merge(self, backbone: Tunable) -> None:
        """Adds the updates to the published weights."""
        layout.merge(backbone)

    def save(self, backbone: Tunable, folder: Path, published: str) -> None:
        """Cuts what the budget took away out of the network, then writes it in PEFT's own layout."""
        prune(backbone.network, self.options.initial_rank)
        with warnings.catch_warnings():  # an update may have lost every rank; peft takes that for a lost shard
            warnings.filterwarnings("ignore", ".*zero-sized lora_A / lora_B", UserWarning)
            layout.save(backbone, folder, published)

    def load(self, backbone: Tunable, folder: Path) -> None:
        """Restores PEFT's layout, each update with the rank it was left with."""
        config = backbone.network.peft_config[layout.ADAPTER]
        config.rank_pattern = read_json(folder / layout.CONFIG)["rank_pattern"]
        layout.load(backbone, folder)


def prune(network: Any, initial_rank: int) -> None:
    """Makes every update as small as the singular values that are not zero.

    Told by the values and not by the last sharing out, for the weights may be those of an earlier, better epoch.

    Args:
        network: The `PeftModel`; changed in place, its answers stay.
        initial_rank: Rank of every update at the start.
    """
    values = {name: value for name, value in network.base_model.model.named_parameters() if ".lora_E." in name}
    kept = {name: (value != 0).flatten().tolist() for name, value in values.items()}
    smaller = {name: found for name, found in kept.items() if not all(found)}
    network.base_model.resize_modules_by_rank_pattern(smaller, layout.ADAPTER)
    network.train(network.training)  # peft makes the dropout of a resized update anew, as if in training
    network.peft_config[layout.ADAPTER].rank_pattern = {
        name: [rank < sum(found) for rank in range(initial_rank)] for name, found in kept.items()
    }
