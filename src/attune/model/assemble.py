"""The only joint of the axes: a backbone and a method with a task and an objective become a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attune.backbones import origin
from attune.backbones.checkpoints import Checkpoint
from attune.backbones.registry import BACKBONES
from attune.backbones.text import FEWEST, Encoding, outline, positions, reads_pairs
from attune.core.recipe import Axes, Recipe
from attune.core.records import Prediction
from attune.core.texts import SECOND
from attune.errors import BackboneError, CannotMerge, RecipeError, UnsupportedError
from attune.methods.registry import METHODS
from attune.model import manifest as manifests
from attune.objectives.registry import OBJECTIVES
from attune.tasks.common.labelled import Labels
from attune.tasks.heads.registry import HEADS
from attune.tasks.registry import TASKS

AXES: Axes = {"backbone": BACKBONES, "task": TASKS, "method": METHODS, "objective": OBJECTIVES}
ROWS_A_BATCH = 32
TOKENS_A_BATCH = 8192


@dataclass(frozen=True)
class Cell:
    """One combination of the axes, by name."""

    family: str
    task: str
    head: str
    method: str
    objective: str

    def __str__(self) -> str:
        return " × ".join((self.family, self.task, self.head, self.method, self.objective))


def cells() -> Iterator[Cell]:
    """Every combination of what is registered."""
    names = (BACKBONES.names(), TASKS.names(), HEADS.names(), METHODS.names(), OBJECTIVES.names())
    return (Cell(*combination) for combination in product(*names))


def why_not(cell: Cell) -> str:
    """Compares what a combination needs with what its backbone family provides.

    Args:
        cell: The combination.

    Returns:
        A sentence with the reason and what would work, or nothing where it works.
    """
    provides: frozenset[str] = BACKBONES.get(cell.family).provides
    for kind, entry in (
        (f"task {cell.task}", TASKS.get(cell.task)),
        (f"head {cell.head}", HEADS.get(cell.head)),
        (f"method {cell.method}", METHODS.get(cell.method)),
        (f"objective {cell.objective}", OBJECTIVES.get(cell.objective)),
    ):
        missing = sorted(entry.needs - provides)
        if missing:
            fits = [name for name in BACKBONES.names() if entry.needs <= BACKBONES.get(name).provides]
            nearest = f"families that provide it: {', '.join(fits)}" if fits else "no family here provides it"
            return f"{kind} needs {', '.join(missing)}, which the {cell.family} family does not provide; {nearest}"
    if hasattr(HEADS.get(cell.head), "begin") and not hasattr(TASKS.get(cell.task), "descriptions"):
        able = [name for name in TASKS.names() if hasattr(TASKS.get(name), "descriptions")]
        return (
            f"head {cell.head} begins from what each label's texts say, and a label of task {cell.task} is nothing "
            f"that a text could be near to; use head linear, or a task whose labels can be described: {', '.join(able)}"
        )
    if HEADS.get(cell.head).trains and not METHODS.get(cell.method).trains:
        able = [name for name in HEADS.names() if not HEADS.get(name).trains]
        return (
            f"head {cell.head} cannot answer before it is trained, and method {cell.method} trains nothing; use "
            f"method frozen with trainable_layers = 0 (the linear probe), or a head that answers untrained: "
            f"{', '.join(able)}"
        )
    return ""


def cell_of(recipe: Recipe) -> Cell:
    """The combination a recipe asks for."""
    backbone: Any = recipe.backbone
    task: Any = recipe.task
    method: Any = recipe.method
    return Cell(backbone.family, task.name, task.head, method.name, "supervised")


def check(recipe: Recipe, root: Path) -> Checkpoint:
    """Refuses what cannot work, before any data is read.

    Args:
        recipe: The recipe.
        root: The data root, for a backbone by folder.

    Returns:
        The backbone's checkpoint, found and verified; or what the run makes it of.

    Raises:
        UnsupportedError: The combination or its options cannot work; the reason is given.
        BackboneError: The backbone is not there, or is not the one the recipe was resolved with.
        CannotMerge: The backbone is a bundle whose method leaves no plain weights.
    """
    cell = cell_of(recipe)
    reason = why_not(cell)
    if reason:
        raise UnsupportedError(reason, where=str(cell), remedy="`attune show matrix` prints what works")
    task = TASKS.get(cell.task)(recipe.task)
    if recipe.data.text_pair and SECOND not in task.fields:
        raise RecipeError(
            f"a second text is named, and the task {cell.task} reads one",
            where="data.text_pair",
            expected="a task that reads two texts",
            remedy='set task.name = "pair", or leave out data.text_pair',
        )
    options: Any = origin.complete(recipe.backbone)
    if origin.is_bundle(options.name, root):
        refuse_unmerged(root / options.name, options.name)
    checkpoint = origin.find(options, root)
    there = checkpoint.weights != "yet"
    if there and options.sha256 and options.sha256 != checkpoint.sha256:
        raise BackboneError(
            f"weights have SHA-256 {checkpoint.sha256}",
            where=options.name,
            expected=f"{options.sha256}, as in the recipe",
            remedy="use the checkpoint the recipe was resolved with, or delete backbone.sha256",
        )
    ours = origin.tokenizers(options) is not None
    if len(task.fields) > task.pieces() and not ours and not reads_pairs(checkpoint.folder):
        raise UnsupportedError(
            "its tokenizer puts nothing between two texts", where=f"[backbone] {options.name}",
            expected="a tokenizer whose post-processor has a template for pairs",
            remedy="set task.encoder = \"bi\", or use another backbone",
        )  # fmt: skip
    config = config_of(checkpoint, options)
    method: Any = METHODS.get(cell.method)(recipe.method)
    reason = (
        missing_here(cell, checkpoint.name, config)
        or method.why_not(*dimensions(config))
        or too_long(method, config)
        or method.no_place(partial(outline, config))
    )
    if reason:
        raise UnsupportedError(reason, where=f"[method] {cell.method} on {options.name}", remedy="change [method]")
    return checkpoint


def missing_here(cell: Cell, name: str, config: Any) -> str:
    """What a method needs, its family provides and this checkpoint's network does not; empty where nothing is."""
    lacks = BACKBONES.get(cell.family).lacks(config)
    missing = sorted(METHODS.get(cell.method).needs & lacks)
    if not missing:
        return ""
    fits = ", ".join(other for other in METHODS.names() if not METHODS.get(other).needs & lacks)
    return (
        f"method {cell.method} needs {', '.join(missing)}, which the {config.model_type} network of {name} does not "
        f"provide; methods that work on it: {fits}"
    )


def too_long(method: Any, config: Any) -> str:
    """Why a method's virtual tokens leave a checkpoint no positions for text; empty where they leave enough."""
    there, taken = positions(config), method.positions
    if there - taken >= FEWEST or not taken:
        return ""
    return (
        f"{method.options.name} with tokens = {taken} takes {taken} of the {there} positions that the backbone reads, "
        f"and at least {FEWEST} must be left for text; use at most {there - FEWEST} tokens"
    )


def refuse_unmerged(folder: Path, name: str) -> None:
    """Stops where a bundle has no plain weights that could be tuned further.

    Args:
        folder: The bundle; its files are verified.
        name: What the recipe calls it.

    Raises:
        CannotMerge: Its method cannot be merged; the method's own reason is given.
    """
    method = manifests.read(folder).method
    if reason := METHODS.get(method).cannot_merge:
        raise CannotMerge(
            f"the bundle {name} cannot be a backbone: its method {method} cannot be merged: {reason}",
            where="backbone.name",
            expected="a bundle whose method changes weights, such as lora or full",
            remedy="make that bundle with lora, frozen or full, or name the backbone it was made from",
        )


def config_of(checkpoint: Checkpoint, options: Any) -> Any:
    """The config of a checkpoint, with its layers and width known.

    Args:
        checkpoint: Found and verified.
        options: Backbone options, completed.

    Returns:
        What transformers reads.

    Raises:
        BackboneError: It cannot be read, or is not that of a stack of layers.
    """
    try:
        architectures = getattr(BACKBONES.get(options.family), "architectures", ())
        config = origin.config_of(checkpoint, options, architectures)
        dimensions(config)
        return config
    except (OSError, ValueError, AttributeError, KeyError) as error:
        raise BackboneError(
            f"its config cannot be read: {error}",
            where=str(checkpoint.folder),
            expected="config.json of a text encoder that transformers knows",
            remedy="check the folder with `transformers.AutoConfig.from_pretrained`",
        ) from None


def dimensions(config: Any) -> tuple[int, int]:
    """Layers and width that a config tells."""
    return int(config.num_hidden_layers), int(config.hidden_size)


class Model(nn.Module):
    """A backbone, a head and what they were asked for, as one thing that answers.

    Args:
        backbone: The backbone, its method applied.
        head: The task's head.
        task: The task.
        method: The method that was applied.
        objective: What the loss is made of.
        labels: The learned labels.
    """

    def __init__(self, backbone: Any, head: nn.Module, task: Any, method: Any, objective: Any, labels: Labels) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.task = task
        self.method = method
        self.objective = objective
        self.labels = labels
        self.temperature = 1.0

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.head.parameters()).device

    @property
    def solvable(self) -> bool:
        """Whether the head can be solved on fixed features: whether it has `fit`."""
        return hasattr(self.head, "fit")

    @property
    def describable(self) -> bool:
        """Whether the head begins from the labels' texts: whether it has `begin`."""
        return hasattr(self.head, "begin")

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Logits `(B, K)` of a collated batch."""
        return self.head(self.read(inputs))

    def read(self, inputs: dict[str, Tensor]) -> Tensor:
        """One vector a row `(B, W)` of a collated batch: what the head sees."""
        return self.task.join(self.backbone(inputs))

    def loss(self, inputs: dict[str, Tensor], targets: Tensor) -> tuple[Tensor, Tensor]:
        """Total `(B,)` and weight `(B,)` of a collated batch."""
        return self.task.loss(self(inputs).float(), targets, self.labels)

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> Encoding:
        """Token ids of rows, ragged."""
        inputs = [item for row in rows for item in self.task.inputs(row)]
        return self.backbone.encode(inputs).grouped(self.task.pieces())

    def collate(self, ids: Sequence[NDArray[np.int32]]) -> dict[str, Tensor]:
        """A padded batch on the model's device."""
        return {key: value.to(self.device) for key, value in self.backbone.collate(ids).items()}

    @torch.inference_mode()
    def features(self, ids: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        """What the head sees `(N, W)` in the order given, whatever the batches."""
        return self._batched(ids, self.read)

    @torch.inference_mode()
    def logits(self, ids: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        """Logits `(N, K)` in the order given, whatever the batches."""
        return self._batched(ids, self)

    def _batched(
        self, ids: Sequence[NDArray[np.int32]], module: Callable[[dict[str, Tensor]], Tensor]
    ) -> NDArray[np.float32]:
        training = self.training
        self.eval()
        parts: list[NDArray[np.float32]] = []
        order: list[int] = []
        for batch in length_batches([len(row) for row in ids]):
            parts.append(module(self.collate([ids[i] for i in batch])).float().cpu().numpy())
            order.extend(batch)
        self.train(training)
        result = np.concatenate(parts)
        return result[np.argsort(np.asarray(order), kind="stable")]

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[Prediction]:
        """Answers rows.

        Args:
            rows: Mappings with the task's fields; checked by the caller.

        Returns:
            One prediction a row, in order.
        """
        if not rows:
            return []
        encoding = self.encode(rows)
        logits = torch.from_numpy(self.logits(encoding.ids))
        probabilities = self.task.probabilities(logits, self.temperature)
        return self.task.decode(probabilities, self.labels, self.notices(encoding))

    def notices(self, encoding: Encoding) -> list[tuple[str, ...]]:
        """What a person should know about each row: truncation, unknown tokens."""
        result: list[tuple[str, ...]] = []
        limit = self.backbone.max_length
        bound = self.backbone.options.max_unknown
        for cut, unknown, words in zip(encoding.truncated, encoding.unknown, encoding.words, strict=True):
            notes: list[str] = []
            if cut:
                notes.append(self.task.cut.format(limit=limit))
            if unknown > bound * max(int(words), 1):
                notes.append(f"{int(unknown)} of {int(words)} tokens are unknown to the backbone")
            result.append(tuple(notes))
        return result


def length_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Groups rows of like length: at most `ROWS_A_BATCH` rows and `TOKENS_A_BATCH` padded tokens."""
    batch: list[int] = []
    longest = 0
    for index in np.argsort(np.asarray(lengths), kind="stable")[::-1]:
        longest = max(longest, lengths[index])
        if batch and (len(batch) >= ROWS_A_BATCH or longest * (len(batch) + 1) > TOKENS_A_BATCH):
            yield batch
            batch, longest = [], lengths[index]
        batch.append(int(index))
    if batch:
        yield batch


def assemble(
    recipe: Recipe, checkpoint: Checkpoint, labels: Labels, *, config_folder: Path | None = None, dropout: float = 0.0
) -> Model:
    """Joins what a recipe names.

    Args:
        recipe: The recipe; taken apart here, no entry sees it.
        checkpoint: The backbone's files.
        labels: The learned labels.
        config_folder: Where config and tokenizer are read from, if not from the checkpoint.
        dropout: Dropout probability; 0 for answering.

    Returns:
        The model, in evaluation mode, the method's parameters marked as moving.
    """
    torch.manual_seed(recipe.training.seed)
    cell = cell_of(recipe)
    backbone = BACKBONES.get(cell.family)(checkpoint, recipe.backbone, dropout=dropout, config_folder=config_folder)
    method = METHODS.get(cell.method)(recipe.method)
    torch.manual_seed(recipe.training.seed)
    method.apply(backbone)
    task = TASKS.get(cell.task)(recipe.task)
    head = task.head(backbone.width, labels, dropout)
    model = Model(backbone, head, task, method, OBJECTIVES.get(cell.objective)(), labels)
    model.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    return model.eval()
