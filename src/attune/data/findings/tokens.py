"""How much of the texts a backbone will not read, on a sample."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attune.data.findings.record import Collector, Finding
from attune.data.findings.sample import Sample
from attune.data.table import Table

STEP = 512


def check(
    sample: Sample, tables: dict[str, Table], folder: Path, count: Callable[[list[str]], list[int]], max_length: int
) -> list[Finding]:
    """Counts the tokens of the sampled rows.

    Args:
        sample: Rows to look at.
        tables: The splits.
        folder: For references.
        count: Tokens of each of some texts, uncut; of a pair of texts, of the longest thing read.
        max_length: Tokens the backbone reads.

    Returns:
        A finding `truncated` where rows are longer.
    """
    rows = Collector(folder / "truncated.rows")
    total = lost = 0
    for start in range(0, len(sample.texts), STEP):
        for place, tokens in enumerate(count(sample.texts[start : start + STEP]), start):
            total += tokens
            if tokens > max_length:
                lost += tokens - max_length
                rows.add(int(sample.sides[place]), int(sample.rows[place]), f"{tokens:,} tokens, {max_length:,} read")
    if not rows.count:
        return []
    share = rows.count / len(sample.texts)
    return [
        Finding(
            kind="truncated",
            severity="warn" if share > 0.01 else "note",
            count=rows.count,
            share=share,
            summary=f"{rows.count:,} rows ({share:.1%}) are longer than the {max_length:,} tokens that are read; "
            f"{lost / total:.1%} of all tokens are cut off (looked at {sample.stated()}).",
            cost="What stands past the cut cannot decide the answer.",
            remedy="Raise backbone.max_length if the backbone allows it, or put what matters first.",
            rows=rows.close(tables),
            references=rows.path,
        )
    ]
