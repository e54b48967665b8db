"""The few kinds of error attune raises; each says what was found, where, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches


class AttuneError(Exception):
    """An error a person can act on.

    Args:
        found: What was found, in one clause.
        where: File, line, field or key; empty where there is no place to name.
        expected: What would have been right.
        remedy: What to do about it.
    """

    def __init__(self, found: str, *, where: str = "", expected: str = "", remedy: str = "") -> None:
        super().__init__(found)
        self.found = found
        self.where = where
        self.expected = expected
        self.remedy = remedy

    def __str__(self) -> str:
        parts = [f"{self.where}: {self.found}" if self.where else self.found]
        if self.expected:
            parts.append(f"expected: {self.expected}")
        if self.remedy:
            parts.append(f"what to do: {self.remedy}")
        return "\n  ".join(parts)


class RecipeError(AttuneError):
    """A recipe, an option or a name that cannot be used as it stands."""


class BackboneError(AttuneError):
    """A pretrained checkpoint that is missing, incomplete or not what it says it is."""


class UnsupportedError(AttuneError):
    """A combination of backbone, task, method and objective that cannot work."""


class CannotMergeError(AttuneError):
    """A method whose change cannot be folded into the backbone's own weights; the reason is given."""


class BundleError(AttuneError):
    """A bundle that is damaged, foreign, newer than this attune, or that answers differently than it did."""


class MachineError(AttuneError):
    """The machine refused: disk full, no permission, a missing extra."""


class InterruptedRunError(AttuneError):
    """A run was stopped by a signal; its checkpoint is kept."""


@dataclass(frozen=True)
class Problem:
    """One bad row: where it is and what is wrong with it."""

    found: str
    where: str
    field: str = ""

    def __str__(self) -> str:
        field = f", field {self.field!r}" if self.field else ""
        return f"{self.where}{field}: {self.found}"


class DataError(AttuneError):
    """Data that cannot be used. Bad rows are collected in `problems`, not raised one at a time."""

    def __init__(
        self,
        found: str,
        *,
        where: str = "",
        expected: str = "",
        remedy: str = "",
        problems: Sequence[Problem] = (),
    ) -> None:
        super().__init__(found, where=where, expected=expected, remedy=remedy)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        shown = [f"- {problem}" for problem in self.problems[:20]]
        if len(self.problems) > 20:
            shown.append(f"- … and {len(self.problems) - 20} more")
        return "\n  ".join([super().__str__(), *shown])


def nearest(name: str, known: Sequence[str]) -> str:
    """A remedy that names the nearest known names first, then all of them.

    Args:
        name: What was given.
        known: Every name that would have been accepted.

    Returns:
        A sentence for an error's `remedy`.
    """
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    listed = ", ".join(sorted(known)) or "nothing"
    hint = f"did you mean {' or '.join(repr(c) for c in close)}? " if close else ""
    return f"{hint}Known: {listed}"
