"""`attune audit`: what is wrong with the rows, what it costs, how to mend it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from attune.apps.cli.common import Json, Root, Set, emit, note, say, table

What = Annotated[Path, typer.Argument(help="A recipe, or a data file whose columns are guessed.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write a page with plots here.")]
Fix = Annotated[
    Path | None, typer.Option("--fix", help="Write a cleaned copy and the list of changes into this folder.")
]
Sample = Annotated[
    int, typer.Option(min=100, help="Rows for near duplicates and label errors, which look at a sample.")
]


def audit(
    what: What, html: Html = None, fix: Fix = None, sample: Sample = 20_000, data_root: Root = None,
    overrides: Set = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Audit the rows of a recipe or a data file: duplicates, leakage, label errors, personal data and more."""
    from attune.core.files import whole_file
    from attune.data.cleaned import fix as mend
    from attune.data.page import html as page
    from attune.lifecycle.audit import audited
    from attune.lifecycle.init import recipe_for

    recipe, root = recipe_for(what, data_root, overrides or ())
    with audited(recipe, root, sample=sample) as found:
        if html is not None:
            with whole_file(html) as path:
                path.write_text(page(found.audit), encoding="utf-8")
        changes = mend(found.audit, found.splits, fix) if fix is not None else None
        if as_json:
            emit({**found.audit.as_dict(), **({"changes": total(changes)} if changes is not None else {})})
        else:
            show(found.audit, recipe.data.acknowledge)
    if html is not None:
        note(f"page  {html}")
    if changes is not None:
        note(f"{total(changes):,} changes; cleaned rows and changes.jsonl in {fix}")


def total(changes: list[dict[str, Any]]) -> int:
    """How many rows were changed, from the summary that ends the list."""
    return sum(changes[-1]["counts"].values())


def show(found: Any, acknowledged: tuple[str, ...]) -> None:
    """Prints findings, worst first."""
    order = {"stop": 0, "warn": 1, "note": 2}
    findings = sorted(found.findings, key=lambda finding: order[finding.severity])
    rows = [[f.severity, f.kind, f"{f.count:,}", f.summary, f.cost, f.remedy] for f in findings]
    if rows:
        table(["", "finding", "rows", "what it is", "what it costs", "how to mend it"], rows)
    else:
        say("nothing found")
    stops = [finding.kind for finding in found.stops(acknowledged)]
    if stops:
        say(f"`attune train` stops at: {', '.join(stops)}")
