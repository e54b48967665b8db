"""Zero-shot and five rows a label by label texts, calibrated and not, on three sets; nothing is trained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
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


def main() -> None:
    """Runs what is missing and writes the table."""
    results: list[dict[str, Any]] = json.loads(KEPT.read_text()) if KEPT.is_file() else []
    done = {(found["case"], found["seed"]) for found in results}
    for case in cases():
        for seed in case.seeds():
            if (str(case), seed) not in done:
                recipe = EXAMPLES / "zero_shot" / f"{case.data}.toml"
                found = once(recipe, test_data() / case.data, seed, case.overrides())
                results.append({"case": str(case), **found})
                KEPT.write_text(json.dumps(results, indent=1) + "\n")
    write(results)


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
    ]
    (RESULTS / "zero_shot.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
