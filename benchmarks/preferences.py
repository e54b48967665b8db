"""Preferences made of slot errors: does a model that says slots make fewer errors once it has learned from its own?

Takes a run of `generation` with the preset data_to_text. Of each meaning it was trained on, texts are drawn from it;
those with the fewest slot errors are preferred to those with the most. Measured on the meanings that its run kept for
validation: slot errors and BLEU before and after, paired. No test file is read. What is drawn and tuned is kept in the
work folder, and found there again; a folder is of one run with one set of options.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from runs import RESULTS, machine

from attune.core.decoding import Decoding
from attune.core.files import whole_file
from attune.core.recipe import override, parse
from attune.core.records import Prediction
from attune.data.table import Table
from attune.evaluation.intervals import intervals, paired
from attune.lifecycle.train import resume, train
from attune.model.assemble import AXES
from attune.model.bundle import Bundle, load
from attune.tasks.common.text_scores import SLOTS, TextScores

MEASURED = (SLOTS, "bleu", "chrf")
CHUNK = 256
LEVEL: dict[str, Any] = {"confidence": 0.95, "resamples": 2000, "seed": 0}


def meanings(run: Path, part: str, cut: int) -> dict[str, dict[str, Any]]:
    """What was read in a part of a run's rows, with all texts that say it as one gold."""
    table = Table(run / "data" / f"{part}.arrow")
    found: dict[str, dict[str, Any]] = {}
    for text, gold in zip(table.texts(), table.golds(), strict=True):
        found.setdefault(text, {**gold, "texts": []})["texts"] += gold["texts"]
    return dict(list(found.items())[: cut or None])


def scored(bundle: Bundle, name: str, texts: Sequence[str], golds: Sequence[Any]) -> TextScores:
    """Texts beside their golds, as the bundle's task judges them."""
    task: Any = bundle.model.task
    return task.judged(name, [Prediction(text) for text in texts], list(golds), bundle.model.labels)


def errors(scores: TextScores) -> list[float]:
    """The slot errors of each row, by the slots that it has."""
    count = len(scores.gold)
    parts = [scores.measure(np.eye(CHUNK, count, at)[: count - at])[SLOTS] for at in range(0, count, CHUNK)]
    return np.concatenate(parts).tolist()


def drawn(bundle: Bundle, texts: Sequence[str], count: int, temperature: float) -> list[list[str]]:
    """So many texts of each meaning, no two alike."""
    model = bundle.model
    how = Decoding(
        longest=model.task.options.max_target, sample=True, candidates=count, temperature=temperature, seed=0
    )
    ids = model.encode([{"text": text} for text in texts]).ids
    told = model.backbone.tell(ids, how)
    return [list(dict.fromkeys(filter(None, map(model.task.said, one.texts)))) for one in told]


def pairs(bundle: Bundle, known: dict[str, dict[str, Any]], options: argparse.Namespace) -> list[dict[str, str]]:
    """Preferences: of each meaning the texts with the fewest errors, each beside one of those with the most."""
    found: list[dict[str, str]] = []
    texts = drawn(bundle, list(known), options.samples, options.temperature)
    flat = [(meaning, text) for meaning, several in zip(known, texts, strict=True) for text in several]
    wrong = errors(scored(bundle, "drawn", [text for _, text in flat], [known[meaning] for meaning, _ in flat]))
    by_meaning: dict[str, list[tuple[float, str]]] = {}
    for (meaning, text), rate in zip(flat, wrong, strict=True):
        by_meaning.setdefault(meaning, []).append((rate, text))
    for meaning, several in by_meaning.items():
        order = sorted(several, key=lambda each: each[0])
        for (few, chosen), (many, rejected) in list(zip(order, order[::-1], strict=True))[: options.each]:
            if few < many:
                found.append({"source": meaning, "chosen": chosen, "rejected": rejected})
    print(
        f"{len(flat):,} texts of {len(known):,} meanings with {np.mean(wrong):.3f} errors a slot: {len(found):,} pairs"
    )
    return found


def recipe(bundle: Bundle, overrides: Sequence[str]) -> Any:
    """Preferences on the bundle, with its own way of reading and writing."""
    task = bundle.recipe.task.model_dump(mode="json", exclude_none=True)
    document: dict[str, Any] = {
        "data": {
            "train": "pairs.jsonl", "text": "source", "group": "source", "split": "grouped", "test_share": 0.0,
        },
        "backbone": {"family": bundle.model.backbone.options.family, "name": "before"},
        "task": {**task, "label_smoothing": 0.0},
        "method": {"name": "full"},
        "objective": {"name": "preference", "beta": 0.1, "supervised_weight": 0.2},
        "training": {"epochs": 4, "batch_size": 16, "learning_rate": 5e-5},
        "evaluation": {"resamples": 200},
    }  # fmt: skip
    return parse(override(document, overrides), AXES)


def keep(work: Path, options: argparse.Namespace) -> None:
    """Writes down what a work folder is of, and refuses one that is of something else.

    Args:
        work: The folder.
        options: As given.

    Raises:
        SystemExit: The folder holds what another run or other options made.
    """
    wanted = {name: str(value) for name, value in vars(options).items() if name not in ("work", "out", "run")}
    wanted["run"] = str(options.run.resolve())
    path = work / "options.json"
    there = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if not there and not (work / "pairs.jsonl").exists() and not (work / "before").is_symlink():
        there = wanted
        with whole_file(path) as new:
            new.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
    if other := [name for name in wanted if there.get(name) != wanted[name]]:
        raise SystemExit(f"{work} was made with another --{', --'.join(other)}: name a new folder with --work")


def tuned(bundle: Bundle, work: Path, options: argparse.Namespace) -> Bundle:
    """The bundle after its preferences; found again where it is there already, and gone on with where it was begun."""
    if (work / "after" / "start.json").is_file():
        return resume(work / "after")
    if not (work / "pairs.jsonl").is_file():
        made = pairs(bundle, meanings(options.run, "train", options.cut), options)
        lines = "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in made)
        with whole_file(work / "pairs.jsonl") as new:
            new.write_text(lines, encoding="utf-8")
    return train(recipe(bundle, options.set), work, work / "after")


def main() -> None:
    """Makes what is missing and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a finished run of generation, data_to_text")
    parser.add_argument("--work", type=Path, required=True, help="folder for pairs and the tuned run; kept")
    parser.add_argument("--samples", type=int, default=16, help="texts drawn a meaning")
    parser.add_argument("--temperature", type=float, default=1.0, help="divides the logits before a draw")
    parser.add_argument("--each", type=int, default=4, help="pairs a meaning at most")
    parser.add_argument("--cut", type=int, default=0, help="meanings to learn from; 0 for all")
    parser.add_argument("--set", action="append", default=[], help="section.key=value for the tuning")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the table and the figures")
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    keep(work, options)
    if not (work / "before").exists():
        (work / "before").symlink_to((options.run / "bundle").resolve(), target_is_directory=True)
    before = load(work / "before", root=work)
    after = tuned(before, work, options)
    held = meanings(options.run, "validation", 0)
    answers = {
        name: scored(before, name, [str(found.answer) for found in bundle.predict(list(held))], list(held.values()))
        for name, bundle in (("before", before), ("after", after))
    }
    found = {
        "machine": machine(),
        "meanings": len(held),
        **{name: {key: each.as_dict() for key, each in intervals(answer, MEASURED, **LEVEL).items()}
           for name, answer in answers.items()},
        "difference": {
            key: each.as_dict()
            for key, each in paired(answers["after"], answers["before"], list(MEASURED), **LEVEL).items()
        },
        "pairs": {key: value["value"] for key, value in after.manifest.metrics.items()},
        "recipe": after.recipe.toml(),
    }  # fmt: skip
    (options.out / "preferences.json").write_text(json.dumps(found, indent=1) + "\n")
    write(found, options.out / "preferences.md")


def write(found: dict[str, Any], path: Path) -> None:
    """Writes the table."""
    lines = [
        "# Preferences made of slot errors", "", found["machine"], "",
        f"{found['meanings']:,} meanings that neither run was trained on, each with all its texts; the same decoding. "
        "Intervals of 95 %, by bootstrap over meanings; differences are paired.", "",
        "| | slot errors, % | BLEU | chrF |", "|---|---|---|---|",
    ]  # fmt: skip
    for name in ("before", "after", "difference"):
        told = found[name]
        cells = [f"{100 * told[key]['value']:.2f} [{bounds(told[key])}]" for key in MEASURED]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    figures = ", ".join(f"{name} {value:.3f}" for name, value in found["pairs"].items())
    lines += ["", f"Of the validation pairs, by whose loss the epoch was chosen: {figures}."]
    path.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def bounds(told: dict[str, float]) -> str:
    """An interval in per cent."""
    return f"{100 * told['low']:.2f}, {100 * told['high']:.2f}"


if __name__ == "__main__":
    main()
