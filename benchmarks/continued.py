"""Continued pre-training on medical text: masked perplexity before and after, and what it is worth on PubMedQA.

Every stage is kept in the work folder, and goes on where it was stopped. `--cut 2000` tries it on so many lines a file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from runs import EXAMPLES, ONE_THREAD, RESULTS, machine, once, spread, test_data

from attune.lifecycle.evaluate import evaluate_bundles

FILES = ("medquad_text/train.txt", "medquad_text/test.txt", "wikitext2/valid.txt", "pubmedqa/train.jsonl",
         "pubmedqa/test.jsonl")  # fmt: skip
STAGES = ("before", "head", "continued")
"""The second and third go on from the first."""
TOLD = {
    "before": "head alone on wikitext2",
    "head": "then head alone on medquad_text",
    "continued": "then all of it on medquad_text",
}
BACKBONES = {"all-MiniLM-L6-v2": "as published", "continued": "after continued pre-training"}
SEEDS = (0, 1, 2)
RECIPES = EXAMPLES / "medquad_text"


def data_root(work: Path, cut: int) -> Path:
    """A folder with the data sets, whole or cut, in which the stages' exports come to lie."""
    for name in FILES:
        target = work / "data" / name
        if target.is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with (test_data() / name).open(encoding="utf-8") as source:
            target.write_text("".join(islice(source, cut or None)), encoding="utf-8")
    return work / "data"


def attune(*arguments: str | Path) -> None:
    """Runs the command line in a process of its own."""
    subprocess.run([sys.executable, "-m", "attune.apps.cli.main", *map(str, arguments)], check=True)


def stage(name: str, root: Path, work: Path, overrides: Sequence[str]) -> Path:
    """Trains a stage, or goes on with it, and exports it; tells where its bundle is."""
    run = work / name
    if not (run / "bundle" / "manifest.json").is_file():
        settings = [word for item in (ONE_THREAD, *overrides) for word in ("--set", item)]
        if (run / "start.json").is_file():
            attune("train", "--resume", run)
        else:
            attune("train", RECIPES / f"{name}.toml", "--data-root", root, "--out", run, *settings)
    if not (root / name).is_dir():
        attune("export", run / "bundle", "--format", "transformers", "--out", root / name, "--data-root", root)
    return run / "bundle"


def figures(bundle: Path) -> dict[str, Any]:
    """What a stage's bundle says of itself."""
    evaluation = json.loads((bundle / "evaluation.json").read_text())
    run = json.loads((bundle / "run.json").read_text())
    beside = {found["name"]: found["metrics"] for found in evaluation["baselines"]}
    return {"metrics": evaluation["metrics"], "facts": run["facts"], "beside": beside}


def main() -> None:
    """Runs what is missing and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for data, runs and exports; kept")
    parser.add_argument("--cut", type=int, default=0, help="lines of each file; 0 for all")
    parser.add_argument("--set", action="append", default=[], help="section.key=value for every stage")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the table and the figures")
    options = parser.parse_args()
    root = data_root(options.work.resolve(), options.cut)
    kept = options.out / "continued.json"
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {"stages": {}, "downstream": []}
    left = [
        (backbone, seed)
        for backbone in reversed(BACKBONES)
        for seed in SEEDS
        if not any((each["backbone"], each["seed"]) == (backbone, seed) for each in found["downstream"])
    ]
    if "differences" not in found or any(backbone in STAGES for backbone, _ in left):
        bundles: dict[str, Path] = {}
        for name in STAGES:
            bundles[name] = stage(name, root, options.work.resolve(), options.set)
            found["stages"][name] = figures(bundles[name])
            kept.write_text(json.dumps(found, indent=1) + "\n")
        found["differences"] = found.get("differences") or differences(bundles, root)
    for backbone, seed in left:
        result = once(RECIPES / "downstream.toml", root, seed, [f"backbone.name={backbone}", ONE_THREAD])
        found["downstream"].append({"backbone": backbone, **result})
        kept.write_text(json.dumps(found, indent=1) + "\n")
    write(found, options.out / "continued.md", options.cut)


def differences(bundles: dict[str, Path], root: Path) -> dict[str, Any]:
    """Continued pre-training against each of the others, on the same hidden tokens."""
    order = [bundles["continued"], bundles["before"], bundles["head"]]
    compared = evaluate_bundles(order, str(root / FILES[1]), root=root).comparisons
    return {
        name: {metric: asdict(each) for metric, each in comparison.differences.items()}
        for name, comparison in zip(("before", "head"), compared, strict=True)
    }


def write(found: dict[str, Any], path: Path, cut: int) -> None:
    """Writes the table of what has been run."""
    lines = [
        "# Continued pre-training on medical text, embedded MiniLM", "", machine(), "",
        *([f"Tried on the first {cut:,} lines of each file only.", ""] if cut else []),
        "Masked perplexity on medquad_text's test file: 15 % of the tokens of each line, drawn by its content, each "
        "become the mask; lines packed in their order. The published checkpoint has no language head, so one tied to "
        "its word vectors is first trained on wikitext2 (valid.txt) with the backbone frozen: that is before. Next "
        "comes the control: the same head, two more epochs, on medical text.", "",
        "| | masked perplexity | masked accuracy, % | moved parameters | minutes |",
        "|---|---|---|---:|---:|",
    ]  # fmt: skip
    majority = found["stages"]["continued"]["beside"]["majority"]
    lines.append(f"| frequency of tokens alone | {shown(majority)} | | |")
    for name in STAGES:
        told = found["stages"][name]
        minutes = told["facts"]["seconds"] / 60
        lines.append(
            f"| {TOLD[name]} | {shown(told['metrics'])} | {told['facts']['moved_parameters']:,} | {minutes:.1f} |"
        )
    lines += [
        "",
        "Paired, all of it against: " + "; ".join(paired(found, name) for name in ("before", "head")) + ".",
        "",
    ]
    lines += ["| PubMedQA, the backbone tuned | accuracy, % | macro F1, % |", "|---|---|---|"]
    for backbone, told in BACKBONES.items():
        rows = [each for each in found["downstream"] if each["backbone"] == backbone]
        accuracy, macro = (
            spread([100 * r["metrics"][name]["value"] for r in rows]) for name in ("accuracy", "macro_f1")
        )
        lines.append(f"| {told} | {accuracy} | {macro} |")
    lines += ["", "Mean of three seeds (lowest to highest); 500 rows to learn from, 500 of the official test file."]
    path.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def shown(metrics: dict[str, Any]) -> str:
    """Perplexity and accuracy with their intervals."""
    loss, right = metrics["masked_perplexity"], metrics["masked_accuracy"]
    return (
        f"{loss['value']:.2f} [{loss['low']:.2f}, {loss['high']:.2f}] | "
        f"{100 * right['value']:.1f} [{100 * right['low']:.1f}, {100 * right['high']:.1f}]"
    )


def paired(found: dict[str, Any], name: str) -> str:
    """The paired difference in perplexity to one stage."""
    each = found["differences"][name]["masked_perplexity"]
    return f"{TOLD[name]}: {each['value']:+.2f} [{each['low']:+.2f}, {each['high']:+.2f}], p {each['p']:.3f}"


if __name__ == "__main__":
    main()
