"""`attune evaluate`: bundles judged on labelled rows; two or more are compared in pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from attune.apps.cli.common import Json, emit, interval, note, probability, say, show_evaluation, table

Bundles = Annotated[list[Path], typer.Argument(help="Bundle folders; several are compared with the first.")]
Data = Annotated[str, typer.Option("--data", help="Labelled rows; columns as in the first bundle's recipe.")]
Report = Annotated[Path | None, typer.Option("--report", help="Write an HTML page here.")]
Root = Annotated[Path | None, typer.Option("--data-root", help="Where a backbone by folder name is looked up.")]


def evaluate(
    bundles: Bundles, data: Data, report: Report = None, data_root: Root = None, as_json: Json = False
) -> None:
    """Judge bundles on labelled rows, with intervals and paired differences."""
    from attune.lifecycle.evaluate import evaluate_bundles

    found = evaluate_bundles(bundles, data, root=data_root)
    if report is not None:
        from attune.core.files import whole_file

        with whole_file(report) as path:
            path.write_text(found.page(), encoding="utf-8")
    if as_json:
        emit(found.as_dict())
        return
    for evaluation in found.evaluations:
        show_evaluation(evaluation.as_dict())
    for comparison in found.comparisons:
        show_comparison(comparison.as_dict())
    if report is not None:
        note(f"report  {report}")


def show_comparison(found: dict[str, Any]) -> None:
    """Prints paired differences and the rows only one gets right."""
    rows = [
        [
            name,
            interval(found["metrics_a"][name]),
            interval(found["metrics_b"][name]),
            f"{d['value']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}], p {probability(d['p'])}",
        ]
        for name, d in found["differences"].items()
    ]
    table(
        ["metric", found["a"], found["b"], "difference"],
        rows,
        f"{found['a']} against {found['b']}, {found['rows']:,} rows",
    )
    say(f"both right {found['both']:,}, neither {found['neither']:,}")
    for name, key in ((found["a"], "only_a"), (found["b"], "only_b")):
        say(f"only {name} right: {len(found[key]):,}")
        for row in found[key][:5]:
            say(f"  {row['id']}  gold {', '.join(row['gold']) or '(none)'}  ·  {row['text'][:100]}")
