"""Slots: what a text was to say, by name and value, and which of them it says, by exact value.

A meaning representation is text as in the E2E challenge (Novikova et al. 2017): `name[The Eagle], food[French]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Slot = tuple[str, str]
Known = Mapping[str, frozenset[str]]
"""The values that each slot had in the training rows."""

ONE = re.compile(r"\s*(?P<name>[^\[\],]+?)\s*\[(?P<value>[^\[\]]*)\]\s*(?:,|$)")
SILENT = frozenset({"yes", "no", "true", "false", "none", ""})
"""Values that are not said as they stand, and cannot be looked for."""


def slots_of(text: str) -> list[Slot] | None:
    """The slots of a meaning representation; nothing where the text is none."""
    found: list[Slot] = []
    at = 0
    while at < len(text.rstrip()):
        match = ONE.match(text, at)
        if match is None:
            return None
        found.append((match["name"], match["value"].strip()))
        at = match.end()
    return found or None


def written(cell: Mapping[str, Any]) -> str:
    """Slots given as a mapping, as a meaning representation.

    Args:
        cell: Names to values: texts, numbers or truth values, or lists of them.

    Returns:
        `name[value], name[value]`.

    Raises:
        ValueError: A value is none of these, or cannot stand in brackets.
    """
    pairs: list[str] = []
    for name, value in cell.items():
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(one, str | int | float):
                raise ValueError(f"the slot {name!r} has {one!r}, which is no text")
            said = ("yes" if one else "no") if isinstance(one, bool) else str(one)
            if set("[]") & set(said) or set("[],") & set(name):
                raise ValueError(f"the slot {name!r} has {said!r}; names and values cannot hold brackets")
            pairs.append(f"{name}[{said}]")
    if not pairs:
        raise ValueError("no slot at all")
    return ", ".join(pairs)


def known_of(golds: Iterable[Sequence[Sequence[str]]]) -> Known:
    """The values that slots have in some rows."""
    found: dict[str, set[str]] = {}
    for slots in golds:
        for name, value in slots:
            found.setdefault(name, set()).add(value)
    return {name: frozenset(values) for name, values in found.items()}


def says(text: str, value: str) -> bool:
    """Whether a text holds a value, word by word, whatever the case."""
    return pattern(value).search(text) is not None


def pattern(value: str) -> re.Pattern[str]:
    """A value between ends of words; in writing without spaces anywhere."""
    before = r"(?<!\w)" if re.match(r"[a-z0-9]", value, re.IGNORECASE) else ""
    after = r"(?!\w)" if re.search(r"[a-z0-9]$", value, re.IGNORECASE) else ""
    return re.compile(before + r"\s+".join(map(re.escape, value.split())) + after, re.IGNORECASE)


def faults(text: str, slots: Sequence[Sequence[str]], known: Known) -> tuple[int, int, int, int]:
    """How a text differs from what it was to say.

    A slot whose value is yes, no or nothing is not looked for: such values are not said as they stand.

    Args:
        text: What was written.
        slots: Name and value of each slot that it was to say.
        known: Values that slots may have.

    Returns:
        Slots missing; values said of slots that were not asked for; slots said with another value; slots looked for.
    """
    wanted = [(name, value) for name, value in slots if value.casefold() not in SILENT]
    rest = text
    for _, value in sorted(wanted, key=lambda slot: -len(slot[1])):
        rest = pattern(value).sub(" \x00 ", rest)
    own = {value.casefold() for _, value in wanted}
    others = {
        name: [v for v in values if v.casefold() not in own | SILENT and says(rest, v)]
        for name, values in known.items()
    }
    absent = [name for name, value in wanted if not says(text, value)]
    wrong = {name for name in absent if others.get(name)}
    missing = len([name for name in absent if name not in wrong])
    asked = {name for name, _ in slots}
    claimed = {value.casefold() for name in wrong for value in others[name]}
    added = {value.casefold() for name, values in others.items() if name not in asked for value in values} - claimed
    return missing, len(added), len(absent) - missing, len(wanted)
