"""`attune export`: a bundle as a plain transformers folder or a plain PEFT adapter."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from attune.apps.cli.common import Json, emit, say


class Format(StrEnum):
    """What a bundle can be exported as."""

    transformers = "transformers"
    peft = "peft"


BundlePath = Annotated[Path, typer.Argument(help="The bundle's folder.")]
Kind = Annotated[Format, typer.Option("--format", help="What to write.")]
Out = Annotated[Path, typer.Option("--out", help="The folder to write.")]
Root = Annotated[Path | None, typer.Option("--data-root", help="Where a backbone by folder name is looked up.")]


def export(bundle: BundlePath, kind: Kind, out: Out, data_root: Root = None, as_json: Json = False) -> None:
    """Write a bundle in a form that needs no attune."""
    from attune.compression.export import to_peft, to_transformers
    from attune.model.bundle import load

    loaded = load(bundle, root=data_root)
    told = to_transformers(loaded, out) if kind is Format.transformers else to_peft(loaded, out)
    if as_json:
        emit({"out": str(out), "format": kind.value, "what": told})
    else:
        say(f"{out}: {told}")
