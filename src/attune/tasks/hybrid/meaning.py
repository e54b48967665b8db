"""Meaning representations: what a text should say, as slots with values."""

from __future__ import annotations

import re

Meaning = dict[str, str]
"""Slot to value, in the order given."""

SLOT = re.compile(r"\s*([^\[\],]+?)\s*\[\s*([^\[\]]*?)\s*\]\s*(?:,|$)")
CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|[_\-\s]+")
YES, NO = "yes", "no"


def read_meaning(text: str) -> Meaning:
    """Reads `name[The Eagle], food[French]`.

    Args:
        text: Slots with values, parted by commas.

    Returns:
        Slot to value; yes and no in small letters.

    Raises:
        ValueError: It has another form, a slot has no value, or occurs twice.
    """
    found: Meaning = {}
    at = 0
    while at < len(text):
        match = SLOT.match(text, at)
        if not match:
            raise ValueError(f"{text[at : at + 40]!r} where slot[value] was expected")
        slot, value = match.groups()
        if not value:
            raise ValueError(f"the slot {slot} has no value")
        if slot in found:
            raise ValueError(f"the slot {slot} occurs twice")
        found[slot] = value.lower() if is_yes_or_no(value) else value
        at = match.end()
    if not found:
        raise ValueError("no slot")
    return found


def written(meaning: Meaning) -> str:
    """A meaning as `read_meaning` reads it."""
    return ", ".join(f"{slot}[{value}]" for slot, value in meaning.items())


def words_of(slot: str) -> list[str]:
    """The words of a slot's name, in small letters: `familyFriendly` is family, friendly."""
    return [word.lower() for word in CAMEL.split(slot) if word]


def is_yes_or_no(value: str) -> bool:
    """Whether a value says that something applies, or that it does not."""
    return value.lower() in (YES, NO)
