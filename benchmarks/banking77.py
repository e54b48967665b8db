"""Banking77, official split: the probe, LoRA and full tuning, three seeds each."""

from __future__ import annotations

import statistics
from typing import Any

from runs import RESULTS, machine, measure, spread, test_data

REFERENCES = (
    "References (from the project's catalogue of figures): bge-small full 92.5, DistilBERT 92.8, ModernBERT 94.0."
)


def main() -> None:
    """Runs what is missing and writes the table."""
    write(measure("banking77", ["probe", "lora", "full"], test_data() / "banking77", [0, 1, 2]))


def write(results: list[dict[str, Any]]) -> None:
    """Writes the table of what has been run."""
    seeds = len({found["seed"] for found in results})
    lines = [
        "# Banking77 (10,003 / 3,080), embedded MiniLM", "", machine(), "",
        f"Test accuracy in %, mean of {seeds} seed(s) (lowest to highest); one reading of the test file a run.", "",
        "| recipe | accuracy | macro F1 | seconds | peak MiB | moved parameters | bundle MiB |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name in ("probe", "lora", "full"):
        rows = [found for found in results if found["recipe"] == name]
        accuracy = spread([100 * found["metrics"]["accuracy"]["value"] for found in rows])
        macro = spread([100 * found["metrics"]["macro_f1"]["value"] for found in rows])
        seconds = statistics.median(found["facts"]["seconds"] for found in rows)
        peak = max(found["facts"]["peak_memory_mib"] for found in rows)
        lines.append(
            f"| {name} | {accuracy} | {macro} | {seconds:.0f} | {peak} | {rows[0]['facts']['moved_parameters']:,} "
            f"| {rows[0]['bundle_mib']} |"
        )
    for other in results[0]["baselines"]:
        lines.append(f"| {other['name']} | {100 * other['metrics']['accuracy']['value']:.2f} | "
                     f"{100 * other['metrics']['macro_f1']['value']:.2f} | | | | |")  # fmt: skip
    lines += [
        "",
        REFERENCES,
        "",
        "Seconds are the median of the whole run, audit and evaluation included; peak is the highest of the seeds.",
    ]
    (RESULTS / "banking77.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
