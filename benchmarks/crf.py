"""A conditional random field (sklearn-crfsuite) on the rows of a tagging recipe, and the paired difference to it."""

from __future__ import annotations

import json
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from runs import machine, processor_seconds
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

INTERVALS: dict[str, Any] = {"confidence": 0.95, "resamples": 2000, "seed": 0}


def words(text: str) -> list[tuple[int, int, str]]:
    """The words of a text with their places; tokens of the sets hold no space."""
    found = [(match.start(), match.end(), match.group()) for match in WORD.finditer(text)]
    return found or [(0, len(text), text)]


def features(tokens: Sequence[tuple[int, int, str]]) -> list[dict[str, Any]]:
    """What a CRF is usually told of a word (sklearn-crfsuite's tutorial): itself, its ends, shape and neighbours."""
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


def once(path: Path, data: Path, seed: int, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Trains a recipe, and a CRF on the same rows.

    Args:
        path: The recipe.
        data: The data root.
        seed: Seed of the training.
        overrides: `section.key=value` strings.

    Returns:
        Figures as `runs.once` gives them; the CRF is the one baseline, with the paired difference in entity F1.
    """
    recipe = read(path, AXES, [f"training.seed={seed}", *overrides])
    with tempfile.TemporaryDirectory() as scratch:
        out, before = Path(scratch) / "run", processor_seconds(resource.RUSAGE_SELF)
        bundle = train(recipe, data, out)
        spent = processor_seconds(resource.RUSAGE_SELF) - before
        learned, asked = Table(out / "data" / "train.arrow"), Table(out / "data" / "test.arrow")
        own = judge.judge(bundle.model, asked, "attune").answers
        assert isinstance(own, SpanScores)
        other, seconds = crf_scores(learned, asked, bundle.labels)
        facts = json.loads((bundle.path / "run.json").read_text())["facts"]
        resolved = (bundle.path / "recipe.toml").read_text()
    against = paired(own, other, ["entity_f1"], **INTERVALS)["entity_f1"]
    beside = {name: found.as_dict() for name, found in intervals(other, own.names, **INTERVALS).items()}
    return {
        "recipe": path.stem, "seed": seed, "machine": machine(), "facts": facts, "resolved": resolved,
        "processor_seconds": spent,
        "metrics": {name: found.as_dict() for name, found in intervals(own, own.names, **INTERVALS).items()},
        "baselines": [
            {"name": "crfsuite", "metrics": beside, "difference": against.as_dict(), "seconds": round(seconds, 1)}
        ],
    }  # fmt: skip
