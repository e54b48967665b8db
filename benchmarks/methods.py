"""Every method on Banking77 and ATIS, official splits: score, moved parameters, seconds, peak memory, bundle size.

Each run is the set's probe recipe with a few overrides, as `--set` takes them. Runs that are in
benchmarks/results/methods.json are not repeated. `--only NAME` runs one of them, `--write` writes the table of what is
there; `--trial` keeps nothing and measures on rows cut from train.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from runs import EXAMPLES, ONE_THREAD, RESULTS, once, test_data

from attune.methods.registry import METHODS
from attune.model.assemble import Cell, why_not

KEPT = RESULTS / "methods.json"


@dataclass(frozen=True)
class Measured:
    """A set that every method is tried on.

    Attributes:
        name: The data folder and the folder under examples/ with probe.toml.
        task: Of the recipe.
        metric: What counts, by name and in words.
        common: Overrides of every run.
        trial: Overrides that cut a test set from train.
    """

    name: str
    task: str
    metric: tuple[str, str]
    common: tuple[str, ...]
    trial: tuple[str, ...]


SETS = (
    Measured(
        "banking77", "classification", ("accuracy", "Banking77, accuracy"),
        ("training.epochs=4", "training.batch_size=64", "task.label_smoothing=0.1"), ('data.test=""',),
    ),
    Measured(
        "atis", "tagging", ("entity_f1", "ATIS, entity F1"), ("training.epochs=4", "training.batch_size=16"),
        ("data.test=dev.jsonl", 'data.validation=""'),
    ),
)  # fmt: skip
TUNED = ("training.learning_rate=3e-4", "training.layer_decay=0.85")
SETTINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "adapter": {
        "adapter-houlsby": ("method.style=houlsby",),
        "adapter-pfeiffer": ("method.style=pfeiffer",),
        "adapter-parallel": ("method.style=parallel",),
    },
    "frozen": {"probe": ("method.trainable_layers=0",), "frozen-2": ("method.trainable_layers=2",)},
    "full": {"full": TUNED},
    "lora": {"lora": ("training.learning_rate=2e-3", "training.head_learning_rate=2e-3")},
}
"""Method to its runs and what each overrides; a method that is not here has one, with its own defaults."""


def cell(method: str, task: str) -> Cell:
    """The combination that is measured."""
    return Cell("text", task, "linear", method, "supervised")


def settings(task: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every run's name and overrides, of every registered method that goes with a linear head."""
    for method in METHODS.names():
        if not why_not(cell(method, task)):
            for name, overrides in SETTINGS.get(method, {method: ()}).items():
                yield name, (f"method.name={method}", *overrides)


def refused() -> list[str]:
    """Why the other methods are not in the table."""
    reasons = {method: why_not(cell(method, SETS[0].task)) for method in METHODS.names()}
    return [f"- `{method}`: {reason}" for method, reason in reasons.items() if reason]


def run(measured: Measured, overrides: Sequence[str]) -> dict[str, Any]:
    """One run of one method on one set."""
    recipe = EXAMPLES / measured.name / "probe.toml"
    return once(recipe, test_data() / measured.name, 0, (*overrides, *measured.common, ONE_THREAD))


def kept() -> list[dict[str, Any]]:
    """The runs so far, with those that another process made meanwhile."""
    return json.loads(KEPT.read_text()) if KEPT.is_file() else []


def page(results: Sequence[dict[str, Any]]) -> str:
    """The table as Markdown."""
    lines = [
        "# Methods on Banking77 and ATIS, embedded MiniLM", "", *(sorted({each["machine"] for each in results})), "",
        "Official splits, one seed, at most four epochs, one reading of a test file a run; in % with its 95 % "
        "bootstrap interval. Every run starts from the solved probe. Every run's whole recipe is in `methods.json`.",
    ]  # fmt: skip
    for measured in SETS:
        metric, words = measured.metric
        found = {each["method"]: each for each in results if each["set"] == measured.name}
        lines += [
            "", f"| method | {words} | to full | to the probe | moved parameters | s | peak MiB | bundle MiB | rate |",
            "|---|---|---|---|---|---|---|---|---|",
            *(row(found, name, metric) for name, _ in settings(measured.task) if name in found),
        ]  # fmt: skip
    lines += [
        "", "Differences are of the values, in points. Moved parameters count the head's. Seconds (s) are the "
        "processor's, of the whole run on one thread, audit and evaluation included. Rate is the peak learning rate "
        "of the backbone's parameters.",
    ]  # fmt: skip
    if left := refused():
        lines += ["", "Not measured, because they do not go with a linear head:", "", *left]
    return "\n".join(lines) + "\n"


def row(found: dict[str, dict[str, Any]], name: str, metric: str) -> str:
    """One line of the table."""
    result = found[name]
    value, facts = result["metrics"][metric], result["facts"]
    rate = tomllib.loads(result["resolved"])["training"].get("learning_rate", "")
    gaps = [
        f"{100 * (value['value'] - found[other]['metrics'][metric]['value']):+.2f}" if other in found else "–"
        for other in ("full", "probe")
    ]
    return (
        f"| {name} | {100 * value['value']:.2f} [{100 * value['low']:.2f}, {100 * value['high']:.2f}] "
        f"| {' | '.join(gaps)} | {facts['moved_parameters']:,} | {result['processor_seconds']} "
        f"| {facts['peak_memory_mib']} | {result['bundle_mib']} | {rate} |"
    )


def write(results: Sequence[dict[str, Any]]) -> None:
    """Writes the table of what is there."""
    (RESULTS / "methods.md").write_text(page(results), encoding="utf-8")
    print(page(results))


def main() -> None:
    """Runs what is missing and writes the table, or tries it on rows cut from train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="a run's name; may be given several times")
    parser.add_argument("--trial", action="store_true", help="measure on rows cut from train, keep nothing")
    parser.add_argument("--write", action="store_true", help="write the table, run nothing")
    options = parser.parse_args()
    wanted = [(each, *both) for each in SETS for both in settings(each.task)] if not options.write else []
    for measured, name, overrides in wanted:
        if options.only and name not in options.only:
            continue
        if options.trial:
            print(name, run(measured, (*overrides, *measured.trial))["metrics"][measured.metric[0]])
        elif not any((each["set"], each["method"]) == (measured.name, name) for each in kept()):
            found = {"set": measured.name, "method": name, **run(measured, overrides)}
            results = [*kept(), found]
            KEPT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            write(results)
    if not options.trial:
        write(kept())


if __name__ == "__main__":
    main()
