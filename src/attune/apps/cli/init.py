"""`attune init`: a first recipe from a look at the data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from attune.apps.cli.common import Json, emit, note, say
from attune.errors import RecipeError

Data = Annotated[Path | None, typer.Argument(help="A data file or folder.")]
From = Annotated[
    str | None,
    typer.Option("--from", help="A public set by name, downloaded from its publisher into the folder DATA."),
]
Out = Annotated[Path | None, typer.Option("--out", help="The recipe to write; default recipe.toml beside the data.")]


def init(data: Data = None, out: Out = None, public: From = None, as_json: Json = False) -> None:
    """Look at data, guess columns, task and splits, say why, and write a recipe that runs as it is."""
    import os

    from attune.core.files import whole_file
    from attune.data.public import publish
    from attune.lifecycle.init import draft

    if public is not None:
        data = (data or Path(public)) / "train.jsonl"
    if data is None:
        raise RecipeError(
            "give a data file", where="attune init", remedy="attune init DATA, or attune init --from NAME"
        )
    target = out or data.parent / "recipe.toml"
    if target.exists():
        raise RecipeError(
            f"{target} is there already", where="--out", expected="a new file", remedy="choose another --out"
        )
    extra = publish(public, data.parent, note).data if public is not None else None
    location = Path(os.path.relpath(data, target.parent)).as_posix()
    drafted = draft(location, target.parent, extra)
    with whole_file(target) as path:
        path.write_text(drafted.text, encoding="utf-8")
    if as_json:
        emit({"recipe": str(target), "text": drafted.text, "reasons": drafted.reasons})
        return
    say(drafted.text)
    for reason in drafted.reasons:
        note(f"- {reason}")
    note(f"wrote {target}; next: attune audit {target}, attune train {target}")
