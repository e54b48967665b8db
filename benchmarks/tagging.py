"""Spans on public sets beside a conditional random field: entity F1, and the paired difference to sklearn-crfsuite.

Runs that are in benchmarks/results/tagging.json are not repeated. Each reads its test file once.
`python benchmarks/tagging.py --only atis` takes one set.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runs import EXAMPLES, RESULTS, machine, test_data
from sklearn_crfsuite import CRF

from attune.core.recipe import read
from attune.core.texts import FIRST
from attune.data.table import Table
from attune.evaluation.intervals import intervals, paired
from attune.lifecycle import judge
from attune.lifecycle.train import train
from attune.model.assemble import AXES
from attune.tasks.common.lookup import WORD
from attune.tasks.common.span_scores import SpanScores
from attune.tasks.common.tags import Scheme


@dataclass(frozen=True)
class Case:
    """One public set: its recipe, how many seeds, and the figure that was published for it."""

    recipe: str
    data: str
    seeds: int
    published: str


CASES = (
    Case("atis/tagging", "atis", 3, "95.2 slot F1 (Goo et al. 2018)"),
    Case("wnut17/tagging", "wnut17", 3, "41.9 entity F1 (Derczynski et al. 2017)"),
)
INTERVALS: dict[str, Any] = {"confidence": 0.95, "resamples": 2000, "seed": 0}


def words(text: str) -> list[tuple[int, int, str]]:
    """The words of a text with their places; tokens of the sets hold no space."""
    found = [(match.start(), match.end(), match.group()) for match in WORD.finditer(text)]
    return found or [(0, len(text), text)]


def features(tokens: Sequence[tuple[int, int, str]]) -> list[dict[str, Any]]:
    """What a CRF is usually told of a word (sklearn-crfsuite's tutorial): itself, its ends, its shape, its neighbours."""
    plain = [word for _, _, word in tokens]
    result: list[dict[str, Any]] = []
    for place, word in enumerate(plain):
        own: dict[str, Any] = {"bias": 1.0, **described(word, "")}
        for step in (-2, -1, 1, 2):
            if 0 <= place + step < len(plain):
                own |= described(plain[place + step], f"{step:+d}:")
        own |= {"BOS": place == 0, "EOS": place == len(plain) - 1}
        result.append(own)
    return result


def described(word: str, prefix: str) -> dict[str, Any]:
    """One word's features."""
    return {
        f"{prefix}lower": word.lower(), f"{prefix}suffix3": word[-3:], f"{prefix}suffix2": word[-2:],
        f"{prefix}prefix3": word[:3], f"{prefix}upper": word.isupper(), f"{prefix}title": word.istitle(),
        f"{prefix}digit": word.isdigit(),
    }  # fmt: skip


def rows_of(table: Table) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Texts with their gold spans."""
    return zip(table.column(FIRST), table.golds(), strict=True)


def crf_scores(learned: Table, asked: Table, names: Sequence[str]) -> tuple[SpanScores, float]:
    """What a CRF answers that was trained on the same rows, and its seconds."""
    import numpy as np

    scheme = Scheme("bio", names)
    tags = ["-".join(part for part in tag if part) for tag in scheme.tags_of()]
    begin = time.perf_counter()
    sequences, golds = [], []
    for text, gold in rows_of(learned):
        tokens = words(text)
        numbers, _ = scheme.tags(gold, np.array([token[:2] for token in tokens]))
        sequences.append(features(tokens))
        golds.append([tags[number] for number in numbers])
    model = CRF(algorithm="lbfgs", c1=0.1, c2=0.1, max_iterations=100, all_possible_transitions=True)
    model.fit(sequences, golds)
    chosen: list[list[dict[str, Any]]] = []
    for text, _ in rows_of(asked):
        tokens = words(text)
        numbers = np.array([tags.index(tag) for tag in model.predict_single(features(tokens))])
        places = np.array([token[:2] for token in tokens])
        found = scheme.spans(legal(numbers, tags), places, np.ones(len(tokens), dtype=np.float32), text)
        chosen.append([{"start": span.start, "end": span.end, "label": span.label} for span in found])
    return SpanScores("crfsuite", asked.golds(), chosen, None), time.perf_counter() - begin


def legal(numbers: Any, tags: Sequence[str]) -> Any:
    """An inside tag that continues nothing begins a span, as the CoNLL script reads it."""
    fixed = numbers.copy()
    for place, number in enumerate(fixed):
        before = tags[fixed[place - 1]] if place else "O"
        if tags[number].startswith("I-") and before[2:] != tags[number][2:]:
            fixed[place] = number - 1
    return fixed


def once(case: Case, seed: int) -> dict[str, Any]:
    """One run, its test figures, and the paired difference to a CRF on the same rows."""
    recipe = read(EXAMPLES / f"{case.recipe}.toml", AXES, [f"training.seed={seed}"])
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "run"
        bundle = train(recipe, test_data() / case.data, out)
        learned, asked = Table(out / "data" / "train.arrow"), Table(out / "data" / "test.arrow")
        own = judge.judge(bundle.model, asked, "attune").answers
        assert isinstance(own, SpanScores)
        other, seconds = crf_scores(learned, asked, bundle.labels)
        facts = json.loads((bundle.path / "run.json").read_text())["facts"]
    against = paired(own, other, ["entity_f1"], **INTERVALS)["entity_f1"]
    return {
        "recipe": case.recipe, "seed": seed, "machine": machine(), "facts": facts, "crf_seconds": round(seconds, 1),
        "metrics": {name: found.as_dict() for name, found in intervals(own, own.names, **INTERVALS).items()},
        "crf": {name: found.as_dict() for name, found in intervals(other, own.names, **INTERVALS).items()},
        "difference": against.as_dict(),
    }  # fmt: skip


def page(results: Sequence[dict[str, Any]]) -> str:
    """The table as Markdown."""
    lines = [
        "# Spans: entity F1 beside a conditional random field", "", machine(), "",
        "Strict entity F1 in % on the test file, embedded MiniLM; the median of the seeds with the lowest and the highest, "
        "and of seed 0 the paired difference to sklearn-crfsuite on the same rows with its 95 % interval.", "",
        "| recipe | seeds | attune | crfsuite | difference, seed 0 | p | published | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for case in CASES:
        own = [result for result in results if result["recipe"] == case.recipe]
        if not own:
            continue
        values = [100 * result["metrics"]["entity_f1"]["value"] for result in own]
        first = min(own, key=lambda result: result["seed"])
        gap, p = first["difference"], first["difference"]["p"]
        seconds = statistics.median(result["facts"]["seconds"] for result in own)
        lines.append(
            f"| {case.recipe} | {len(own)} | {statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f}) "
            f"| {100 * first['crf']['entity_f1']['value']:.2f} | {100 * gap['value']:+.2f} [{100 * gap['low']:+.2f}, "
            f"{100 * gap['high']:+.2f}] | {'< 0.001' if p < 0.001 else f'{p:.3f}'} | {case.published} | {seconds:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs what is missing and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="a set's folder; may be given several times")
    options = parser.parse_args()
    path = RESULTS / "tagging.json"
    results: list[dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else []
    for case in CASES:
        for seed in range(case.seeds if not options.only or case.data in options.only else 0):
            if not any((done["recipe"], done["seed"]) == (case.recipe, seed) for done in results):
                results.append(once(case, seed))
                path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "tagging.md").write_text(page(results), encoding="utf-8")
    print(page(results))


if __name__ == "__main__":
    main()
