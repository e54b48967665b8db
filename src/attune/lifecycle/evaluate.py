"""Bundles judged on labelled rows, and compared on the same rows."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attune.core.recipe import EvaluationOptions
from attune.core.texts import each
from attune.data.ingest import Ingested, ingest
from attune.data.redaction import redact
from attune.errors import DataError
from attune.evaluation.comparison import Comparison, compare
from attune.evaluation.evaluate import Evaluation, evaluate
from attune.evaluation.report import comparison_report, report
from attune.evaluation.whole import whole
from attune.lifecycle import joint, judge
from attune.model.bundle import Bundle, load


@dataclass(frozen=True)
class Evaluated:
    """What was found of one or more bundles on the same rows.

    Attributes:
        bundles: The bundles, in the order given.
        evaluations: One a bundle.
        comparisons: The first bundle against each of the others.
        notices: What was noticed of the rows.
    """

    bundles: list[Bundle]
    evaluations: list[Evaluation]
    comparisons: list[Comparison]
    notices: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "bundles": [{"path": str(bundle.path), "digest": bundle.digest} for bundle in self.bundles],
            "evaluations": [found.as_dict() for found in self.evaluations],
            "comparisons": [found.as_dict() for found in self.comparisons],
        }

    def page(self) -> str:
        """One HTML page: the comparison where there are two bundles, else the report of the one."""
        if self.comparisons:
            return comparison_report(
                self.comparisons[0], title=f"{self.comparisons[0].a} against {self.comparisons[0].b}"
            )
        bundle = self.bundles[0]
        facts = {
            "bundle": bundle.digest[:12],
            "made with": ", ".join(f"{k} {v}" for k, v in bundle.manifest.versions.items()),
        }
        return report(
            self.evaluations[0],
            title=self.evaluations[0].name,
            recipe_toml=bundle.recipe.toml(),
            history=(),
            facts=facts,
        )

    def _repr_html_(self) -> str:
        return "".join(found._repr_html_() for found in self.evaluations)  # pyright: ignore[reportPrivateUsage] a notebook's protocol


def evaluate_bundles(
    paths: Sequence[str | Path | Bundle],
    data: str,
    *,
    root: Path | None = None,
    options: EvaluationOptions | None = None,
) -> Evaluated:
    """Judges bundles on the same labelled rows.

    Args:
        paths: Bundle folders or loaded bundles.
        data: Labelled rows, relative to the current folder; columns as in the first bundle's recipe.
        root: Where a backbone by folder name is looked up.
        options: Intervals; default the first bundle's.

    Returns:
        Evaluations, and comparisons of the first with each other one.

    Raises:
        DataError: Bad rows, or bundles of tasks that cannot be compared.
    """
    bundles = [path if isinstance(path, Bundle) else load(path, root=root) for path in paths]
    first = bundles[0]
    task = first.model.task
    if len({bundle.model.task.form.several for bundle in bundles}) > 1:
        raise DataError("some bundles are multi-label and some are not", expected="bundles of one task")
    if len({bundle.model.task.form.texts for bundle in bundles}) > 1:
        raise DataError("some bundles read one text and some two", expected="bundles of one task")
    forms = [bundle.model.task.form for bundle in bundles]
    if len({(form.named, form.fields, form.gold.of if form.gold else ()) for form in forms}) > 1:
        tasks = ", ".join(sorted({bundle.manifest.task for bundle in bundles}))
        raise DataError(f"the bundles answer different questions: {tasks}", expected="bundles of one task")
    if len({tuple(bundle.manifest.tasks) for bundle in bundles}) > 1:
        tasks = "; ".join(", ".join(bundle.manifest.tasks) for bundle in bundles)
        raise DataError(f"the bundles were made for other tasks: {tasks}", expected="bundles of the same tasks")
    options = options or first.recipe.evaluation
    with tempfile.TemporaryDirectory() as scratch:
        into = Path(scratch) / "rows.arrow"
        options_of = first.recipe.data
        done = ingest(data, Path(), options_of, form=task.form, into=into)
        names = distinct([bundle.path for bundle in bundles])
        if first.manifest.tasks:
            return of_several(bundles, names, done, Path(scratch), options)
        judged = [judge.judge(bundle.model, done.table, name) for bundle, name in zip(bundles, names, strict=True)]
    texts = [each(redact, text) for text in judged[0].texts]
    evaluations = [evaluate(found.answers, texts, found.ids, options=options, notices=done.notices) for found in judged]
    others = [compare(judged[0].answers, found.answers, texts, found.ids, options=options) for found in judged[1:]]
    return Evaluated(bundles, evaluations, others, done.notices)


def of_several(
    bundles: list[Bundle], names: list[str], done: Ingested, scratch: Path, options: EvaluationOptions
) -> Evaluated:
    """Judges bundles of several tasks: each task, and the rows as wholes; and compares both.

    Args:
        bundles: Made for the same tasks.
        names: What to call them.
        done: The rows.
        scratch: A folder for tables of the single tasks.
        options: Intervals.

    Returns:
        As of bundles of one task; a comparison of the wholes is followed by one of each task.
    """
    table = done.table
    texts = [each(redact, text) for text in table.texts()]
    answered = [
        joint.answers(bundle.model, judge.predicted(bundle.model, table), table, name)
        for bundle, name in zip(bundles, names, strict=True)
    ]
    evaluations = [
        joint.evaluated(bundle.model, table, name, scratch, options=options, notices=done.notices)
        for bundle, name in zip(bundles, names, strict=True)
    ]
    ids = table.ids()
    others: list[Comparison] = []
    for found in answered[1:]:
        others.append(compare(whole(answered[0]), whole(found), texts, ids, options=options))
        for task, rows in found.rows.items():
            a, b = (replace(side.parts[task], name=f"{side.name} {task}") for side in (answered[0], found))
            own = [texts[row] for row in rows], [ids[row] for row in rows]
            others.append(compare(a, b, *own, options=options))
    return Evaluated(bundles, evaluations, others, done.notices)


def distinct(paths: Sequence[Path]) -> list[str]:
    """A short name for each path: as few trailing parts as tell them apart."""
    whole = [path.resolve() for path in paths]
    for parts in range(1, 12):
        names = ["/".join(path.parts[-parts:]) for path in whole]
        if len(set(names)) == len(names):
            return [name.removesuffix("/bundle") or name for name in names] if parts > 1 else names
    return [f"{path.name} ({index})" for index, path in enumerate(whole, 1)]
