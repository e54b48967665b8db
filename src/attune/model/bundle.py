"""Bundles: packed once, verified on every load, able to answer."""

from __future__ import annotations

import html
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from attune.backbones.checkpoints import Checkpoint, fetch, weight_files, weights_digest
from attune.core.files import canonical, read_json, whole_folder
from attune.core.form import Form
from attune.core.recipe import Recipe, Several, parse_toml
from attune.core.records import Prediction
from attune.core.texts import FIRST
from attune.errors import BackboneError, BundleError, RecipeError, UnsupportedError
from attune.model import manifest as manifests
from attune.model import witness
from attune.model.assemble import AXES, Model, assemble, cell_of, cells_of, packages
from attune.model.manifest import BackboneReference, Manifest
from attune.model.rows import checked
from attune.tasks.common.labelled import Labels
from attune.tasks.common.retrieval import shortened
from attune.tasks.together import labels_of

CONFIG_FILES = (
    "config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model",
    "source.spm", "target.spm", "target_vocab.json", "chat_template.jinja", "generation_config.json",
)  # fmt: skip
MADE_WITH = ("attune", "torch", "transformers", "peft", "tokenizers", "safetensors", "numpy", "scikit-learn")
STREAM = 256
INSIDE = "backbone"
"""The folder of a bundle with config and tokenizer, and the weights where they are published nowhere."""
LEARNED = "learned.json"
"""The file of a bundle with what its task learned of rows besides weights."""


class Bundle:
    """A verified bundle, ready to answer.

    Args:
        path: Its folder.
        manifest: Its verified manifest.
        recipe: Its resolved recipe.
        model: The model, its witness rows replayed.
        witness_difference: Largest difference of a probability in that replay.
    """

    def __init__(self, path: Path, manifest: Manifest, recipe: Recipe, model: Model, witness_difference: float) -> None:
        self.path = path
        self.manifest = manifest
        self.recipe = recipe
        self.model = model
        self.witness_difference = witness_difference

    @property
    def digest(self) -> str:
        """The bundle's identity."""
        return self.manifest.digest

    @property
    def labels(self) -> list[str]:
        """Label names in the order of probabilities."""
        return self.manifest.labels

    def predict(self, rows: Sequence[str | Mapping[str, Any]]) -> list[Prediction]:
        """Answers rows.

        Args:
            rows: Texts, or mappings with the task's fields: `text`, for pairs `text` and `text_pair`, and more.

        Returns:
            One prediction a row, in order.

        Raises:
            DataError: A row has no text; all such rows are listed.
        """
        return self.model.predict(checked(rows, self.model.task.form))

    def embed(self, texts: Sequence[str], *, size: int = 0) -> NDArray[np.float32]:
        """Vectors of texts, for search: their products are cosines.

        Args:
            texts: N texts; what is too long loses its end.
            size: Numbers of a vector, where the bundle was tuned for several sizes; 0: as many as it answers with.

        Returns:
            `(N, D)`, each of length one.

        Raises:
            DataError: A text cannot be read; all such are listed.
            UnsupportedError: The bundle was tuned to read two texts together, and its vectors are of pairs; or it was
                not tuned for vectors of that size.
        """
        task = self.model.task
        if task.paired:
            raise UnsupportedError(
                "it reads two texts as one sequence, and has no vector of one",
                where=str(self.path),
                expected='a bundle whose task reads each text on its own, as with task.encoder = "bi"',
                remedy="tune one",
            )
        found = self.model.embed([row[FIRST] for row in checked(texts, Form())])
        return found if self._size(size) == found.shape[1] else shortened(found, self._size(size))

    def _size(self, size: int) -> int:
        task, width = self.model.task, self.model.backbone.width
        known: tuple[int, ...] = getattr(getattr(task, "options", None), "sizes", ()) or (width,)
        if size and size not in known:
            raise UnsupportedError(
                f"it was not tuned for vectors of {size} numbers",
                where=str(self.path),
                expected=f"a size of {', '.join(map(str, known))}",
                remedy="leave the size out, or tune a bundle with task.sizes",
            )
        return size or (task.size(width) if hasattr(task, "size") else width)

    def stream(self, rows: Iterable[str | Mapping[str, Any]]) -> Iterator[Prediction]:
        """Answers any number of rows, a few hundred at a time."""
        source = iter(rows)
        while chunk := list(islice(source, STREAM)):
            yield from self.predict(chunk)

    def _repr_html_(self) -> str:
        figures = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{found['value']:.4f}</td>"
            f"<td>[{found['low']:.4f}, {found['high']:.4f}]</td></tr>"
            for name, found in self.manifest.metrics.items()
        )
        title = f"{self.manifest.task} · {self.manifest.method} · {self.manifest.backbone.name}"
        return (
            f"<b>{html.escape(title)}</b><br><code>{self.digest[:12]}</code>, {len(self.labels)} labels"
            f"<table><tr><th>metric</th><th>test</th><th>interval</th></tr>{figures}</table>"
        )


def pack(
    target: Path,
    model: Model,
    recipe: Recipe,
    *,
    metrics: Mapping[str, Mapping[str, float]],
    lineage: Mapping[str, Any],
    witness_rows: Sequence[Mapping[str, Any]],
    documents: Mapping[str, Any],
    outside: Mapping[str, str],
) -> str:
    """Writes a bundle whole.

    Args:
        target: The folder to make.
        model: The finished model, in evaluation mode.
        recipe: The resolved recipe.
        metrics: Headline figures with intervals.
        lineage: Parent digest and data fingerprints.
        witness_rows: Redacted rows to answer and keep.
        documents: Further JSON files inside the digest, by name.
        outside: Text files outside of the digest, by name.

    Returns:
        The bundle's digest.
    """
    checkpoint: Checkpoint = model.backbone.checkpoint
    with whole_folder(target) as folder:
        (folder / "recipe.toml").write_text(recipe.toml(), encoding="utf-8")
        copy_config(checkpoint.folder, folder / INSIDE)
        if checkpoint.weights == "made":
            copy_weights(checkpoint, folder / INSIDE)
        (folder / "moved").mkdir()
        model.method.save(model.backbone, folder / "moved", checkpoint.name)
        (folder / "heads").mkdir()
        for task, module in heads_of(model, recipe).items():
            head = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
            save_file(head, folder / "heads" / f"{task}.safetensors")
        texts = {
            "calibration.json": {"temperature": model.temperature},
            "witness.json": witness.testify(model, witness_rows),
            **({LEARNED: model.task.learned} if getattr(model.task, "learned", None) else {}),
            **documents,
        }
        for name, document in texts.items():
            (folder / name).write_text(canonical(document), encoding="utf-8")
        manifest = describe(folder, model, recipe, checkpoint, metrics, lineage)
        (folder / manifests.NAME).write_text(manifest.text(), encoding="utf-8")
        for name, text in outside.items():
            (folder / name).write_text(text, encoding="utf-8")
    return manifest.digest


def heads_of(model: Model, recipe: Recipe) -> dict[str, Any]:
    """The heads of a model by the names of their files: a task's, or each of several tasks'."""
    parts = model.parts()
    return {name: part.head for name, part in parts.items()} if parts else {cell_of(recipe).task: model.head}


def learned(model: Model, recipe: Recipe) -> dict[str, manifests.Learned]:
    """What each of several tasks learned of its labels; nothing of one."""
    return {
        name: manifests.Learned(type=cell.task, labels=list(part.labels.names), label_counts=list(part.labels.counts))
        for (name, part), cell in zip(model.parts().items(), cells_of(recipe), strict=False)
    }


def labels_in(manifest: Manifest, recipe: Recipe) -> Labels:
    """What a bundle's manifest says of its labels; of several tasks in the recipe's order."""
    if not isinstance(recipe.task, Several):
        return Labels(tuple(manifest.labels), tuple(manifest.label_counts))
    told = {part.name: manifest.tasks[part.name] for part in recipe.task.parts}
    return labels_of({name: Labels(tuple(task.labels), tuple(task.label_counts)) for name, task in told.items()})


def temperature_in(document: Mapping[str, Any]) -> float | dict[str, float]:
    """The temperature in calibration.json, or one for each of several tasks."""
    found: Any = document["temperature"]
    return {name: float(value) for name, value in found.items()} if isinstance(found, dict) else float(found)


def describe(
    folder: Path,
    model: Model,
    recipe: Recipe,
    checkpoint: Checkpoint,
    metrics: Mapping[str, Mapping[str, float]],
    lineage: Mapping[str, Any],
) -> Manifest:
    """The manifest of what lies in a folder."""
    cell = cell_of(recipe)
    tasks = learned(model, recipe)
    return Manifest(
        format=manifests.FORMAT if tasks else manifests.ONE,
        task=cell.task,
        labels=list(model.labels.names),
        label_counts=list(model.labels.counts),
        backbone=BackboneReference(name=checkpoint.name, sha256=checkpoint.sha256),
        method=cell.method,
        metrics={name: dict(found) for name, found in metrics.items()},
        lineage=dict(lineage),
        versions={**{name: version(name) for name in MADE_WITH}, **packages(recipe)},
        seed=recipe.training.seed,
        threads=recipe.training.threads,
        files=manifests.inventory(folder),
        tasks=tasks,
    )


def copy_config(source: Path, target: Path) -> None:
    """Copies config and tokenizer of a checkpoint."""
    target.mkdir()
    for name in CONFIG_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def copy_weights(checkpoint: Checkpoint, target: Path) -> None:
    """Copies the weights of a checkpoint that is published nowhere, so that the bundle needs nothing beside it."""
    for path in weight_files(checkpoint.folder, checkpoint.name):
        shutil.copyfile(path, target / path.name)


def backbone_inside(folder: Path, manifest: Manifest) -> Checkpoint | None:
    """The checkpoint that a bundle holds; none where it is relative to a published one.

    Args:
        folder: The bundle; its files are verified.
        manifest: Names its files, and the backbone's digest.

    Returns:
        The checkpoint.

    Raises:
        BundleError: The weights in it are not the ones it was made with.
    """
    if f"{INSIDE}/model.safetensors" not in manifest.files:
        return None
    digest = weights_digest(folder / INSIDE, manifest.backbone.name)
    if digest != manifest.backbone.sha256:
        raise BundleError(
            f"the backbone in it has SHA-256 {digest}",
            where=str(folder / INSIDE),
            expected=f"weights with SHA-256 {manifest.backbone.sha256}",
            remedy="restore the bundle from its source",
        )
    return Checkpoint(manifest.backbone.name, folder / INSIDE, digest, "made")


def find_backbone(folder: Path, manifest: Manifest, root: Path) -> Checkpoint:
    """The checkpoint of a bundle: inside of it, or published, under the root or where the bundle was made.

    Args:
        folder: The bundle.
        manifest: Names the checkpoint and its digest.
        root: Folder that a relative backbone name is looked up in.

    Returns:
        The checkpoint with that digest.

    Raises:
        BundleError: It is nowhere, or has another digest.
    """
    if inside := backbone_inside(folder, manifest):
        return inside
    name, expected = manifest.backbone.name, manifest.backbone.sha256
    run = read_json(folder / "run.json") if (folder / "run.json").is_file() else {}
    roots = [root, *([Path(run["data_root"])] if "data_root" in run else [])]
    seen: list[str] = []
    for place in roots:
        try:
            found = fetch(name, place)
        except BackboneError as error:
            seen.append(str(error))
            continue
        if found.sha256 == expected:
            return found
        seen.append(f"{found.folder} has SHA-256 {found.sha256}")
    raise BundleError(
        f"its backbone {name!r} was not found: {'; '.join(seen)}",
        where=str(folder),
        expected=f"weights with SHA-256 {expected}",
        remedy="put the backbone there, or give its parent folder with --data-root",
    )


def load(path: str | Path, *, root: Path | None = None) -> Bundle:
    """Loads a bundle: verifies every file, restores the model, replays the witness rows.

    Args:
        path: The bundle's folder.
        root: Where a backbone by relative folder name is looked up; default the current folder.

    Returns:
        The bundle, ready to answer.

    Raises:
        BundleError: Damaged, foreign, newer than this attune, without its backbone, or answering differently.
    """
    folder = Path(path)
    manifest = manifests.read(folder)
    refuse_missing(folder, manifest)
    try:
        return restore(folder, manifest, root or Path())
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, RecipeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BundleError(
            f"its files do not belong together: {reason}",
            where=str(folder),
            expected="the files `attune train` packed",
            remedy="restore the bundle from its source; do not trust this one",
        ) from error


def refuse_missing(folder: Path, manifest: Manifest) -> None:
    """Stops where a bundle was made with another package's entries and that package is not there."""
    for name, release in manifest.versions.items():
        try:
            version(name)
        except PackageNotFoundError:
            raise BundleError(
                f"was made with the package {name} {release}, which is not installed here",
                where=str(folder),
                expected="the packages that its task and method come from",
                remedy=f"install {name}, from where you trust it",
            ) from None


def restore(folder: Path, manifest: Manifest, root: Path) -> Bundle:
    """The bundle of a folder whose digests hold: model restored, witness rows replayed."""
    recipe = parse_toml((folder / "recipe.toml").read_text(encoding="utf-8"), AXES, where=str(folder / "recipe.toml"))
    cell = cell_of(recipe)
    if (cell.task, cell.method) != (manifest.task, manifest.method):
        raise ValueError(
            f"the manifest says {manifest.task} by {manifest.method}, the recipe {cell.task} by {cell.method}"
        )
    checkpoint = find_backbone(folder, manifest, root)
    labels = labels_in(manifest, recipe)
    model = assemble(recipe, checkpoint, labels, config_folder=folder / INSIDE)
    model.method.load(model.backbone, folder / "moved")
    for name, head in heads_of(model, recipe).items():
        head.load_state_dict(load_file(folder / "heads" / f"{name}.safetensors"))
    model.temperature = temperature_in(read_json(folder / "calibration.json"))
    if LEARNED in manifest.files:
        model.task = model.task.knowing(read_json(folder / LEARNED))
    model.eval()
    difference = witness.replay(model, read_json(folder / "witness.json"), str(folder))
    return Bundle(folder, manifest, recipe, model, difference)
