"""What every tuning method does; the defaults do nothing."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from attune.core.recipe import Options
from attune.errors import BundleError, CannotMerge

WEIGHTS = "weights.safetensors"


class Stacked(Protocol):
    """Layers that are run one after the other."""

    @property
    def path(self) -> str:
        """Module path."""
        ...

    @property
    def count(self) -> int:
        """Layers."""
        ...

    @property
    def width(self) -> int:
        """Features of a token between two layers."""
        ...

    @property
    def keys(self) -> int:
        """Features of a token's keys in attention, all heads together."""
        ...


class Layered(Protocol):
    """A network with stacked layers; its weights need not be there."""

    @property
    def network(self) -> Any:
        """The network."""
        ...

    @property
    def stacks(self) -> Sequence[Stacked]:
        """Its layers, in the order in which they are run: one stack, or an encoder's and a decoder's."""
        ...


class Tunable(Protocol):
    """What a method sees of a backbone."""

    network: Any
    fresh: frozenset[str]
    width: int
    tokenizer: Any
    taken: int
    """Positions that virtual tokens take, and the text can no longer have."""
    kernels: dict[str, str]
    """Attention kernels that stand in for others, by the name of those."""
    onward: ClassVar[bool]
    """Whether a token sees only itself and the tokens before it."""

    @property
    def stacks(self) -> Sequence[Stacked]:
        """The layers, in the order in which they are run."""
        ...

    @property
    def layers_count(self) -> int:
        """Layers of all stacks."""
        ...

    @property
    def reader(self) -> Any:
        """The module that reads a text and gives its last hidden states."""
        ...

    def attend(self, kernel: str) -> None:
        """Switches the attention kernel."""
        ...

    def used(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters that the features depend on."""
        ...

    def depth(self, name: str) -> int:
        """0 for embeddings, 1 to L for layers, L + 1 above."""
        ...


class Method(ABC):
    """Which parameters of a backbone move, and how exactly those are saved and restored.

    Args:
        options: Validated options.
    """

    Options: ClassVar[type[Options]]
    needs: ClassVar[frozenset[str]] = frozenset()
    trains: ClassVar[bool] = True
    """Whether any step is taken; where not, the head stays as it begins."""
    summary: ClassVar[str] = ""
    decays: ClassVar[bool] = True
    """Whether weight decay suits what moves in the backbone; not where its neutral value is other than 0."""
    cannot_merge: ClassVar[str] = ""
    """Why what was inserted cannot become part of the backbone's weights; empty where it can."""
    rate: ClassVar[float] = 5e-5
    head_rate: ClassVar[float] = 1e-3

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
    def apply(self, backbone: Tunable) -> None:
        """Marks what moves, and inserts what is new. In place; called once on a fresh backbone."""

    def why_not(self, layers: int, width: int) -> str:
        """Why these options cannot work on a backbone of that many layers and features; empty where they can."""
        del layers, width
        return ""

    @property
    def positions(self) -> int:
        """Positions of the backbone that virtual tokens take from the text; most methods take none."""
        return 0

    def no_place(self, outline: Callable[[], Layered]) -> str:
        """Why a network is not built as this method needs it; empty where it is.

        Args:
            outline: Makes the network without its weights.

        Returns:
            The reason and what works.
        """
        del outline
        return ""

    @property
    def moves_head_only(self) -> bool:
        """Whether nothing of the backbone moves, though the method trains."""
        return False

    def whole_layers(self, layers: int) -> int:
        """How many of that many layers move whole, from the top; 0 where no more than a part of each moves."""
        del layers
        return 0

    def frozen_below(self, backbone: Tunable) -> int:
        """Layers, counted from the embeddings as 1, whose features stay the same all run; L + 1 means all of it."""
        del backbone
        return 0

    def after_backward(self, backbone: Tunable, step: int, steps: int) -> None:
        """Called once an optimiser step, after it, with the step's gradients still there.

        Args:
            backbone: The backbone that was stepped.
            step: Optimiser steps done, this one included.
            steps: Optimiser steps of the whole run.
        """
        del backbone, step, steps

    def penalty(self, backbone: Tunable) -> torch.Tensor:
        """What is added to the mean loss of every optimiser step: a scalar; without a gradient it adds nothing."""
        del backbone
        return torch.zeros(())

    def progress(self, backbone: Tunable) -> dict[str, torch.Tensor]:
        """What a resume needs besides the parameters that move, by name."""
        del backbone
        return {}

    def resume(self, backbone: Tunable, progress: dict[str, torch.Tensor]) -> None:
        """Puts back what `progress` told, into a backbone to which `apply` was done."""
        del backbone, progress

    def merge(self, backbone: Tunable) -> None:
        """Folds what was inserted into the backbone's own weights, in place.

        Args:
            backbone: The tuned backbone.

        Raises:
            CannotMerge: The method declares in `cannot_merge` why that is not possible.
        """
        del backbone
        if self.cannot_merge:
            raise CannotMerge(
                f"{self.options.name} cannot be merged: {self.cannot_merge}",
                expected="a method that changes weights, such as lora or full",
                remedy="tune with lora, frozen or full where the merged weights are needed",
            )

    def save(self, backbone: Tunable, folder: Path, published: str) -> None:
        """Writes exactly what moved.

        Args:
            backbone: The tuned backbone.
            folder: An empty folder.
            published: Name of the checkpoint that the weights are relative to.
        """
        del published
        save_file(moved(backbone), folder / WEIGHTS)

    def load(self, backbone: Tunable, folder: Path) -> None:
        """Restores what `save` wrote, into a backbone to which `apply` was done.

        Args:
            backbone: The fresh backbone.
            folder: Where `save` wrote.

        Raises:
            BundleError: The tensors are not the ones that move.
        """
        restore(backbone, load_file(folder / WEIGHTS), str(folder / WEIGHTS))


def moved(backbone: Tunable) -> dict[str, torch.Tensor]:
    """The tensors that move, by name; empty tensors are not a thing, so nothing moved is an empty dictionary."""
    return {
        name: parameter.detach().contiguous().cpu().clone()
        for name, parameter in backbone.network.named_parameters()
        if parameter.requires_grad
    }


def restore(backbone: Tunable, tensors: dict[str, torch.Tensor], where: str) -> None:
    """Copies tensors onto the parameters that move; names and shapes must be the same."""
    own = {name: parameter for name, parameter in backbone.network.named_parameters() if parameter.requires_grad}
    if set(own) != set(tensors):
        odd = sorted(set(own) ^ set(tensors))
        raise BundleError(
            f"holds other tensors than the ones that move: {', '.join(odd[:5])}{' …' if len(odd) > 5 else ''}",
            where=where,
            expected=f"{len(own)} tensors",
            remedy="use the recipe and the backbone it was made with",
        )
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(tensors[name])


def freeze(backbone: Tunable) -> None:
    """Nothing moves, but what the published checkpoint does not hold."""
    for name, parameter in backbone.network.named_parameters():
        parameter.requires_grad_(name in backbone.fresh)


def sort_json(path: Path, **changes: Any) -> None:
    """Rewrites a JSON file with sorted keys and sorted lists of strings, so that its bytes repeat."""
    document = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    for key, value in document.items():
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            document[key] = sorted(value)
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
