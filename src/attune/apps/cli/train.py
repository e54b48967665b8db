"""`attune train`: audit → train → calibrate → evaluate → pack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from attune.apps.cli.common import (
    Json,
    Progress,
    Root,
    Set,
    emit,
    note,
    plainly,
    read_recipe,
    say,
    show_evaluation,
    signals,
    table,
)
from attune.errors import InterruptedRunError, RecipeError

Recipe = Annotated[Path | None, typer.Argument(help="The recipe, a TOML file.")]
Out = Annotated[Path | None, typer.Option("--out", help="The run's folder; default runs/<recipe>, numbered if taken.")]
Resume = Annotated[Path | None, typer.Option("--resume", help="Go on with the run in this folder.")]
Plan = Annotated[bool, typer.Option("--plan", help="Say what would be done, and do nothing.")]


def train(
    recipe: Recipe = None,
    out: Out = None,
    resume: Resume = None,
    data_root: Root = None,
    overrides: Set = None,
    plan: Plan = False,
    as_json: Json = False,
) -> None:
    """Train a recipe into a bundle, evaluated beside its baselines."""
    from attune.lifecycle import train as lifecycle

    if (recipe is None) == (resume is None):
        raise RecipeError(
            "give a recipe or --resume FOLDER, one of them", where="attune train", remedy="attune train --help"
        )
    with signals() as stopping, Progress(quiet=as_json) as progress:
        around = lifecycle.Surroundings(listeners=(progress,), stopping=stopping)
        try:
            if resume is not None:
                bundle = lifecycle.resume(resume, around)
                folder = resume
            else:
                assert recipe is not None
                parsed, root = read_recipe(recipe, overrides, data_root)
                if plan:
                    show_plan(lifecycle.plan(parsed, root), as_json)
                    return
                folder = out or free(recipe.stem)
                bundle = lifecycle.train(parsed, root, folder, around)
        except InterruptedRunError as error:
            note(f"stopped: {error}")
            raise typer.Exit(130) from None
    show_result(bundle, folder, as_json)


def free(stem: str) -> Path:
    """A folder under runs/ that is not taken."""
    base = Path("runs") / stem
    return next(
        path for path in (base, *(base.with_name(f"{stem}-{n}") for n in range(2, 10_000))) if not path.exists()
    )


def show_plan(plan: dict[str, Any], as_json: bool) -> None:
    """Prints what would be done."""
    if as_json:
        emit(plan)
    else:
        table(["what", "value"], [(name, plainly(value)) for name, value in plan.items() if value is not None])


def show_result(bundle: Any, folder: Path, as_json: bool) -> None:
    """Prints the figures beside the baselines and where everything is."""
    from attune.core.files import read_json

    path = bundle.path / "evaluation.json"
    evaluation = read_json(path) if path.is_file() else None
    report = bundle.path / "report.html"
    if as_json:
        emit({"bundle": str(bundle.path), "digest": bundle.digest, "metrics": bundle.manifest.metrics,
              "report": str(report) if report.is_file() else None, "evaluation": evaluation})  # fmt: skip
        return
    if evaluation:
        show_evaluation(evaluation)
    say(f"bundle  {bundle.path}  ({bundle.digest[:12]})")
    if report.is_file():
        say(f"report  {report}")
    say(f'try it  attune predict {bundle.path} "your text"')
