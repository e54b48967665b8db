"""Every method on Banking77, official split: score, moved parameters, seconds, peak memory, bundle size.

Each recipe is the base recipe with a few overrides, as `--set` takes them, and is written to
examples/banking77/methods/ before it runs. Runs that are in benchmarks/results/methods.json are not repeated.
`--only NAME` runs one of them; `--rows N` tries the script on N training rows and keeps no result.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from runs import EXAMPLES, RESULTS, machine, measure, test_data

from attune.core.recipe import read
from attune.methods.registry import METHODS
from attune.model.assemble import AXES, Cell, why_not

FOLDER = EXAMPLES / "banking77" / "methods"
BASE = EXAMPLES / "banking77" / "probe.toml"
COMMON = ("training.epochs=4", "training.batch_size=64", "task.label_smoothing=0.1")
SETTINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "adapter": {
        "adapter-houlsby": ("method.style=houlsby",),
        "adapter-pfeiffer": ("method.style=pfeiffer",),
        "adapter-parallel": ("method.style=parallel",),
    },
    "frozen": {"probe": ("method.trainable_layers=0",), "frozen-2": ("method.trainable_layers=2",)},
    "full": {"full": ("training.learning_rate=3e-4", "training.layer_decay=0.85")},
    "lora": {"lora": ("training.learning_rate=2e-3", "training.head_learning_rate=2e-3")},
}
"""Method to its recipes and what each overrides; a method that is not here has one, with its own defaults."""


def settings() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every recipe's name and overrides, of every registered method that goes with a linear head."""
    for method in METHODS.names():
        if why_not(cell(method)):
            continue
        for name, overrides in SETTINGS.get(method, {method: ()}).items():
            yield name, (f"method.name={method}", *COMMON, *overrides)


def cell(method: str) -> Cell:
    """The combination that is measured."""
    return Cell("text", "classification", "linear", method, "supervised")


def refused() -> list[str]:
    """Why the other methods are not in the table."""
    return [f"- `{method}`: {reason}" for method in METHODS.names() if (reason := why_not(cell(method)))]


def generate(names: Sequence[str]) -> list[str]:
    """Writes the recipes.

    Args:
        names: Which; empty for all.

    Returns:
        The names of those written, in the order of the table.
    """
    FOLDER.mkdir(exist_ok=True)
    written: list[str] = []
    for name, overrides in settings():
        if not names or name in names:
            text = read(BASE, AXES, overrides).toml()
            (FOLDER / f"{name}.toml").write_text(f"# Written by benchmarks/methods.py.\n\n{text}", encoding="utf-8")
            written.append(name)
    return written


def page(results: Sequence[dict[str, Any]], names: Sequence[str], rows: str) -> str:
    """The table as Markdown."""
    found = {result["recipe"]: result for result in results}
    lines = [
        f"# Methods: Banking77 ({rows}), embedded MiniLM", "", machine(), "",
        "Test accuracy in % with its 95 % bootstrap interval; one seed, at most four epochs, one reading of the test "
        "file a recipe. Every recipe starts from the solved probe. Settings: `examples/banking77/methods/`.", "",
        "| recipe | accuracy | macro F1 | moved parameters | seconds | peak MiB | bundle MiB | rate |",
        "|---|---|---|---|---|---|---|---|",
        *(row(found[name]) for name in names if name in found), "",
        "Moved parameters count the head's. Seconds are of the whole run, audit and evaluation included. Rate is the "
        "peak learning rate of the backbone's parameters.",
    ]  # fmt: skip
    if left := refused():
        lines += ["", "Not measured, because they do not go with a linear head:", "", *left]
    return "\n".join(lines) + "\n"


def row(result: dict[str, Any]) -> str:
    """One line of the table."""
    accuracy, macro, facts = result["metrics"]["accuracy"], result["metrics"]["macro_f1"], result["facts"]
    rate = tomllib.loads(result["resolved"])["training"].get("learning_rate", "")
    interval = f"{100 * accuracy['low']:.2f} to {100 * accuracy['high']:.2f}"
    return (
        f"| {result['recipe']} | {100 * accuracy['value']:.2f} ({interval}) | {100 * macro['value']:.2f} "
        f"| {facts['moved_parameters']:,} | {facts['seconds']:.0f} | {facts['peak_memory_mib']} "
        f"| {result['bundle_mib']} | {rate} |"
    )


def cut(source: Path, target: Path, rows: int) -> None:
    """Rows for a trial, all from the training file: of its first four labels, a fourth as many test rows."""
    by_label: dict[str, list[str]] = {}
    for line in source.read_text(encoding="utf-8").splitlines(keepends=True):
        by_label.setdefault(json.loads(line)["label"], []).append(line)
    some = [lines[: rows // 4] for lines in islice(by_label.values(), 4)]
    fourth = rows // 16
    (target / "train.jsonl").write_text("".join(line for lines in some for line in lines[fourth:]), encoding="utf-8")
    (target / "test.jsonl").write_text("".join(line for lines in some for line in lines[:fourth]), encoding="utf-8")


def main() -> None:
    """Runs what is missing and writes the table, or tries it on a few rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="a recipe's name; may be given several times")
    parser.add_argument("--rows", type=int, default=0, help="rows of a trial, cut from train; 0 for all")
    options = parser.parse_args()
    names, data = generate(options.only), test_data() / "banking77"
    if not options.rows:
        results = measure("methods", names, data, [0], folder=FOLDER)
        text = page(results, [name for name, _ in settings()], "10,003 / 3,080")
        (RESULTS / "methods.md").write_text(text, encoding="utf-8")
    else:
        with tempfile.TemporaryDirectory() as scratch:
            cut(data / "train.jsonl", Path(scratch), options.rows)
            results = measure("methods", names, Path(scratch), [0], folder=FOLDER, results_folder=Path(scratch))
        text = page(results, names, f"a trial on {options.rows} rows of train")
    print(text)


if __name__ == "__main__":
    main()
