"""Which backbones a run may take, told before any data is read: the one it names, or its candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attune.backbones.checkpoints import Checkpoint
from attune.core.recipe import Recipe, Several
from attune.errors import AttuneError, BackboneError, RecipeError, UnsupportedError
from attune.model.assemble import cell_of, check, why_not_recipe
from attune.tasks.common.labelled import LabelTask
from attune.tasks.registry import TASKS


@dataclass(frozen=True)
class Entrant:
    """A checkpoint that a run may take, found and verified before data is read; or why it cannot."""

    name: str
    checkpoint: Checkpoint | None
    reason: str = ""


def several(recipe: Recipe) -> tuple[str, ...]:
    """The candidates that a recipe names; none where it names one backbone."""
    backbone: Any = recipe.backbone
    return backbone.candidates or ()


def taking(recipe: Recipe, name: str, sha256: str = "") -> Recipe:
    """The recipe with one of its candidates as its backbone."""
    return recipe.having("backbone", name=name, sha256=sha256, candidates=None)


def entrants(recipe: Recipe, root: Path) -> list[Entrant]:
    """Refuses what cannot work, before any data is read; of several backbones those that can do not suffer for it.

    Args:
        recipe: With a backbone, or with candidates.
        root: The data root.

    Returns:
        The backbone, or every candidate in the recipe's order.

    Raises:
        UnsupportedError: The combination cannot work, or candidates cannot be compared by its labels.
        RecipeError: Two candidates are one checkpoint.
        BackboneError: There is none to take.
    """
    names = several(recipe)
    if not names:
        backbone: Any = recipe.backbone
        return [Entrant(backbone.name, check(recipe, root))]
    if why_not_recipe(recipe):
        check(taking(recipe, names[0]), root)  # no candidate's fault: said as it is said of one backbone
    if isinstance(recipe.task, Several):
        raise UnsupportedError(
            "candidates are compared by a linear probe of one task's labels, and several tasks are asked for",
            where="backbone.candidates",
            expected="one backbone",
            remedy="compare them for one of the tasks with [task], then name the best here as backbone.name",
        )
    if not issubclass(TASKS.get(cell_of(recipe).task), LabelTask):
        raise UnsupportedError(
            f"candidates are compared by a linear probe of labels, and task {cell_of(recipe).task} has none",
            where="backbone.candidates",
            expected="a task whose rows have labels",
            remedy="set backbone.name, and compare by training with each",
        )
    found = [entrant(recipe, name, root) for name in names]
    refuse_twins(found)
    if not any(each.checkpoint for each in found):
        raise none_left([(each.name, each.reason) for each in found])
    return found


def entrant(recipe: Recipe, name: str, root: Path) -> Entrant:
    """One candidate, or why it cannot be used."""
    try:
        found = check(taking(recipe, name), root)
        if found.weights == "yet":
            return Entrant(name, None, "it is made in the run (from scratch, of a bundle or with a new tokenizer)")
        return Entrant(name, found)
    except AttuneError as error:
        return Entrant(name, None, why(error))


def usable(recipe: Recipe, root: Path) -> tuple[Recipe, Checkpoint]:
    """The recipe's backbone, or its first candidate that can be used, where rows are looked at without choosing."""
    first, checkpoint = next((each.name, each.checkpoint) for each in entrants(recipe, root) if each.checkpoint)
    return (taking(recipe, first) if several(recipe) else recipe), checkpoint


def refuse_twins(found: Sequence[Entrant]) -> None:
    """Stops where one checkpoint is listed under two names."""
    seen: dict[Path, str] = {}
    for each in found:
        if each.checkpoint:
            other = seen.setdefault(each.checkpoint.folder.resolve(), each.name)
            if other != each.name:
                raise RecipeError(
                    f"{other!r} and {each.name!r} are one checkpoint",
                    where="backbone.candidates",
                    expected="each checkpoint once",
                    remedy="leave out one of the two names",
                )


def why(error: BaseException) -> str:
    """Why something failed, in one line that says where."""
    if isinstance(error, AttuneError):
        return f"{error.where}: {error.found}" if error.where else error.found
    return f"not enough memory ({type(error).__name__})"


def none_left(reasons: Sequence[tuple[str, str]]) -> BackboneError:
    """The error where no candidate can be used; each reason on its own line, one for all where it is the same."""
    told = [f"{name}: {reason}" for name, reason in reasons]
    return BackboneError(
        f"none of the {len(told)} candidates can be used\n  - " + "\n  - ".join(told),
        where="backbone.candidates",
        expected="at least one checkpoint that fits the recipe and reads its rows",
        remedy="mend what is said of them, or name others; for another language backbone.max_unknown matters",
    )
