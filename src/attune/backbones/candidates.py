"""The option `backbone.candidates`, the same in every family: several checkpoints, of which the run takes the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, StringConstraints, ValidationInfo

from attune.backbones.checkpoints import EMBEDDED

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def alternatives(names: Sequence[str] | None, info: ValidationInfo) -> Sequence[str] | None:
    """Refuses candidates that leave nothing to compare, or that contradict the rest of the table.

    Args:
        names: The candidates; None where there are none.
        info: The keys declared before this one: `name` and `sha256`.

    Returns:
        The same.

    Raises:
        ValueError: The list is empty, names one twice, or stands beside a name or a digest.
    """
    if names is None:
        return None
    if not names:
        raise ValueError("the list is empty; name checkpoints to compare, or leave it out and set backbone.name")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(map(repr, twice))} is listed twice; list each checkpoint once")
    if info.data.get("name", EMBEDDED) not in (EMBEDDED, ""):
        raise ValueError(
            f"backbone.name = {info.data['name']!r} says which one already; leave out one of them, and put that name "
            "among the candidates if it is one"
        )
    if info.data.get("sha256"):
        raise ValueError("backbone.sha256 is that of one checkpoint; leave out one of them")
    return names


Candidates = Annotated[tuple[Name, ...] | None, AfterValidator(alternatives)]
