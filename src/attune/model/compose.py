"""Bundles of one task, tuned apart on one backbone, composed into one: the weighted sum of what they learned."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from attune.core.files import canonical, read_json
from attune.core.recipe import Options, Recipe, Several, parse_toml
from attune.errors import BundleError, RecipeError, UnsupportedError
from attune.methods.registry import METHODS
from attune.model import manifest as manifests
from attune.model import witness
from attune.model.assemble import AXES, Model, assemble, cell_of, config_of
from attune.model.bundle import Bundle, find_backbone, load, pack
from attune.model.manifest import Manifest
from attune.tasks.common.labelled import Labels
from attune.tasks.heads.registry import HEADS

NEAR_ONE = 1e-6
APART = "keep the bundles apart, on one backbone, with `attune.switch`"


@dataclass(frozen=True)
class Parent:
    """A bundle that goes into the sum; its files are verified, its model is not built."""

    folder: Path
    manifest: Manifest
    recipe: Recipe
    share: float

    @property
    def temperature(self) -> float:
        """What its logits are divided by."""
        return float(read_json(self.folder / "calibration.json")["temperature"])


def compose(
    bundles: Sequence[str | Path | Bundle], out: Path, *, weights: Sequence[float] = (), root: Path | None = None
) -> Bundle:
    """Makes one bundle of several: W + Σ wᵢ·ΔWᵢ in the backbone, and Σ wᵢ·logitsᵢ of the calibrated heads.

    With weights that sum to one that is the average of the tuned models' weights (Wortsman et al. 2022), kept as one
    adapter.

    Args:
        bundles: Folders or bundles with the same backbone, task, labels and pooling, of a method that can be summed.
        out: The bundle to make; new.
        weights: One a bundle, above 0, summing to one; none for equal ones.
        root: Where a backbone by relative folder name is looked up; default the current folder.

    Returns:
        The bundle at `out`. Nothing is measured yet; its lineage names its parents.

    Raises:
        BundleError: A bundle is damaged, or has another backbone or other labels than the first.
        UnsupportedError: Their tasks, methods or poolings have no sum.
        RecipeError: Weights that are no shares, or an `out` that is there.
    """
    folders = [given.path if isinstance(given, Bundle) else Path(given) for given in bundles]
    shares = shares_of(weights, len(folders))
    if out.exists():
        raise RecipeError(f"{out} is there", where="out", expected="a new folder", remedy="choose another")
    parents = [parent(folder, share) for folder, share in zip(folders, shares, strict=True)]
    refuse(parents)
    model, recipe = summed(parents, root or Path())
    pack(
        out,
        model,
        recipe,
        metrics={},
        lineage=lineage(parents),
        witness_rows=witness.choose(witness_rows(parents), model.task.form),
        documents={},
        outside={"run.json": canonical({"data_root": data_root(parents[0], root)}), "card.md": card(parents)},
    )
    return load(out, root=root)


def shares_of(weights: Sequence[float], count: int) -> list[float]:
    """The weights, checked; equal ones where none are given."""
    shares = list(weights) or [1 / count] * count if count else []
    if not shares or len(shares) != count or not all(share > 0 for share in shares):
        reason = f"{len(shares)} weights {shares} for {count} bundles"
    elif abs(math.fsum(shares) - 1) > NEAR_ONE:
        reason = f"weights {shares} sum to {math.fsum(shares):g}"
    else:
        return shares
    raise RecipeError(
        reason, where="weights", expected="one a bundle, each above 0, together 1",
        remedy="give shares such as [0.7, 0.3], or none for equal ones",
    )  # fmt: skip


def parent(folder: Path, share: float) -> Parent:
    """A bundle's verified files, read."""
    manifest = manifests.read(folder)
    text = (folder / "recipe.toml").read_text(encoding="utf-8")
    return Parent(folder, manifest, parse_toml(text, AXES, where=str(folder / "recipe.toml")), share)


def refuse(parents: Sequence[Parent]) -> None:
    """Stops where bundles have no sum, by the first reason there is."""
    for one in parents:
        refuse_method(one)
        refuse_difference(one, parents[0])
    first = parents[0]
    if isinstance(first.recipe.task, Several):
        raise UnsupportedError(
            "a bundle of several tasks has no sum", where=str(first.folder), expected="bundles of one task each",
            remedy=APART,
        )  # fmt: skip
    task: Any = first.recipe.task
    head = HEADS.get(task.head)
    if not hasattr(head, "affine") or head.unit:
        raise UnsupportedError(
            f"heads {task.head} have no mean that answers like one of them", where=str(first.folder),
            expected="head linear, one affine map of the features", remedy=APART,
        )  # fmt: skip


def refuse_difference(one: Parent, first: Parent) -> None:
    """Stops where a bundle was made for something else than the first."""
    there, wanted = one.manifest.backbone, first.manifest.backbone
    if there.sha256 != wanted.sha256:
        expected = f"{wanted.name} ({wanted.sha256[:12]})"
        raise differs(one, first, f"its backbone is {there.name} ({there.sha256[:12]})", expected)
    if one.manifest.labels != first.manifest.labels:
        odd = sorted({*one.manifest.labels} ^ {*first.manifest.labels})
        raise differs(one, first, f"{len(odd)} labels are not in both: {', '.join(odd[:5])}", "the same labels")
    if task := [key for key in unlike(one.recipe.task, first.recipe.task) if key != "threshold"]:
        raise differs(one, first, f"its [task] differs in {', '.join(task)}", "the same task")
    if "pooling" in unlike(one.recipe.backbone, first.recipe.backbone):
        raise differs(one, first, "its backbone.pooling is another", "the same pooling")
    if one.manifest.method != first.manifest.method:
        raise differs(one, first, f"it was tuned with {one.manifest.method}", first.manifest.method)


def refuse_method(one: Parent) -> None:
    """Stops where a method has no sum."""
    name = one.manifest.method
    if not hasattr(METHODS.get(name), "summed"):
        able = ", ".join(other for other in METHODS.names() if hasattr(METHODS.get(other), "summed"))
        raise UnsupportedError(
            f"what method {name} learned has no weighted sum in its own form",
            where=str(one.folder),
            expected=f"bundles tuned with {able}",
            remedy=APART,
        )


def differs(one: Parent, first: Parent, found: str, expected: str) -> BundleError:
    """The error for a bundle that does not go with the first."""
    return BundleError(
        found, where=str(one.folder), expected=f"{expected}, as {first.folder}",
        remedy="compose what was tuned for one task on one backbone; others stand side by side in `attune.switch`",
    )  # fmt: skip


def unlike(one: Options, first: Options) -> list[str]:
    """The names of the options that differ."""
    mine, theirs = one.model_dump(), first.model_dump()
    return [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]


def summed(parents: Sequence[Parent], root: Path) -> tuple[Model, Recipe]:
    """The model of the sum, and its recipe."""
    first = parents[0]
    checkpoint = find_backbone(first.folder, first.manifest, root)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        method: Any = METHODS.get(first.manifest.method)
        parts = [(one.recipe.method, one.folder / "moved") for one in parents]
        options = method.summed(parts, [one.share for one in parents], folder)
        longest = max(one.recipe.backbone.max_length for one in parents)  # pyright: ignore[reportAttributeAccessIssue]
        recipe = first.recipe.having("method", **options).having("backbone", max_length=longest)
        family: Any = AXES["backbone"].get(cell_of(recipe).family)
        if reason := method(recipe.method).why_not(*family.dimensions(config_of(checkpoint, family, recipe.backbone))):
            raise UnsupportedError(reason, where=str(first.folder), remedy="compose fewer bundles, or of lower ranks")
        counts = zip(*(one.manifest.label_counts for one in parents), strict=True)
        labels = Labels(tuple(first.manifest.labels), tuple(map(sum, counts)))
        model = assemble(recipe, checkpoint, labels, config_folder=first.folder / "backbone")
        model.method.load(model.backbone, folder)
    average_heads(model, parents)
    return model.eval(), recipe


@torch.no_grad()
def average_heads(model: Model, parents: Sequence[Parent]) -> None:
    """Gives a model the weighted mean of the heads, each divided by its temperature, so that its own is one."""
    head: Any = model.head
    means = [torch.zeros_like(value, dtype=torch.float64) for value in head.affine()]
    for one in parents:
        head.load_state_dict(load_file(one.folder / "heads" / f"{one.manifest.task}.safetensors"))
        for mean, value in zip(means, head.affine(), strict=True):
            mean += value.double() * (one.share / one.temperature)
    for value, mean in zip(head.affine(), means, strict=True):
        value.copy_(mean)


def data_root(first: Parent, root: Path | None) -> str:
    """Where the backbone will be looked up again: where it was now, or where the first bundle was made."""
    made = first.folder / "run.json"
    if root is None and made.is_file():
        return read_json(made)["data_root"]
    return str((root or Path()).resolve())


def witness_rows(parents: Iterable[Parent]) -> list[dict[str, Any]]:
    """The parents' own witness rows, whose personal data is redacted already."""
    return [row for one in parents for row in read_json(one.folder / "witness.json")["rows"]]


def lineage(parents: Sequence[Parent]) -> dict[str, Any]:
    """Who the parents are, and what they were made of."""
    told = [
        {"digest": one.manifest.digest, "weight": one.share, "data": one.manifest.lineage.get("data", {})}
        for one in parents
    ]
    return {"parent": None, "composed": told, "measured_on": "nothing"}


def card(parents: Sequence[Parent]) -> str:
    """One page of Markdown for people."""
    first = parents[0].manifest
    lines = [
        f"# {first.task} by the weighted sum of {len(parents)} bundles of {first.method} on {first.backbone.name}",
        "",
        f"Answers with {len(first.labels)} labels. No rows were seen in composing it, and nothing was measured: judge "
        "it with `attune evaluate` before it is used.",
        "",
        "| weight | bundle |",
        "|---|---|",
        *(f"| {one.share:g} | `{one.manifest.digest}` |" for one in parents),
    ]
    return "\n".join(lines) + "\n"
