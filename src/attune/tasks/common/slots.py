"""Slots: what a text is to say, by name and value.

A meaning representation is text as in the E2E challenge (Novikova et al. 2017): `name[The Eagle], food[French]`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Slot = tuple[str, str]
Meaning = dict[str, str]
"""Slot to value, in the order given."""

ONE = re.compile(r"\s*(?P<name>[^\[\],]+?)\s*\[(?P<value>[^\[\]]*)\]\s*(?:,|$)")
CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|[_\-\s]+")
YES, NO = "yes", "no"
APPLIES = {"yes": YES, "true": YES, "no": NO, "false": NO}
"""Values in small letters that say whether something applies."""


def slots_of(text: str) -> list[Slot] | None:
    """The slots of a meaning representation; nothing where the text is none."""
    found: list[Slot] = []
    at = 0
    while at < len(text.rstrip()):
        match = ONE.match(text, at)
        if match is None:
            return None
        value = match["value"].strip()
        found.append((match["name"], APPLIES.get(value.lower(), value)))
        at = match.end()
    return found or None


def read_meaning(text: str) -> Meaning:
    """Reads a meaning representation in which every slot has one value.

    Args:
        text: Slots with values, parted by commas.

    Returns:
        Slot to value; whether something applies is told as yes or no.

    Raises:
        ValueError: It has another form, a slot has no value, or occurs twice; a clause that says which.
    """
    slots = slots_of(text)
    if slots is None:
        raise ValueError(f"{text[:40]!r} where slots such as name[value] were expected")
    found: Meaning = {}
    for slot, value in slots:
        if not value:
            raise ValueError(f"the slot {slot} has no value")
        if slot in found:
            raise ValueError(f"the slot {slot} occurs twice")
        found[slot] = value
    return found


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
            said = (YES if one else NO) if isinstance(one, bool) else str(one)
            if set("[]") & set(said) or set("[],") & set(name):
                raise ValueError(f"the slot {name!r} has {said!r}; names and values cannot hold brackets")
            pairs.append(f"{name}[{said}]")
    if not pairs:
        raise ValueError("no slot at all")
    return ", ".join(pairs)


def words_of(slot: str) -> list[str]:
    """The words of a slot's name, in small letters: `familyFriendly` is family, friendly."""
    return [word.lower() for word in CAMEL.split(slot) if word]


def is_yes_or_no(value: str) -> bool:
    """Whether a value says that something applies, or that it does not."""
    return value.lower() in (YES, NO)
