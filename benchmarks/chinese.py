"""Chinese with the embedded MiniLM as it is, with words of its own, and with small encoders that attune pre-trained.

Every stage is kept in the work folder, and goes on where it was stopped; runs that are in the committed results are not
repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import crf
from continued import attune, figures
from runs import EXAMPLES, ONE_THREAD, RESULTS, machine, once, test_data

from attune.evaluation.words import BASELINES, TITLES

RECIPES = EXAMPLES / "chinese"
PRETRAINED = ("masked_lm", "replaced_token")
TOLD = {
    "minilm": "MiniLM as published",
    "transplant": "MiniLM with a Chinese vocabulary",
    "scratch": "the small encoder, not pre-trained",
    "masked_lm": "the small encoder, pre-trained on hidden tokens",
    "replaced_token": "the small encoder, pre-trained on replaced tokens",
}
SETS = {
    "online_shopping_10_cats": (RECIPES / "shopping.toml", "accuracy"),
    "resume_ner": (EXAMPLES / "resume_ner" / "tagging.toml", "entity_f1"),
}
PREPARED = "online_shopping_10_cats"
"""The set whose rows `examples/chinese/prepare.py` chooses, beside the texts."""
WORDS = ("backbone.tokenizer.kind=wordpiece", "backbone.tokenizer.vocabulary=8000")
SIZE = tuple(
    f"backbone.scratch.{key}={value}"
    for key, value in {"layers": 4, "width": 256, "heads": 4, "positions": 256}.items()
)
RATE = "training.learning_rate=5e-4"
"""Of the small encoders, on both sets; MiniLM keeps the recipe's."""


def pretrain(name: str, work: Path) -> Path:
    """Trains a stage, or goes on with it; tells where its bundle is."""
    run = work / name
    if not (run / "bundle" / "manifest.json").is_file():
        if (run / "start.json").is_file():
            attune("train", "--resume", run)
        else:
            recipe = RECIPES / f"{name}.toml"
            attune("train", recipe, "--data-root", work / "texts", "--out", run, "--set", ONE_THREAD)
    return run / "bundle"


def overrides(backbone: str, work: Path) -> tuple[str, ...]:
    """What makes a recipe one of a backbone."""
    words = (*WORDS, f"backbone.tokenizer.text={work / 'texts' / 'texts.txt'}")
    if backbone == "minilm":
        return ()
    if backbone == "transplant":
        return words
    if backbone == "scratch":
        return ("backbone.name=scratch", *SIZE, *words, RATE)
    return (f"backbone.name={work / backbone / 'bundle'}", RATE)


def run(name: str, backbone: str, work: Path) -> dict[str, Any]:
    """One run on one set; tagging stands beside sklearn-crfsuite."""
    recipe, _ = SETS[name]
    made = crf.once if name == "resume_ner" else once
    data = work / "texts" if name == PREPARED else test_data() / name
    return {"set": name, "backbone": backbone, **made(recipe, data, 0, (ONE_THREAD, *overrides(backbone, work)))}


def page(found: dict[str, Any]) -> str:
    """The table of what was run."""
    lines = [
        "# Chinese, two cores", "", machine(), "",
        "The small encoder has four layers, 256 wide, and a vocabulary of 8,000 pieces, each Chinese character a word. "
        "It read the training texts of reviews, news, questions, abstracts and laws (`examples/chinese/prepare.py`). "
        "Of the reviews' labels 4,000 are learned from. "
        "One seed; test files read once a run; 95 % intervals. The difference is paired, on the same rows, with its "
        "interval.", "",
        "| pre-training | metric | value | moved parameters | minutes |", "|---|---|---|---:|---:|",
    ]  # fmt: skip
    for name, told in found["stages"].items():
        metric, value = next(iter(told["metrics"].items()))
        shown = f"{value['value']:.2f}" if "perplexity" in metric else f"{100 * value['value']:.1f}"
        moved, minutes = told["facts"]["moved_parameters"], told["facts"]["seconds"] / 60
        lines.append(f"| {TOLD[name]} | {TITLES[metric]} | {shown} | {moved:,} | {minutes:.1f} |")
    for name, (_, metric) in SETS.items():
        own = {each["backbone"]: each for each in found["runs"] if each["set"] == name}
        lines += ["", f"| {name} | {TITLES[metric]} | beside it | difference |", "|---|---|---|---|"]
        lines += [row(told, own[backbone], metric) for backbone, told in TOLD.items() if backbone in own]
    return "\n".join(lines) + "\n"


def row(told: str, result: dict[str, Any], metric: str) -> str:
    """One line of a set's table."""
    value, beside = result["metrics"][metric], result["baselines"][-1]
    gap = beside["difference"]
    return (
        f"| {told} | {100 * value['value']:.2f} [{100 * value['low']:.2f}, {100 * value['high']:.2f}] "
        f"| {BASELINES.get(beside['name'], beside['name'])} {100 * beside['metrics'][metric]['value']:.2f} "
        f"| {100 * gap['value']:+.2f} [{100 * gap['low']:+.2f}, {100 * gap['high']:+.2f}] |"
    )


def main() -> None:
    """Runs what is missing and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for texts and pre-training runs; kept")
    options = parser.parse_args()
    work, kept = options.work.resolve(), RESULTS / "chinese.json"
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {"stages": {}, "runs": []}
    if not (work / "texts" / "texts.txt").is_file():
        subprocess.run([sys.executable, RECIPES / "prepare.py", test_data(), work / "texts"], check=True)
    for backbone in TOLD:
        if backbone in PRETRAINED and backbone not in found["stages"]:
            found["stages"][backbone] = figures(pretrain(backbone, work))
        for name in SETS:
            if not any((each["set"], each["backbone"]) == (name, backbone) for each in found["runs"]):
                found["runs"].append(run(name, backbone, work))
            kept.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            (RESULTS / "chinese.md").write_text(page(found), encoding="utf-8")
    print(page(found))


if __name__ == "__main__":
    main()
