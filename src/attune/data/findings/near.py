"""Near duplicates and near leakage on a sample: MinHash over character pieces, confirmed by edit similarity."""

from __future__ import annotations

from pathlib import Path

import xxhash
from datasketch import MinHash, MinHashLSH
from rapidfuzz import fuzz

from attune.core.texts import displayed, each, parts, text_of
from attune.data.external import normalised
from attune.data.findings.record import SIDES, Collector, Finding
from attune.data.findings.sample import Sample
from attune.data.table import Table

PERMUTATIONS = 64
LIKELY = 0.6
"""Jaccard similarity from which a pair is looked at."""
SIMILAR = 90.0
"""Edit similarity in per cent from which a pair counts."""
PIECE = 4
LONGEST = 2000
SHORTEST = 12


def check(sample: Sample, tables: dict[str, Table], folder: Path, seed: int) -> list[Finding]:
    """Looks for texts that are nearly the same; equal ones are found elsewhere, over all rows.

    A pair is nearly another where each of its texts is nearly the other's: inference rows share a premise and are no
    copies.

    Args:
        sample: Rows to compare.
        tables: The splits.
        folder: For references.
        seed: Of the MinHash.

    Returns:
        Findings `near_leakage` and `near_duplicates`, those that there are.
    """
    leaks = Collector(folder / "near_leakage.rows")
    twins = Collector(folder / "near_duplicates.rows")
    for row, other, similarity in _pairs(sample, seed):
        side, other_side = int(sample.sides[row]), int(sample.sides[other])
        said = f"{similarity:.0f} % the same|{other_side}|{int(sample.rows[other])}"
        rows = twins if side == other_side else leaks
        rows.add(side, int(sample.rows[row]), said)
    return _findings(leaks, twins, sample, tables)


def _pairs(sample: Sample, seed: int) -> list[tuple[int, int, float]]:
    """Each row with its most similar one: held-out rows look at train first, train rows at earlier rows."""
    index = MinHashLSH(threshold=LIKELY, num_perm=PERMUTATIONS)
    texts = [each(lambda part: normalised(part[:LONGEST]), text) for text in sample.texts]
    seen: dict[str, int] = {}
    found: list[tuple[int, int, float]] = []
    empty = MinHash(num_perm=PERMUTATIONS, seed=seed + 1, hashfunc=int)
    for row, text in enumerate(texts):
        if len(text) < SHORTEST or seen.setdefault(text, row) != row:
            continue
        sketch = empty.copy()
        sketch.update_batch(_pieces(text))
        close = [int(str(key)) for key in index.query(sketch)][:50]
        index.insert(str(row), sketch, check_duplication=False)
        best = max(((_similarity(text, texts[other]), -other) for other in close), default=(0.0, 0))
        if best[0] >= SIMILAR:
            found.append((row, -best[1], best[0]))
    return found


def _similarity(text: str, other: str) -> float:
    """Edit similarity in per cent; of a pair that of its less similar texts. Below `SIMILAR` it is 0."""
    both = zip(parts(text), parts(other), strict=False)
    return min(fuzz.ratio(one, another, score_cutoff=SIMILAR) for one, another in both)


def _pieces(text: str) -> list[int]:
    """Hashes of the pieces of four characters, each once."""
    pieces = {text[start : start + PIECE] for start in range(max(len(text) - PIECE + 1, 1))}
    return [xxhash.xxh32_intdigest(piece.encode()) for piece in pieces]


def _findings(leaks: Collector, twins: Collector, sample: Sample, tables: dict[str, Table]) -> list[Finding]:
    found: list[Finding] = []
    if leaks.count:
        found.append(
            Finding(
                kind="near_leakage",
                severity="warn",
                count=leaks.count,
                share=leaks.count / len(sample.texts),
                summary=f"{leaks.count:,} held-out rows are nearly the text of a row in another split "
                f"(looked at {sample.stated()}).",
                cost="Part of what is tested was nearly seen in training; figures are somewhat too high.",
                remedy='Cut by a group column (data.split = "grouped"), so that variants of one text stay together.',
                rows=_explained(leaks, tables),
                references=leaks.path,
            )
        )
    if twins.count:
        found.append(
            Finding(
                kind="near_duplicates",
                severity="note",
                count=twins.count,
                share=twins.count / len(sample.texts),
                summary=f"{twins.count:,} rows are nearly the text of another row of their split "
                f"(looked at {sample.stated()}).",
                cost="They add less than their number promises; templates or re-posts weigh more than they should.",
                remedy="Keep one of each where they come from a template or a copy.",
                rows=_explained(twins, tables),
                references=twins.path,
            )
        )
    return found


def _explained(rows: Collector, tables: dict[str, Table]) -> list[dict[str, object]]:
    shown = rows.close(tables)
    for row in shown:
        said, side, number = row["detail"].split("|")
        other = tables[SIDES[int(side)]].rows(int(number), int(number) + 1)[0]
        row["detail"] = (
            f"{said} as {SIDES[int(side)]}, {other['file']}:{other['line']}: {displayed(text_of(other), 120)}"
        )
    return shown
