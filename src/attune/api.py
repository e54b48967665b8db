"""The public functions, for scripts and notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from attune.core.recipe import Recipe, read
from attune.data.audit import Audit
from attune.lifecycle.audit import audited
from attune.lifecycle.evaluate import Evaluated, evaluate_bundles
from attune.lifecycle.init import recipe_for
from attune.lifecycle.train import train as train_recipe
from attune.model.assemble import AXES
from attune.model.bundle import Bundle
from attune.model.bundle import load as load_bundle
from attune.model.chain import Chain
from attune.model.compose import compose as compose_bundles
from attune.model.switch import Switch
from attune.serving.index import Index
from attune.serving.index import build as build_index
from attune.serving.index import load as load_index


def train(
    recipe: str | Path | Recipe, *, out: str | Path, data_root: str | Path | None = None, overrides: Sequence[str] = ()
) -> Bundle:
    """Trains a recipe: audit → train → calibrate → evaluate → pack.

    Args:
        recipe: A TOML file, or a parsed recipe.
        out: The run's folder; new.
        data_root: Folder that file names in the recipe are relative to; default the recipe file's, or the current one.
        overrides: `section.key=value` strings, for a recipe given as a file.

    Returns:
        The bundle, ready to answer.

    Raises:
        AttuneError: Whatever was wrong, with where and what to do.
    """
    if isinstance(recipe, Recipe):
        return train_recipe(recipe, Path(data_root or "."), Path(out))
    path = Path(recipe)
    return train_recipe(read(path, AXES, overrides), Path(data_root) if data_root else path.parent, Path(out))


def load(path: str | Path, *, data_root: str | Path | None = None) -> Bundle:
    """Loads a bundle: verifies every file, restores the model, replays the witness rows.

    Args:
        path: The bundle's folder.
        data_root: Where a backbone by folder name is looked up; default the current folder.

    Returns:
        The bundle; `bundle.predict(rows)` answers.
    """
    return load_bundle(path, root=Path(data_root) if data_root else None)


def audit(what: str | Path, *, data_root: str | Path | None = None, overrides: Sequence[str] = ()) -> Audit:
    """Audits the rows of a recipe or a data file.

    Args:
        what: A recipe, or a data file whose columns are guessed.
        data_root: Folder that file names are relative to.
        overrides: `section.key=value` strings.

    Returns:
        The findings.
    """
    recipe, root = recipe_for(Path(what), Path(data_root) if data_root else None, overrides)
    with audited(recipe, root) as found:
        return found.audit


def evaluate(*bundles: str | Path | Bundle, data: str | Path, data_root: str | Path | None = None) -> Evaluated:
    """Judges bundles on labelled rows; several are compared with the first.

    Args:
        *bundles: Folders or loaded bundles.
        data: Labelled rows; columns as in the first bundle's recipe.
        data_root: Where a backbone by folder name is looked up.

    Returns:
        Evaluations and comparisons.
    """
    return evaluate_bundles(list(bundles), str(data), root=Path(data_root) if data_root else None)


def compose(
    bundles: Sequence[str | Path | Bundle],
    *,
    out: str | Path,
    weights: Sequence[float] = (),
    data_root: str | Path | None = None,
) -> Bundle:
    """Makes one bundle of several that were tuned with `lora` for one task: the weighted sum of what they learned.

    Args:
        bundles: Folders or loaded bundles.
        out: The bundle to make; new.
        weights: One a bundle, above 0, summing to one; none for equal ones.
        data_root: Where a backbone by folder name is looked up.

    Returns:
        The bundle at `out`.
    """
    return compose_bundles(bundles, Path(out), weights=weights, root=Path(data_root) if data_root else None)


def index(
    bundle: str | Path | Bundle,
    texts: Sequence[str] | str | Path,
    *,
    ids: Sequence[str] = (),
    size: int = 0,
    data_root: str | Path | None = None,
) -> Index:
    """Makes an index in which texts are found by texts, or opens one that was saved.

    Args:
        bundle: Whose vectors are taken: one of the task `embedding`, or any that reads each text on its own.
        texts: The texts; or the folder of an index that was saved.
        ids: A name a text; none: their numbers, counted from 0.
        size: Numbers of a vector; 0: as many as the bundle answers with.
        data_root: Where a backbone by folder name is looked up.

    Returns:
        The index; `index.search(texts)` finds, `index.save(folder)` keeps it.
    """
    loaded = bundle if isinstance(bundle, Bundle) else load(bundle, data_root=data_root)
    if isinstance(texts, str | Path):
        return load_index(Path(texts), loaded)
    return build_index(loaded, texts, ids=ids, size=size)


def switch(bundles: Mapping[str, str | Path | Bundle], *, data_root: str | Path | None = None) -> Switch:
    """Puts bundles of one backbone side by side, the backbone in memory once.

    Args:
        bundles: Folders or loaded bundles, by name.
        data_root: Where a backbone by folder name is looked up.

    Returns:
        A switch; `switch.predict(rows, names)` answers each row by the bundle named for it.
    """
    return Switch(bundles, root=Path(data_root) if data_root else None)


def chain(
    entities: str | Path | Bundle, relations: str | Path | Bundle, *, data_root: str | Path | None = None
) -> Chain:
    """Puts a bundle that finds entities before one that says what they are to each other.

    Args:
        entities: A bundle of the task `tagging`.
        relations: A bundle of the task `relation` with a label for no relation.
        data_root: Where a backbone by folder name is looked up.

    Returns:
        A chain; `chain.predict(texts)` gives entities and relations with spans in the caller's texts.
    """
    return Chain(entities, relations, root=Path(data_root) if data_root else None)
