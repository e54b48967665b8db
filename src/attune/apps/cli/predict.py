"""`attune predict`: texts, standard input or a file, answered as a stream."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from attune.apps.cli.common import Json, note, rows_of, say

BundlePath = Annotated[Path, typer.Argument(help="The bundle's folder.")]
Texts = Annotated[
    list[str] | None,
    typer.Argument(help="Texts to answer; none: read lines from standard input. Pairs come from there or a file."),
]
Source = Annotated[str, typer.Option("--file", help="A data file to answer, of any format `train` reads.")]
Column = Annotated[str, typer.Option("--column", help="Column of the file with the text.")]
ColumnPair = Annotated[str, typer.Option("--column-pair", help="Column of the file with the second text of a pair.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="Where to write: .jsonl, .csv or .parquet; default standard output.")
]
Task = Annotated[str, typer.Option("--task", help="Of a bundle of several tasks: answer this one alone.")]
Strict = Annotated[bool, typer.Option("--strict", help="Answer nothing if any row is bad.")]
Root = Annotated[Path | None, typer.Option("--data-root", help="Where a backbone by folder name is looked up.")]


def predict(
    bundle: BundlePath,
    texts: Texts = None,
    file: Source = "",
    column: Column = "text",
    column_pair: ColumnPair = "text_pair",
    out: Out = None,
    task: Task = "",
    strict: Strict = False,
    data_root: Root = None,
    as_json: Json = False,
) -> None:
    """Answer texts with a bundle. A bad row is named by its line; the others are answered (exit status 1)."""
    from attune.lifecycle.answer import Summary, answer, lines_of, rows_of_file, rows_of_texts
    from attune.model.bundle import load

    loaded = load(bundle, root=data_root)
    if file:
        columns = {"text": column, "text_pair": column_pair}
        form, data = loaded.model.task.form, loaded.recipe.data
        source = rows_of_file(file, Path(), {name: columns.get(name) or data.column(name) for name in form.fields})
    elif texts:
        source = rows_of_texts(texts, loaded.model.task.form)
    else:
        source = lines_of(sys.stdin.buffer)
    plain = bool(texts) and not as_json and out is None
    with counting(enabled=out is not None) as tick:
        write = say_plain if plain else say_json
        summary: Summary = answer(loaded, source, out, strict=strict, write=write, tick=tick, task=task)
    for problem in summary.problems[:50]:
        note(f"bad row: {problem}")
    if summary.bad:
        note(f"{rows_of(summary.answered)} answered, {rows_of(summary.bad, 'bad')} left out")
        raise typer.Exit(1)
    if out is not None:
        note(f"{rows_of(summary.answered)} answered into {out}")


def counting(*, enabled: bool) -> Any:
    """A counter on standard error: a context that yields a function taking the rows answered so far."""
    import contextlib

    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    @contextlib.contextmanager
    def running() -> Any:
        bar = Progress(
            TextColumn("{task.completed:,} rows"), TextColumn("{task.fields[rate]}"), TimeElapsedColumn(),
            console=Console(stderr=True), disable=not (enabled and sys.stderr.isatty()),
        )  # fmt: skip
        with bar:
            task = bar.add_task("", total=None, rate="")
            yield lambda rows: bar.update(task, completed=rows)

    return running()


def say_json(record: dict[str, Any]) -> None:
    """Prints one answer as a line of JSON."""
    say(json.dumps(record, ensure_ascii=False))


def listed(answer: list[Any]) -> str:
    """Several labels, or the first numbers of a vector."""
    if answer and isinstance(answer[0], float):
        return f"{', '.join(f'{value:.3f}' for value in answer[:4])}, … ({len(answer)} numbers)"
    return ", ".join(answer) or "(none)"


def alternative(told: dict[str, Any]) -> str:
    """Another answer, with its probability where it has one."""
    return told["label"] if told["confidence"] is None else f"{told['label']} {told['confidence']:.0%}"


def say_plain(record: dict[str, Any]) -> None:
    """Prints one answer for a person; of several tasks one after the other."""
    if "tasks" in record:
        say(record["text"])
        for name, part in record["tasks"].items():
            say_answer(part, name)
        for notice in record["notices"]:
            say(f"    note: {notice}")
        return
    say_answer(record, record["text"])


def say_answer(record: dict[str, Any], beside: str) -> None:
    """Prints one answer, and beside it what it is to."""
    answer = record["answer"]
    given = listed(answer) if isinstance(answer, list) else str(answer)
    others = ", ".join(alternative(a) for a in record["alternatives"] if a["label"] != given)
    sure = "" if record["confidence"] is None else f"  {record['confidence']:.0%}"
    say(f"{given}{sure}   {beside}")
    if others:
        say(f"    else: {others}")
    for span in record["spans"]:
        certain = "" if span["confidence"] is None else f"  {span['confidence']:.0%}"
        say(f"    {span['label']}: {span['text']!r} at {span['start']}–{span['end']}{certain}")
    for level in record.get("levels", []):
        told = ", ".join(alternative(a) for a in level)
        say(f"    above: {told}")
    for notice in record["notices"]:
        say(f"    note: {notice}")
