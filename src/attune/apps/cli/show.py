"""`attune show`: the matrix of combinations, methods, tasks, the recipe's schema, or a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from attune.apps.cli.common import Json, emit, interval, plainly, say, table
from attune.errors import RecipeError

What = Annotated[str, typer.Argument(help="matrix, methods, tasks, schema, or the folder of a bundle.")]
Root = Annotated[Path | None, typer.Option("--data-root", help="Where a backbone by folder name is looked up.")]


def show(what: What, data_root: Root = None, as_json: Json = False) -> None:
    """Show what attune knows, or verify a bundle and print it."""
    known = {"matrix": matrix, "methods": methods, "tasks": tasks, "schema": schema}
    if what in known:
        known[what](as_json)
    elif Path(what).exists():
        bundle(Path(what), data_root, as_json)
    else:
        raise RecipeError(
            f"nothing is called {what!r}",
            where="attune show",
            expected="matrix, methods, tasks, schema or a bundle's folder",
            remedy="for a bundle, give the path that `attune train` printed",
        )


def matrix(as_json: bool) -> None:
    """Every combination, and why one does not work."""
    from attune.model import assemble

    if as_json:
        reasons = [(cell, assemble.why_not(cell)) for cell in assemble.cells()]
        emit([{**vars_of(cell), "works": not reason, "reason": reason} for cell, reason in reasons])
        return
    rows, works, count = assemble.matrix()
    table(["family", "task", "head", "objectives", "methods", "works"], rows)
    say(f"{works} of {count} combinations work")


def vars_of(cell: Any) -> dict[str, str]:
    """A cell as plain values."""
    from dataclasses import asdict

    return asdict(cell)


def methods(as_json: bool) -> None:
    """Every method with its options."""
    from attune.methods.registry import METHODS

    options("method", METHODS, as_json)


def tasks(as_json: bool) -> None:
    """Every task with its options."""
    from attune.tasks.registry import TASKS

    options("task", TASKS, as_json)


def options(section: str, registry: Any, as_json: bool) -> None:
    """Entries of a registry with their options."""
    from attune.core.recipe import key_rows

    entries = {name: registry.get(name) for name in registry.names()}
    if as_json:
        emit({name: {"summary": entry.summary, "options": key_rows(entry.Options)} for name, entry in entries.items()})
        return
    for name, entry in entries.items():
        say(f"{name}: {entry.summary}")
        rows = [
            [row["key"], row["default"], row["description"]] for row in key_rows(entry.Options) if row["key"] != "name"
        ]
        if rows:
            table([f"[{section}] key", "default", "what it is"], rows)
        say()


def schema(as_json: bool) -> None:
    """The recipe's JSON Schema."""
    del as_json
    from attune.core.recipe import schema as of
    from attune.model.assemble import AXES

    emit(of(AXES))


def bundle(path: Path, root: Path | None, as_json: bool) -> None:
    """Verifies a bundle (digests, backbone, witness rows) and prints it."""
    from attune.model.bundle import load

    loaded = load(path, root=root)
    manifest = loaded.manifest
    facts = {
        "digest": loaded.digest,
        "task": manifest.task,
        "method": manifest.method,
        "backbone": f"{manifest.backbone.name} ({manifest.backbone.sha256[:12]})",
        "labels": len(manifest.labels),
        "rows": manifest.lineage.get("rows", {}),
        "measured on": manifest.lineage.get("measured_on", ""),
        "seed": str(manifest.seed),
        "threads": manifest.threads,
        "made with": ", ".join(f"{name} {version}" for name, version in manifest.versions.items()),
        "files": f"{len(manifest.files)}, every SHA-256 as it was made",
        "witness": f"answers as it did; largest difference of a probability {loaded.witness_difference:.1e}",
    }
    if as_json:
        proof = {"path": str(path), "verified": True, "digest": loaded.digest}
        emit({**proof, "witness_difference": loaded.witness_difference, **manifest.model_dump()})
        return
    table(["", ""], [(name, plainly(value)) for name, value in facts.items()])
    table(["metric", "value"], [(name, interval(found)) for name, found in manifest.metrics.items()])
