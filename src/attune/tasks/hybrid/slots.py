"""The exact slot check: which slots of a meaning a text leaves out, adds, or says wrongly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from attune.tasks.hybrid.lexicon import Lexicon
from attune.tasks.hybrid.meaning import Meaning


@dataclass(frozen=True)
class SlotErrors:
    """What is wrong with a text.

    Attributes:
        missing: Slots of the meaning that it does not say.
        added: Slots that it says and the meaning does not have.
        wrong: Slots that it says with another value, whether or not it says the right one too.
        slots: How many slots the meaning has.
    """

    missing: tuple[str, ...]
    added: tuple[str, ...]
    wrong: tuple[str, ...]
    slots: int

    @property
    def count(self) -> int:
        """How many errors there are."""
        return len(self.missing) + len(self.added) + len(self.wrong)


def check(text: str, meaning: Mapping[str, str], lexicon: Lexicon) -> SlotErrors:
    """Holds a text against its meaning.

    It is exact for what the lexicon knows: a value in words that it does not know counts as missing, so that a text
    without errors says everything in words that are known, and nothing else in such words.

    Args:
        text: A text.
        meaning: Slot to value.
        lexicon: How values are said.

    Returns:
        The errors. What may say several values says one of the meaning's, if it can.
    """
    said: dict[str, set[str]] = {}
    for mention in lexicon.knowing(dict(meaning)).mentions(text):
        fitting = [(slot, value) for slot, value in mention.says if meaning.get(slot) == value]
        open_ = [(slot, value) for slot, value in fitting if slot not in said]
        slot, value = (open_ or fitting or [*mention.says])[0]
        said.setdefault(slot, set()).add(value)
    return SlotErrors(
        missing=tuple(slot for slot in meaning if slot not in said),
        added=tuple(slot for slot in said if slot not in meaning),
        wrong=tuple(slot for slot, values in said.items() if slot in meaning and values != {meaning[slot]}),
        slots=len(meaning),
    )


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
    """Whether a text has no slot error."""
    return not check(text, meaning, lexicon).count
