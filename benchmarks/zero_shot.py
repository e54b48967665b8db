"""Zero-shot and five rows a label by label texts, calibrated and not, on three sets; nothing is trained.

`--fills BUNDLE` adds cloze questions to a backbone with a masked vocabulary head, such as the bundle `before` or
`continued` of continued.py. `--planted` adds rows shown to a small network that is pre-trained on a planted pattern.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from runs import EXAMPLES, RESULTS, machine, once, spread, test_data

SETS = {"banking77": False, "trec6": True, "tweeteval_emotion": True}
"""Set to whether its recipe describes the labels; where not, their names are all there is."""
SEEDS = (0, 1, 2)
KEPT = RESULTS / "zero_shot.json"


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    data: str
    texts: str
    shots: int
    calibrated: bool

    def overrides(self) -> list[str]:
        """What is set beside the recipe."""
        names = ["task.descriptions={}"] if self.texts == "names" else []
        asked = [f"task.shots={self.shots}", f"task.calibrate={str(self.calibrated).lower()}"]
        return [*names, *asked, "evaluation.baselines=['majority']"]

    def seeds(self) -> tuple[int, ...]:
        """Rows are drawn by the seed; without rows, and with all training texts alike, one seed is enough."""
        return SEEDS if self.shots else SEEDS[:1]


def cases() -> Iterator[Case]:
    """Every line, in the table's order; where labels are described, their names are tried once, to compare."""
    for data, described in SETS.items():
        if described:
            yield Case(data, "names", 0, False)
        for shots in (0, 5):
            for calibrated in (False, True):
                yield Case(data, "descriptions" if described else "names", shots, calibrated)


WORDS = {
    "tweeteval_emotion": (
        "{text} I feel {mask}.",
        {"anger": ["anger", "angry", "furious"], "joy": ["joy", "happy"], "optimism": ["optimism", "hopeful", "hope"],
         "sadness": ["sadness", "sad"]},
    ),
    "trec6": (
        "The answer to the question {text} is a {mask}.",
        {"abbreviation": ["abbreviation", "acronym"], "description": ["description", "definition"],
         "entity": ["thing", "animal"], "human": ["person", "human"], "location": ["place", "location"],
         "number": ["number"]},
    ),
}  # fmt: skip
"""Set to the pattern and the words of its labels, all of them in the vocabulary of the embedded backbone."""
FOUND, FOUND_BY = 3, 16
"""Words of a label that are found, and rows of it that they are found by."""


@dataclass(frozen=True)
class Asked:
    """One line of the table of cloze questions.

    Attributes:
        data: The set.
        found: Whether the words are found by a few rows, not given.
        calibrated: Whether the labels are balanced on training texts.
        fills: Digest of the backbone's bundle, in short.
    """

    data: str
    found: bool
    calibrated: bool
    fills: str

    def overrides(self, backbone: Path) -> list[str]:
        """What is set beside the recipe."""
        pattern, words = WORDS[self.data]
        inner = ", ".join(f"{name} = {json.dumps(own)}" for name, own in words.items())
        named = [f"task.search={FOUND}", f"task.shots={FOUND_BY}"] if self.found else [f"task.verbalisers={{{inner}}}"]
        return [
            f"backbone.name={backbone}", "task.head=cloze", "task.descriptions={}", f"task.pattern={pattern}", *named,
            f"task.calibrate={str(self.calibrated).lower()}", "evaluation.baselines=['majority']",
        ]  # fmt: skip

    def seeds(self) -> tuple[int, ...]:
        """Rows are drawn by the seed; without rows one seed is enough."""
        return SEEDS if self.found else SEEDS[:1]


PATTERN = "review: {text} label: {label}\n"
LABEL_OF = {"lovely": "good", "superb": "good", "dreadful": "bad", "broken": "bad", "ordinary": "fair", "usual": "fair"}
"""A word to the label that it plants in a line."""


@dataclass(frozen=True)
class Shown:
    """One line of the table of the planted pattern.

    Attributes:
        shots: Rows of a label that are shown.
        calibrated: Whether the labels are balanced on training texts.
        network: Digest of the small network, in short.
    """

    shots: int
    calibrated: bool
    network: str

    def seeds(self) -> tuple[int, ...]:
        """Rows are drawn by the seed."""
        return SEEDS if self.shots else SEEDS[:1]


def planted(count: int, seed: int) -> list[dict[str, str]]:
    """Made-up rows whose label one word tells."""
    draw = random.Random(seed)
    rest = "the room was a film with food and music we saw it here again today".split()
    rows: dict[str, dict[str, str]] = {}
    while len(rows) < count:
        told = draw.choice(sorted(LABEL_OF))
        words = draw.choices(rest, k=draw.randint(3, 6))
        words.insert(draw.randint(0, len(words)), told)
        rows[" ".join(words)] = {"text": " ".join(words), "label": LABEL_OF[told]}
    return list(rows.values())


def network(work: Path) -> Path:
    """Pre-trains a small network on the planted pattern, once; tells the data root that it lies in."""
    rows = planted(2500, 1)
    work.mkdir(parents=True, exist_ok=True)
    lines = [PATTERN.format(**row).strip() for row in rows[:2000]]
    (work / "lines.txt").write_text("\n".join(lines) + "\n")
    (work / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[2000:]))
    (work / "language.toml").write_text(
        '[data]\ntrain = "lines.txt"\nvalidation_share = 0.0\n[backbone]\nfamily = "causal"\nname = "scratch"\n'
        "max_length = 128\nscratch = {layers = 2, width = 64, heads = 2, positions = 128}\n"
        'tokenizer = {vocabulary = 600}\n[task]\nname = "causal_lm"\n[method]\nname = "full"\n'
        "[training]\nepochs = 30\nlearning_rate = 3e-3\nbatch_size = 4\nthreads = 1\n"
    )
    (work / "planted.toml").write_text(
        '[data]\ntrain = "rows.jsonl"\ntest_share = 0.5\nvalidation_share = 0.0\n[backbone]\nfamily = "causal"\n'
        'name = "language/bundle"\n[task]\nhead = "in_context"\n[method]\nname = "none"\n'
    )
    if not (work / "language" / "bundle" / "manifest.json").is_file():
        command = [sys.executable, "-m", "attune.apps.cli.main", "train", str(work / "language.toml")]
        subprocess.run([*command, "--data-root", str(work), "--out", str(work / "language")], check=True)
    return work


def main() -> None:
    """Runs what is missing and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fills", type=Path, help="a bundle with a masked vocabulary head")
    parser.add_argument("--planted", type=Path, help="a folder for the small network of the planted pattern")
    options = parser.parse_args()
    results: list[dict[str, Any]] = json.loads(KEPT.read_text()) if KEPT.is_file() else []
    done = {(found["case"], found["seed"]) for found in results}
    for case, recipe, root, overrides in runs(options.fills, options.planted):
        for seed in case.seeds():
            if (str(case), seed) not in done:
                results.append({"case": str(case), **once(recipe, root, seed, overrides)})
                KEPT.write_text(json.dumps(results, indent=1) + "\n")
    write(results)


def digest(bundle: Path) -> str:
    """What tells a bundle from another, in short."""
    return hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()[:12]


def runs(fills: Path | None, work: Path | None) -> Iterator[tuple[Case | Asked | Shown, Path, Path, list[str]]]:
    """Every case that is asked for, with its recipe, its data root and what is set."""
    folder = EXAMPLES / "zero_shot"
    for case in cases():
        yield case, folder / f"{case.data}.toml", test_data() / case.data, case.overrides()
    if fills is not None:
        backbone = fills.resolve()
        for asked in (Asked(*each, digest(backbone)) for each in product(WORDS, (False, True), (False, True))):
            yield asked, folder / f"{asked.data}.toml", test_data() / asked.data, asked.overrides(backbone)
    if work is not None:
        root = network(work.resolve())
        made = digest(root / "language" / "bundle")
        for shown in (Shown(*each, made) for each in product((0, 1, 2), (False, True))):
            told = [f"task.shots={shown.shots}", f"task.calibrate={str(shown.calibrated).lower()}"]
            yield shown, root / "planted.toml", root, [*told, f"task.pattern={json.dumps(PATTERN)}"]


def prompted(results: list[dict[str, Any]]) -> list[str]:
    """Lines on cloze questions and rows that are shown; none where none were run."""
    lines: list[str] = []
    for kind, heading in ((Asked, "Cloze questions"), (Shown, "Rows shown, of a planted pattern: no measure of texts")):
        own = [found for found in results if found["case"].startswith(f"{kind.__name__}(")]
        for case in dict.fromkeys(found["case"] for found in own):
            if not any(heading in line for line in lines):
                lines += [
                    "",
                    f"## {heading}",
                    "",
                    "| case | accuracy | macro F1 | majority, accuracy |",
                    "|---|---|---|---|",
                ]
            rows = [found for found in own if found["case"] == case]
            figures = [
                spread([100 * found["metrics"][name]["value"] for found in rows]) for name in ("accuracy", "macro_f1")
            ]
            majority = next(each for each in rows[0]["baselines"] if each["name"] == "majority")
            lines.append(f"| `{case}` | {' | '.join(figures)} | {100 * majority['metrics']['accuracy']['value']:.2f} |")
    return lines


def write(results: list[dict[str, Any]]) -> None:
    """Writes the table of what has been run."""
    lines = [
        "# Zero-shot and five rows a label, embedded MiniLM", "", machine(), "",
        "Official test files; figures in %. Nothing is trained: a label's vector is the embedding of its name or of "
        "its texts, averaged with five rows where there are any. With rows: mean of three seeds (lowest to highest). "
        "Calibrated: the mean logit of each label on training texts, their labels unread, is taken away.", "",
        "| set | label texts | rows a label | calibrated | accuracy | macro F1 |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for case in cases():
        rows = [found for found in results if found["case"] == str(case)]
        accuracy, macro = (
            spread([100 * found["metrics"][name]["value"] for found in rows]) for name in ("accuracy", "macro_f1")
        )
        told = "yes" if case.calibrated else "no"
        lines.append(f"| {case.data} | {case.texts} | {case.shots} | {told} | {accuracy} | {macro} |")
    majority = {
        name: next(found["baselines"][0] for found in results if found["recipe"] == name)["metrics"] for name in SETS
    }
    told = ", ".join(
        f"{name} {100 * found['accuracy']['value']:.2f} and {100 * found['macro_f1']['value']:.2f}"
        for name, found in majority.items()
    )
    lines += [
        "",
        f"Majority baseline, accuracy and macro F1: {told}.",
        *prompted(results),
    ]
    (RESULTS / "zero_shot.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
