"""The backbone of a run: as published, or made in its folder before the first step, once."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attune.backbones import origin
from attune.backbones.checkpoints import Checkpoint
from attune.backbones.language import with_head
from attune.backbones.registry import BACKBONES
from attune.backbones.vocabulary import Texts
from attune.core.files import canonical, read_json, whole_folder
from attune.core.recipe import Recipe
from attune.core.records import Input
from attune.core.texts import FIRST, rows_of
from attune.data.table import Table
from attune.model import bundle as bundles
from attune.model.assemble import Model
from attune.model.bundle import copy_config
from attune.model.rows import told

NOTE = "made.json"
"""What is known of a backbone that was made, beside its files."""
CHUNK = 2048


@dataclass(frozen=True)
class Ready:
    """A backbone that is there.

    Attributes:
        checkpoint: Its files.
        recipe: The recipe, with what was chosen on the way.
        parent: Digest of the bundle it was made of.
        notices: What a reader should know of it.
    """

    checkpoint: Checkpoint
    recipe: Recipe
    parent: str | None
    notices: list[str]


def ready(recipe: Recipe, files: Checkpoint, root: Path, folder: Path, texts: Texts) -> Ready:
    """Makes a run's backbone, where it is not published and was not made before.

    Args:
        recipe: The recipe, checked.
        files: What the check found.
        root: The data root.
        folder: Where it is made, whole or not at all; a resumed run finds it there.
        texts: The training rows' texts, for a tokenizer without a file of its own.

    Returns:
        The backbone.
    """
    if files.weights != "yet":
        return Ready(files, recipe, None, [])
    options: Any = origin.complete(recipe.backbone)
    if not folder.is_dir():
        with one_thread(), whole_folder(folder) as out:
            note = make(options, files, root, out, texts, recipe.training.seed)
            (out / NOTE).write_text(canonical(note), encoding="utf-8")
    note = read_json(folder / NOTE)
    checkpoint = origin.settled(folder, options)
    changes: dict[str, Any] = options.model_dump()
    if note["tokenizer"]:
        changes["tokenizer"]["sha256"] = note["tokenizer"]
    return Ready(checkpoint, recipe.having("backbone", **changes), note["parent"], note["notices"])


def make(options: Any, files: Checkpoint, root: Path, out: Path, texts: Texts, seed: int) -> dict[str, Any]:
    """Makes a backbone, of a bundle where it names one, with a new tokenizer where it asks for one.

    Args:
        options: Backbone options, completed.
        files: What it is made of.
        root: The data root.
        out: Where to write.
        texts: The training rows' texts.
        seed: Of what is drawn.

    Returns:
        What is to be known of it: the parent's digest, the tokenizer's, and notices.
    """
    family = BACKBONES.get(options.family)
    parent = None
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".attune-") as scratch:
        source = files.folder
        if origin.is_bundle(options.name, root):
            source = Path(scratch) / "melted" if origin.tokenizers(options) else out
            parent = melt(root / options.name, root, source)
        if origin.tokenizers(options) is None:
            return {"parent": parent, "tokenizer": "", "notices": [f"tuned on from the bundle {str(parent)[:12]}"]}
        made = origin.make(options, family, source, texts, root, out, seed)
        return {"parent": parent, "tokenizer": made.tokenizer_sha256, "notices": made.notices}


def melt(path: Path, root: Path, folder: Path) -> str:
    """Writes a bundle's network, what was tuned folded into its weights, and its tokenizer.

    Args:
        path: The bundle; it is verified and its witness rows are answered.
        root: Where its own backbone is looked up.
        folder: Where to write.

    Returns:
        The bundle's digest.
    """
    bundle = bundles.load(path, root=root)
    backbone = bundle.model.backbone
    bundle.model.method.merge(backbone)
    if folder.is_dir():
        folder.rmdir()
    copy_config(path / bundles.INSIDE, folder)
    network, weights = spoken(bundle.model)
    network.save_pretrained(folder, state_dict=weights)
    return bundle.digest


def spoken(model: Model) -> tuple[Any, dict[str, Tensor]]:
    """A model's network with the language head that stands on it, where there is one, and its weights.

    What the family's language model has no place for, such as a pooler, stays among the weights for another class.
    """
    network: Any = model.backbone.network
    own = network.state_dict()
    whole = with_head(network, model.head.state_dict()) if hasattr(model.head, "tied") else None
    if whole is None:
        return network, own
    kept = {f"{whole.base_model_prefix}.{name}": value for name, value in own.items()}
    return whole, {**kept, **whole.state_dict()}


def texts_read(task: Any, table: Table) -> Iterator[str]:
    """Every text that a task has the backbone read or write of some rows, in order.

    Args:
        task: The task.
        table: The rows.

    Yields:
        One text.
    """
    for batch in table.batches(CHUNK):
        rows = rows_of(batch, task.form.fields)
        for row in told(task, rows, batch):
            for item in [Input(row[FIRST])] if hasattr(task, "examples_of") else task.inputs(row):
                yield item.text
                if item.pair is not None:
                    yield item.pair
        if hasattr(task, "written"):
            for gold in batch["gold"]:
                yield from task.written(gold)


@contextlib.contextmanager
def one_thread() -> Generator[None]:
    """Sums in one order, however many threads the run will have."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
