"""What commands share: options, tables, JSON, progress."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override a recipe key: section.key=value. Repeatable.")]
Root = Annotated[
    Path | None,
    typer.Option("--data-root", help="Folder that file names in a recipe are relative to; default the recipe's."),
]


def say(text: str = "") -> None:
    """Prints a line to standard output."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Prints a line to standard error, where it does not mix with results."""
    sys.stderr.write(text + "\n")


def emit(value: Any) -> None:
    """Prints a value as JSON."""
    say(json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False, default=str))


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "") -> None:
    """Prints a table, its columns as wide as the terminal lets them be."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=title or None, title_justify="left", header_style="bold", pad_edge=False, box=None)
    for heading in headings:
        grid.add_column(heading, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(str(cell)) for cell in row))
    Console(soft_wrap=False).print(grid)


BEHIND = ("mae_steps", "log_loss", "ece")
"""Figures shown after the headline, where a task has them."""


def show_evaluation(evaluation: Mapping[str, Any]) -> None:
    """Prints headline figures with intervals, beside the baselines, and the paired test against each."""
    names = [*evaluation["headline"], *(name for name in BEHIND if name in evaluation["metrics"])]
    against = [f"difference in {names[0]}"] if evaluation["baselines"] else []
    rows = [[evaluation["name"], *(interval(evaluation["metrics"][name]) for name in names), *("" for _ in against)]]
    for other in evaluation["baselines"]:
        found = other["difference"]
        told = f"{found['value']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}], p {probability(found['p'])}"
        rows.append(
            [
                other["name"],
                *(interval(other["metrics"][name]) if name in other["metrics"] else "" for name in names),
                told,
            ]
        )
    table(
        ["", *names, *against],
        rows,
        f"{evaluation['rows']:,} rows" + (f", {len(evaluation['labels'])} labels" if evaluation["labels"] else ""),
    )
    for notice in evaluation["notices"]:
        note(f"notice: {notice}")
    for name, part in evaluation.get("parts", {}).items():
        say()
        say(f"task {name}")
        show_evaluation(part)


def interval(found: Mapping[str, float]) -> str:
    """A figure with its interval."""
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def plainly(value: Any) -> str:
    """A value as people write it: thousands apart, a mapping or a list in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plainly(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return " ".join(plainly(item) for item in value) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def rows_of(count: int, kind: str = "") -> str:
    """A number of rows of a kind, in words."""
    return f"{count:,} {kind}{' ' if kind else ''}{'row' if count == 1 else 'rows'}"


def probability(value: float) -> str:
    """A p-value as people write it."""
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def read_recipe(path: Path, overrides: Sequence[str] | None, root: Path | None) -> tuple[Any, Path]:
    """A recipe from a file with overrides, and the data root it goes with."""
    from attune.core.recipe import read
    from attune.model.assemble import AXES

    return read(path, AXES, overrides or ()), root or path.parent


@contextlib.contextmanager
def signals() -> Generator[Callable[[], str]]:
    """Hears Ctrl-C and SIGTERM instead of dying of them.

    Yields:
        A function that names the signal heard, or says nothing. A second Ctrl-C kills at once.
    """
    heard: list[str] = []

    def hear(number: int, _frame: Any) -> None:
        heard.append(signal.Signals(number).name)
        note(f"{heard[0]}: finishing the step and writing a checkpoint …")
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: heard[0] if heard else ""
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Progress:
    """A progress bar on standard error, fed with a run's events.

    Args:
        quiet: Print nothing.
    """

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self.console = Console(stderr=True, quiet=quiet)
        self.bar = Bar(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(), TextColumn("{task.fields[best]}"), console=self.console, disable=quiet,
        )  # fmt: skip
        self.task: Any = None
        self.rows = 0
        self.steps = 1
        self.seen: list[tuple[float, int]] = []
        self.best = ""

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Hears one event."""
        handler = getattr(self, f"_{event['event']}", None)
        if handler:
            handler(event)

    def _audit(self, event: Mapping[str, Any]) -> None:
        self.console.print(f"audit: {event['summary']}", markup=False, highlight=False)

    def _candidate(self, event: Mapping[str, Any]) -> None:
        told = f"not usable: {event['reason']}"
        if event["score"]:
            told = (
                f"{event['metric']} {interval(event['score'])}, {event['unknown']:.1%} of tokens unknown, "
                f"{event['rows_per_second']:,.0f} rows/s, {event['parameters']:,} parameters, "
                f"{event['mebibytes']:,.1f} MiB"
            )
        self.console.print(f"candidate {event['name']}: {told}", markup=False, highlight=False)

    def _chosen(self, event: Mapping[str, Any]) -> None:
        told = f"chosen: {event['chosen']}, by a linear probe cross-validated on training rows ({event['sample']})"
        for line in (told, *(f"notice: {notice}" for notice in event["notices"])):
            self.console.print(line, markup=False, highlight=False)

    def _resolved(self, event: Mapping[str, Any]) -> None:
        if times := event.get("seconds_a_step"):
            told = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in times.items())
            self.console.print(f"measured a training step: {told}", highlight=False)

    def _probe(self, event: Mapping[str, Any]) -> None:
        self.console.print(f"solving the head on the untuned features of {event['rows']:,} rows …", highlight=False)

    def _described(self, event: Mapping[str, Any]) -> None:
        told = f"label vectors from {event['texts']:,} texts and {event['shots']:,} training rows"
        self.console.print(told, highlight=False)

    def _untrained(self, event: Mapping[str, Any]) -> None:
        self.console.print(f"nothing is trained (method {event['method']})", highlight=False)

    def _start(self, event: Mapping[str, Any]) -> None:
        self.rows, self.steps = event["rows"] * event["epochs"], max(event["steps"], 1)
        if event["steps"]:
            self._open(0)

    def _open(self, step: int) -> None:
        if self.task is None and self.steps > 1:
            self.bar.start()
            self.task = self.bar.add_task("training", total=self.steps, completed=step, rate="", best="")

    def _unfrozen(self, event: Mapping[str, Any]) -> None:
        what = f"layers {event['lowest']} to {event['layers']}" if event["lowest"] else "all layers and the embeddings"
        self.console.print(f"from step {event['step'] + 1} on {what} move", highlight=False)

    def _step(self, event: Mapping[str, Any]) -> None:
        if self.task is None:
            return
        self.seen = [*self.seen[-30:], (event["time"], event["step"])]
        (begin, first), (end, last) = self.seen[0], self.seen[-1]
        rate = (last - first) * self.rows / self.steps / max(end - begin, 1e-6)
        told = f"loss {event['loss']:.3f}  {rate:,.0f} rows/s" if last > first else ""
        self.bar.update(self.task, completed=event["step"], rate=told, best=self.best)

    def _validation(self, event: Mapping[str, Any]) -> None:
        self.best = f"best {event['best']:.4f}"
        figures = "  ".join(
            f"{name.removeprefix('validation_')} {value:.4f}"
            for name, value in event.items()
            if name.startswith("validation_")
        )
        self.console.print(f"epoch {event['epoch']}: {figures}", highlight=False)

    def _epoch(self, event: Mapping[str, Any]) -> None:
        self.console.print(f"epoch {event['epoch']}: training loss {event['train_loss']:.4f}", highlight=False)

    def _evaluating(self, event: Mapping[str, Any]) -> None:
        self.bar.stop()
        self.console.print(
            f"evaluating on {event['rows']:,} {event['split']} rows, beside the baselines …", highlight=False
        )
