"""The audit that every training begins with: what would invalidate the result stops it."""

from __future__ import annotations

from attune.core.recipe import DataOptions
from attune.data.audit import audit
from attune.data.splits import Splits
from attune.errors import DataError
from attune.training.events import Events


def examine(splits: Splits, options: DataOptions, events: Events) -> None:
    """Looks for what would invalidate the evaluation.

    Args:
        splits: The rows.
        options: What the recipe acknowledges.
        events: Told what was found.

    Raises:
        DataError: A finding invalidates the evaluation and the recipe does not acknowledge it.
    """
    found = audit(splits, options, embed=None, token_counts=None, max_length=0)
    warnings = [finding.summary for finding in found.findings if finding.severity != "note"]
    events.write(
        "audit", summary="; ".join(warnings) or "nothing that would spoil the result", findings=len(found.findings)
    )
    stops = found.stops(options.acknowledge)
    if stops:
        first = stops[0]
        raise DataError(
            "; ".join(finding.summary for finding in stops),
            where="audit",
            expected="rows whose evaluation means something",
            remedy=f"{first.remedy}; `attune audit` shows the rows, `attune audit --fix` mends some; or accept it "
            f"knowingly with data.acknowledge = {[finding.kind for finding in stops]}",
        )
