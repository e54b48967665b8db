"""Looks at the data before anything is tuned: what is wrong, what it costs, how to mend it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from attune.core.files import disk
from attune.core.recipe import DataOptions
from attune.data.findings import content, errors, labels, near, repeats, tokens
from attune.data.findings.record import Finding
from attune.data.findings.sample import Sample, draw
from attune.data.splits import Splits

SEVERITIES = ("stop", "warn", "note")


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        findings: The gravest first.
        tables: `rows` by split; `classes`: rows by label, by split; `lengths`: rows by characters (lower edge of the
            bin), by split; `languages` and `personal`: counts by split.
        sampled: By check, the rows it looked at where that is not all, or why it did not run.
        multi_label: Whether rows have several labels.
    """

    findings: list[Finding]
    tables: dict[str, Any]
    sampled: dict[str, str] = field(default_factory=dict)
    multi_label: bool = False

    def stops(self, acknowledged: Sequence[str] = ()) -> list[Finding]:
        """Findings that make the evaluation worthless and were not accepted.

        Args:
            acknowledged: Kinds that the recipe accepts.

        Returns:
            Findings with the severity `stop`.
        """
        return [one for one in self.findings if one.severity == "stop" and one.kind not in acknowledged]

    def finding(self, kind: str) -> Finding | None:
        """The finding of one kind.

        Args:
            kind: Its name.

        Returns:
            The finding, if there is one.
        """
        return next((one for one in self.findings if one.kind == kind), None)

    def as_dict(self) -> dict[str, Any]:
        """The audit as plain JSON values.

        Returns:
            `findings`, `tables`, `sampled`.
        """
        found = [one.as_dict() for one in self.findings]
        return {"findings": found, "tables": self.tables, "sampled": self.sampled}

    def _repr_html_(self) -> str:
        cells = [(one.severity, one.kind, f"{one.count:,}", one.summary, one.remedy) for one in self.findings]
        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in cells)
        heading = "".join(f"<th>{name}</th>" for name in ("", "finding", "rows", "what it is", "how to mend it"))
        counted = ", ".join(f"{count:,} {escape(side)}" for side, count in self.tables["rows"].items())
        return f"<b>Audit</b> of {counted} rows<table><tr>{heading}</tr>{rows}</table>"


def audit(
    splits: Splits,
    options: DataOptions,
    *,
    embed: Callable[[list[str]], NDArray[Any]] | None,
    token_counts: Callable[[list[str]], list[int]] | None,
    max_length: int,
    sample: int = 20_000,
    seed: int = 0,
) -> Audit:
    """Audits the rows of a run. Equal texts, label names, languages and personal data are looked for in all rows;
    what costs more on a stated sample.

    Args:
        splits: The rows.
        options: For `max_contradictory`.
        embed: Features `(N, D)` of up to 256 texts, the two of a pair joined; None skips the search for label errors.
        token_counts: Tokens of each text, uncut, the two of a pair joined; None skips the truncation check.
        max_length: Tokens the backbone reads.
        sample: Rows in the sample.
        seed: Of the sample and the folds.

    Returns:
        The audit. Lists of all rows concerned lie in the folder `audit` beside `splits.parquet`.

    Raises:
        MachineError: If the disk is full.
    """
    tables = splits.tables()
    folder = splits.assignments.parent / "audit"
    with disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        by_class = labels.counts(tables)
        found = repeats.check(tables, folder, max_contradictory=options.max_contradictory)
        found += labels.check(tables, by_class, folder)
        about_texts, counted = content.check(tables, folder)
        drawn = draw(tables, sample, seed)
        about_sample, sampled = _on_sample(drawn, splits, folder, embed, token_counts, max_length, seed)
    found = sorted([*found, *about_texts, *about_sample], key=lambda one: SEVERITIES.index(one.severity))
    shown = {
        "rows": {name: len(table) for name, table in tables.items()},
        "classes": by_class,
        "lengths": counted.lengths,
        "languages": counted.languages,
        "personal": counted.personal,
    }
    return Audit(found, shown, sampled, splits.train.multi_label)


def _on_sample(
    drawn: Sample,
    splits: Splits,
    folder: Path,
    embed: Callable[[list[str]], NDArray[Any]] | None,
    token_counts: Callable[[list[str]], list[int]] | None,
    max_length: int,
    seed: int,
) -> tuple[list[Finding], dict[str, str]]:
    tables = splits.tables()
    found = near.check(drawn, tables, folder, seed)
    sampled = {"near_duplicates": drawn.stated(), "near_leakage": drawn.stated()}
    if token_counts is None:
        sampled["truncated"] = "not run: no tokenizer was given"
    else:
        found += tokens.check(drawn, tables, folder, token_counts, max_length)
        sampled["truncated"] = drawn.stated()
    if not splits.train.labelled:
        sampled["label_errors"] = "not run: rows have no labels"
    elif not splits.train.named:
        sampled["label_errors"] = "not run: what is right for a row is more than a label"
    elif embed is None:
        sampled["label_errors"] = "not run: no backbone was given"
    else:
        more, sampled["label_errors"] = errors.check(drawn, tables, folder, embed, seed)
        found += more
    return found, sampled


__all__ = ["Audit", "Finding", "audit"]
