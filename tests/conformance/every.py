"""Every cell, every invariant: `python tests/conformance/every.py`, or `make conformance`.

Every cell is tried at least once, in a cover in which every two entries meet; with --whole each cell has a pairwise
cover of its own, of its backbones, poolings, options and forms of label, which takes hours. Writes
benchmarks/results/conformance.md. Two rounds of worker processes: the second reads what the first packed.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "src"), str(REPOSITORY / "tests")]

from attune.model.assemble import matrix  # noqa: E402
from support import cells, worker  # noqa: E402

TOLD = {
    1: "loss falls on eight examples, only declared parameters move",
    2: "save, load, predict: the same answers in a new process",
    3: "merge agrees with the unmerged model within 5e-5, or says why it cannot be",
    4: "two runs in two processes are equal bit for bit",
    5: "alone, in a batch, padded, in another order: the same answer within 5e-5",
    6: "micro-batches accumulated equal the whole batch within 1e-6",
    7: "killed with SIGKILL and resumed ends like never killed",
    8: "unsupported raises before data is read, with reason and remedy",
    9: "labels never vanish silently",
}
FIRST = (*(str(number) for number in cells.IN_PROCESS), "pack", "trained", "killed")
SECOND = ("answer", "trained")
FOLDER = {"pack": "packed", "answer": "packed"}
NUMBERS = {**{str(number): number for number in cells.IN_PROCESS}, "pack": 2, "answer": 2, "trained": 4, "killed": 7}
"""Job to the invariant it is for."""


def round_of(
    variants: Sequence[cells.Variant], kinds: Sequence[str], suffix: str, root: Path, base: Path, processes: int
) -> dict[tuple[str, str], Any]:
    """Does jobs of variants in as many new processes at once.

    Args:
        variants: What is tried.
        kinds: Job names.
        suffix: Tells this round's folders from another's, where they must not be shared.
        root: The backbones.
        base: For the jobs' folders.
        processes: How many.

    Returns:
        Results by variant and job.
    """
    jobs = [
        {"do": kind, "variant": variant.plain(), "scratch": str(base / str(variant) / FOLDER.get(kind, kind + suffix))}
        for variant in variants
        for kind in kinds
        if cells.applies(NUMBERS[kind], variant)
    ]
    shares = [jobs[at::processes] for at in range(processes)]
    started = [worker.start(root, share) for share in shares]
    found: dict[tuple[str, str], Any] = {}
    with ThreadPoolExecutor(processes) as readers:  # a worker whose answers nobody reads stops when the pipe is full
        answered = list(readers.map(worker.results, started))
    for share, results in zip(shares, answered, strict=True):
        for job, result in zip(share, results, strict=True):
            found[str(cells.Variant(**job["variant"])), job["do"]] = result
    return found


def verdicts(
    variants: Sequence[cells.Variant], first: Mapping[Any, Any], second: Mapping[Any, Any]
) -> dict[tuple[str, int], str]:
    """What failed, by variant and invariant; an empty string where nothing did."""
    found: dict[tuple[str, int], str] = {}
    for each in variants:
        variant = str(each)
        for number in cells.IN_PROCESS:
            if cells.applies(number, each):
                found[variant, number] = first[variant, str(number)].get("error", "")
        packed, answered = first[variant, "pack"], second[variant, "answer"]
        found[variant, 2] = errors(packed, answered) or cells.unlike(packed["value"], answered["value"])
        if cells.applies(4, each) and cells.applies(7, each):
            run, again, killed = first[variant, "trained"], second[variant, "trained"], first[variant, "killed"]
            found[variant, 4] = errors(run, again) or ("" if run == again else "the runs differ")
            found[variant, 7] = errors(run, killed) or ("" if run == killed else "the resumed run differs")
    return found


def errors(*results: Mapping[str, Any]) -> str:
    """The tracebacks of failed jobs."""
    return "\n".join(result["error"] for result in results if "error" in result)


def page(
    variants: Sequence[cells.Variant], found: Mapping[tuple[str, int], str], seconds: float, processes: int
) -> str:
    """The counts as Markdown."""
    passed = Counter(number for (_, number), failure in found.items() if not failure)
    tried = Counter(number for _, number in found)
    idle = {number: sum(not cells.applies(number, variant) for variant in variants) for number in TOLD}
    lines = [
        "# Conformance: every cell, every invariant",
        "",
        f"{len(cells.supported())} supported cells, {len(variants)} of {len(cells.every())} variants, "
        f"{sum(passed.values())} of {len(found)} checks passed, {sum(idle.values())} do not apply, "
        f"{len(cells.refused())} cells refused. Made by `make conformance` in {seconds:.0f} s "
        f"on {datetime.now(UTC):%Y-%m-%d}.",
        "",
        "| invariant (DESIGN §4) | variants | passed | does not apply |",
        "|---|---:|---:|---:|",
        *(f"| {number}. {TOLD[number]} | {tried[number]} | {passed[number]} | {idle[number]} |" for number in TOLD),
        "",
        "Every cell is tried at least once, and every two entries meet; with `--whole` each cell has a cover of "
        "its own, of every two backbones, poolings, options and label forms.",
        "Invariants 1, 4, 6 and 7 are of steps; they do not apply where the method takes none.",
        "",
        "| cell | variants | checks passed |",
        "|---|---:|---:|",
    ]
    for cell in cells.supported():
        own = [variant for variant in variants if variant.cell == cell]
        asked = [(str(variant), number) for variant in own for number in TOLD if cells.applies(number, variant)]
        lines.append(f"| {cell} | {len(own)} | {sum(not found[each] for each in asked)} of {len(asked)} |")
    lines += refused()
    lines += ["", "## Failed checks", ""]
    bad = [
        f"- {variant}, invariant {number}: {failure.splitlines()[-1]}"
        for (variant, number), failure in found.items()
        if failure
    ]
    lines += bad or ["None."]
    names = ("torch", "transformers", "peft", "safetensors", "numpy")
    kinds = ", ".join(sorted({variant.kind for variant in variants}))
    lines += [
        "",
        "## Where",
        "",
        f"- Machine: {platform.machine()}, {os.cpu_count()} cores, {platform.system()}; "
        f"{processes} processes of one thread.",
        f"- Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in names) + ".",
        f"- Backbones: tiny random ones, two layers, width 32: {kinds}.",
    ]
    return "\n".join(lines) + "\n"


def refused() -> list[str]:
    """Lines on every refused cell, those with one reason that differ by method and objective alone together."""
    rows, _, _ = matrix()
    return [
        "",
        "## Refused cells",
        "",
        "| family | task | head | objectives | methods | reason |",
        "|---|---|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows if row[-1] != "yes"),
    ]


def main() -> int:
    """Runs everything and writes the page.

    Returns:
        0 where every check passed.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "results" / "conformance.md")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--whole", action="store_true", help="a pairwise cover of every cell; takes hours")
    options = parser.parse_args()
    variants = cells.covered_cells() if options.whole else cells.cell_cover()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        root, base = cells.backbones(Path(folder) / "backbones"), Path(folder) / "runs"
        first = round_of(variants, FIRST, "", root, base, options.processes)
        second = round_of(variants, SECOND, "-again", root, base, options.processes)
    found = verdicts(variants, first, second)
    text = page(variants, found, time.monotonic() - begin, options.processes)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    for (variant, number), failure in found.items():
        if failure:
            sys.stderr.write(f"\n{variant}, invariant {number}:\n{failure}\n")
    return int(any(found.values()))


if __name__ == "__main__":
    raise SystemExit(main())
