"""The exact slot check: which slots a text leaves out, adds, or says wrongly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from attune.tasks.common.lexicon import Lexicon
from attune.tasks.common.slots import Meaning, Slot

UNSAID = frozenset({"", "none"})
"""Values in small letters of slots of which there is nothing to say."""


@dataclass(frozen=True)
class SlotErrors:
    """What is wrong with a text; a slot is named as often as it is wrong.

    Attributes:
        missing: Slots with a value that it does not say.
        added: Slots that it says and that were not asked for.
        wrong: Slots that it says with another value, whether or not it says the right one too.
        slots: How many slots with a value were looked for.
    """

    missing: tuple[str, ...]
    added: tuple[str, ...]
    wrong: tuple[str, ...]
    slots: int

    @property
    def count(self) -> int:
        """How many errors there are."""
        return len(self.missing) + len(self.added) + len(self.wrong)


def check(text: str, slots: Iterable[Sequence[str]], lexicon: Lexicon) -> SlotErrors:
    """Holds a text against the slots that it should say.

    It is exact for what the lexicon knows: a value in words that it does not know counts as missing, so that a text
    without errors says everything in words that are known, and nothing else in such words.

    Args:
        text: A text.
        slots: Names with values; a slot may have several.
        lexicon: How values are said.

    Returns:
        The errors. What may say several values says one of those asked for, if it can.
    """
    wanted = asked(slots)
    said: dict[str, set[str]] = {}
    for mention in lexicon.knowing(pairs_of(wanted)).mentions(text):
        fitting = [(slot, value) for slot, value in mention.says if value in wanted.get(slot, ())]
        open_ = [(slot, value) for slot, value in fitting if value not in said.get(slot, ())]
        slot, value = (open_ or fitting or [*mention.says])[0]
        said.setdefault(slot, set()).add(value)
    missing: list[str] = []
    wrong: list[str] = []
    for slot, values in wanted.items():
        unsaid = len(values.keys() - said.get(slot, set()))
        other = len(said.get(slot, set()) - values.keys())
        instead = min(other, unsaid)
        wrong += [slot] * max(instead, min(other, 1))
        missing += [slot] * (unsaid - instead)
    added = tuple(slot for slot in said if slot not in wanted)
    return SlotErrors(tuple(missing), added, tuple(wrong), sum(map(len, wanted.values())))


def asked(slots: Iterable[Sequence[str]]) -> dict[str, dict[str, None]]:
    """The values to look for of each slot, each once, in the order given."""
    found: dict[str, dict[str, None]] = {}
    for slot, value in slots:
        if value.lower() not in UNSAID:
            found.setdefault(slot, {})[value] = None
    return found


def pairs_of(wanted: Mapping[str, Iterable[str]]) -> list[Slot]:
    """Slots with their values, one after the other."""
    return [(slot, value) for slot, values in wanted.items() for value in values]


def slot_error_rate(errors: Iterable[SlotErrors]) -> float:
    """Missing, added and wrong slots of all texts, over the slots of all meanings (Wen et al. 2015).

    Args:
        errors: One record a text.

    Returns:
        A rate; it may be above one. Zero where there is no slot.
    """
    found = list(errors)
    total = sum(one.slots for one in found)
    return sum(one.count for one in found) / total if total else 0.0


def exact(text: str, meaning: Meaning, lexicon: Lexicon) -> bool:
    """Whether a text says a meaning without slot error."""
    return not check(text, meaning.items(), lexicon).count
