"""Peak anonymous memory of `attune audit` and `attune predict`, for files of two sizes.

    python benchmarks/memory.py                          # 100,000 and 1,000,000 rows, into results/memory.md
    python benchmarks/memory.py --sizes 20000 200000 --json

Each command runs in a process of its own; every 50 ms the `RssAnon` of it and of its children is read from
`/proc/PID/status`, which leaves out what is mapped from files and what the file cache holds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from support import tiny  # noqa: E402

STEP = 0.05
TOPICS = {
    "refund": ("refund please", "return the order", "money back now", "the price was wrong"),
    "delivery": ("where is my parcel", "it was late", "the card is broken", "my order is not here"),
}
RECIPE = """\
[data]
train = "{name}"
acknowledge = ["leakage", "contradictory_labels"]

[backbone]
name = "tiny"
max_unknown = 0.99

[method]
name = "frozen"
trainable_layers = 0

[evaluation]
baselines = ["majority"]
"""


def rows(count: int, seed: int = 0) -> Iterator[dict[str, str]]:
    """Rows of two classes: nearly all texts differ, 3 % repeat an earlier one, 1 % hold an e-mail address."""
    draw = random.Random(seed)
    held: list[dict[str, str]] = []
    for number in range(count):
        chance = draw.random()
        if chance < 0.03 and held:
            yield draw.choice(held)
            continue
        label = draw.choice(list(TOPICS))
        words = draw.choices(tiny.WORDS, k=draw.randint(3, 12))
        mail = f"write to customer{number}@example.org" if chance > 0.99 else ""
        text = " ".join([draw.choice(TOPICS[label]), *words, f"number {number}", mail]).strip()
        row = {"text": text, "label": label}
        if len(held) < 1000:
            held.append(row)
        yield row


def write(folder: Path, count: int) -> str:
    """Writes a file of rows and a recipe for it."""
    name = f"rows{count}"
    with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as stream:
        for row in rows(count):
            stream.write(json.dumps(row) + "\n")
    (folder / f"{name}.toml").write_text(RECIPE.format(name=f"{name}.jsonl"), encoding="utf-8")
    return name


def anonymous(process: psutil.Process) -> int:
    """KiB of anonymous memory of a process and its children."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        status = Path(f"/proc/{one.pid}/status").read_text(encoding="utf-8")
        total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))
    return total


def attune(folder: Path, *arguments: str) -> dict[str, Any]:
    """Runs a command and watches its memory.

    Args:
        folder: Where it runs.
        *arguments: Of `attune`.

    Returns:
        `peak` in KiB, `seconds`, and standard output.
    """
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent / "src"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "attune.apps.cli.main", *arguments]
    begun, peak = time.monotonic(), 0
    with (folder / "out").open("w+b") as out, (folder / "err").open("w+b") as err:
        with subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=err) as running:
            process = psutil.Process(running.pid)
            while running.poll() is None:
                with contextlib.suppress(FileNotFoundError, ProcessLookupError, psutil.Error):
                    peak = max(peak, anonymous(process))
                time.sleep(STEP)
        seconds = time.monotonic() - begun
        err.seek(0)
        if running.returncode:
            raise SystemExit(f"{' '.join(arguments)} ended with {running.returncode}:\n{err.read().decode()}")
        out.seek(0)
        return {"peak": peak, "seconds": round(seconds, 1), "out": out.read().decode()}


def measure(folder: Path, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Runs both commands over files of every size."""
    tiny.backbone(folder / "tiny", texts=[row["text"] for row in rows(2000)])
    small = write(folder, 400)
    attune(folder, "train", f"{small}.toml", "--out", "run", "--json")
    found: list[dict[str, Any]] = []
    for size in sizes:
        name = write(folder, size)
        told = attune(folder, "audit", f"{name}.toml", "--json")
        audit = json.loads(told.pop("out"))
        counts = {finding["kind"]: finding["count"] for finding in audit["findings"]}
        found.append({"command": "audit", "rows": size, **told, "findings": counts, "sampled": audit["sampled"]})
        told = attune(folder, "predict", "run/bundle", "--file", f"{name}.jsonl", "--out", "answers.jsonl")
        del told["out"]
        with (folder / "answers.jsonl").open("rb") as stream:
            answered = sum(1 for _ in stream)
        assert answered == size, f"{answered} of {size} rows answered"
        found.append({"command": "predict", "rows": size, **told})
        print(json.dumps(found[-2:]), file=sys.stderr, flush=True)
        (folder / f"{name}.jsonl").unlink()
    return found


def ratios(found: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Peak with the largest file over peak with the smallest, by command."""
    result: dict[str, float] = {}
    for command in ("audit", "predict"):
        peaks = [one["peak"] for one in sorted(found, key=lambda one: one["rows"]) if one["command"] == command]
        result[command] = round(peaks[-1] / peaks[0], 4)
    return result


def page(found: Sequence[dict[str, Any]]) -> str:
    """The results as Markdown."""
    made = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "pyarrow", "numpy"))
    lines = [
        "# Memory of `attune audit` and `attune predict`",
        "",
        "Peak anonymous memory (`RssAnon`, read every 50 ms) over generated files of two classes, with a tiny random",
        "BERT (2 layers, 32 wide). Made by `python benchmarks/memory.py`.",
        "",
        f"Machine: {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.platform()}; "
        f"Python {platform.python_version()}, {made}.",
        "",
        "| command | rows | peak anonymous memory | seconds |",
        "|---|---:|---:|---:|",
    ]
    for one in sorted(found, key=lambda one: (one["command"], one["rows"])):
        lines.append(f"| {one['command']} | {one['rows']:,} | {one['peak'] / 1024:.1f} MiB | {one['seconds']:.0f} |")
    sizes = sorted({one["rows"] for one in found})
    lines += ["", f"Peak with {sizes[-1]:,} rows over peak with {sizes[0]:,}:", ""]
    lines += [f"- `{command}`: {ratio:.3f}" for command, ratio in ratios(found).items()]
    largest = next(one for one in found if one["command"] == "audit" and one["rows"] == sizes[-1])
    lines += ["", f"What `audit` found in {sizes[-1]:,} rows, and what it looked at where not at all of them:", ""]
    lines += [f"- {kind}: {count:,}" for kind, count in largest["findings"].items()]
    lines += [f"- {check}: looked at {said}" for check, said in largest["sampled"].items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--json", action="store_true", help="print the figures and write no page")
    parser.add_argument("--folder", type=Path, help="where the files are made; default a temporary folder")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="attune-memory-", dir=chosen.folder) as folder:
        found = measure(Path(folder), chosen.sizes)
    if chosen.json:
        print(json.dumps({"measured": found, "ratios": ratios(found)}))
        return
    target = HERE / "results" / "memory.md"
    target.parent.mkdir(exist_ok=True)
    target.write_text(page(found), encoding="utf-8")
    print(page(found))


if __name__ == "__main__":
    main()
