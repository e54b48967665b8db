"""Runs recipes for several seeds in processes of their own, keeps every result, and writes one table."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
EXAMPLES = HERE.parent / "examples"
ONE_THREAD = "training.threads=1"
"""An override: a run comes out the same on every machine of a kind, and another may run beside it."""


def test_data() -> Path:
    """The folder of public data, from ATTUNE_TEST_DATA."""
    folder = os.environ.get("ATTUNE_TEST_DATA")
    if not folder:
        sys.exit("set ATTUNE_TEST_DATA to the folder with the public data sets")
    return Path(folder)


def machine() -> str:
    """Processor, cores and versions, in one line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    packages = ", ".join(f"{package} {version(package)}" for package in ("attune", "torch", "transformers", "peft"))
    return f"{name}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {packages}"


def processor_seconds(whose: int) -> int:
    """What a process or its children have taken so far, all threads together, whatever else the machine did."""
    used = resource.getrusage(whose)
    return round(used.ru_utime + used.ru_stime)


def once(recipe: Path, data: Path, seed: int, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Trains a recipe with a seed in a new process.

    Args:
        recipe: The recipe.
        data: The data root.
        seed: Seed of the training.
        overrides: `section.key=value` strings.

    Returns:
        Figures with intervals, baselines, seconds, those of the processor, and peak memory.
    """
    before = processor_seconds(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "run"
        command = [sys.executable, "-m", "attune.apps.cli.main", "train", str(recipe), "--data-root", str(data)]
        settings = [word for item in (f"training.seed={seed}", *overrides) for word in ("--set", item)]
        subprocess.run([*command, "--out", str(out), *settings], check=True)
        evaluation = json.loads((out / "bundle" / "evaluation.json").read_text())
        run = json.loads((out / "bundle" / "run.json").read_text())
        resolved = (out / "bundle" / "recipe.toml").read_text()
        size = sum(path.stat().st_size for path in (out / "bundle").rglob("*") if path.is_file())
    kept = ("name", "metrics", "difference")
    return {
        "recipe": recipe.stem,
        "seed": seed,
        "metrics": evaluation["metrics"],
        "facts": run["facts"],
        "processor_seconds": processor_seconds(resource.RUSAGE_CHILDREN) - before,
        "bundle_mib": round(size / 2**20, 1),
        "resolved": resolved,
        "machine": machine(),
        "baselines": [{key: baseline[key] for key in kept} for baseline in evaluation["baselines"]],
    }


def measure(
    name: str,
    recipes: Sequence[str],
    data: Path,
    seeds: Sequence[int],
    *,
    folder: Path | None = None,
    results_folder: Path = RESULTS,
) -> list[dict[str, Any]]:
    """Every recipe with every seed; results already there are kept.

    Args:
        name: Of the benchmark.
        recipes: Names of recipes.
        data: The data root.
        seeds: Seeds.
        folder: Where the recipes are; default the folder under examples/ of the benchmark's name.
        results_folder: Where results are kept.

    Returns:
        One result a run.
    """
    path = results_folder / f"{name}.json"
    results: list[dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else []
    for seed in seeds:
        for recipe in recipes:
            if any(found["recipe"] == recipe and found["seed"] == seed for found in results):
                continue
            results.append(once((folder or EXAMPLES / name) / f"{recipe}.toml", data, seed))
            path.write_text(json.dumps(results, indent=1) + "\n")
    return results


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean with the lowest and the highest."""
    return f"{statistics.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
