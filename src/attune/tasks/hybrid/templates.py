"""Templates: texts with places for values, given or learned, and sentences for whatever no template says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attune.tasks.common.lexicon import Lexicon
from attune.tasks.common.slot_check import exact
from attune.tasks.common.slots import NO, Meaning, is_yes_or_no, words_of
from attune.tasks.hybrid.ngram import NGrams, tokens_of

PLACE = re.compile(r"\{([^{}]+)\}")
VOWEL = re.compile(r"[aeiouAEIOU]|8|11|18")
TRIED = 200
"""Templates of one set of slots that are filled and compared: those that were given, then the most frequent ones."""
Fluency = Callable[[str], float]


@dataclass(frozen=True)
class Template:
    """A text with places for values.

    Attributes:
        text: With `{slot}` where a value stands.
        count: How often it was seen; 0 where it was given.
    """

    text: str
    count: int = 0

    @property
    def slots(self) -> frozenset[str]:
        """What it says."""
        return frozenset(PLACE.findall(self.text))

    def suits(self, meaning: Meaning) -> bool:
        """Whether no slot's words stand there already where yes or no would put them in its place once more."""
        bare = PLACE.sub(" ", self.text).lower()
        return not any(is_yes_or_no(meaning[slot]) and " ".join(words_of(slot)) in bare for slot in self.slots)

    def filled(self, meaning: Meaning, lexicon: Lexicon) -> str:
        """The text with values in their places, a or an as they begin."""
        parts = PLACE.split(self.text)
        text = ""
        for at, part in enumerate(parts):
            if at % 2:
                said = saying(part, meaning[part], lexicon)
                text += said[:1].upper() + said[1:] if begins(text) else said
            else:
                following = saying(parts[at + 1], meaning[parts[at + 1]], lexicon) if at + 1 < len(parts) else ""
                text += with_article(part, following)
        return text


def begins(text: str) -> bool:
    """Whether a sentence begins after a text."""
    return not text.strip() or bool(re.search(r"[.!?]\s*$", text))


def saying(slot: str, value: str, lexicon: Lexicon) -> str:
    """How a value is said; of a slot of yes and no its words, denied where they do not apply."""
    if not is_yes_or_no(value):
        return lexicon.usual(slot, value)
    words = lexicon.usual(slot, "yes") if "yes" in lexicon.phrases.get(slot, {}) else " ".join(words_of(slot))
    return f"not {words}" if value == NO else words


def with_article(part: str, following: str) -> str:
    """What stands before a value, its article as the value begins."""
    if not following:
        return part
    return re.sub(r"\b([Aa])n?(\s+)$", lambda match: f"{match[1]}{'n' * bool(VOWEL.match(following))}{match[2]}", part)


class Templates:
    """Templates by what they say; any meaning can be said with them.

    Args:
        templates: Given or learned.
        lexicon: How values are said.
    """

    def __init__(self, templates: Iterable[Template], lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        self.all = sorted(templates, key=lambda one: (one.count > 0, -one.count, one.text))
        self.by_slots: dict[frozenset[str], list[Template]] = {}
        for one in self.all:
            self.by_slots.setdefault(one.slots, []).append(one)

    @classmethod
    def learn(cls, pairs: Sequence[tuple[Meaning, str]], lexicon: Lexicon) -> Templates:
        """Learns templates from texts without slot error.

        Args:
            pairs: Meanings with texts.
            lexicon: How values are said.

        Returns:
            The templates.
        """
        counts = Counter(delexicalised(text, meaning, lexicon) for meaning, text in pairs)
        return cls((Template(text, count) for text, count in counts.items() if text), lexicon)

    def say(self, meaning: Meaning, fluency: Fluency) -> str:
        """Says a meaning: with the best template that says all of it, else with several, else slot by slot.

        Args:
            meaning: Slot to value.
            fluency: How natural a text is, the greater the better.

        Returns:
            A text without slot error, if the lexicon can tell its values apart.
        """
        whole = self._best(meaning, frozenset(meaning), fluency)
        if whole:
            return whole
        first = next(iter(meaning))
        parts: list[str] = []
        left = set(meaning)
        while left:
            part = self._largest(meaning, left, first, fluency)
            if part is None:
                break
            said, text = part
            parts.append(text)
            left -= said
        for slot in (slot for slot in meaning if slot in left):
            parts.append(plainly(slot, meaning[slot], begun=bool(parts)))
        text = " ".join(parts)
        return text if exact(text, meaning, self.lexicon) else listed(meaning)

    def _largest(
        self, meaning: Meaning, left: set[str], first: str, fluency: Fluency
    ) -> tuple[frozenset[str], str] | None:
        """The text that says most of what is left to say, beside the first slot, which each sentence is about."""
        able = [slots for slots in self.by_slots if first in slots and slots <= left | {first} and len(slots) > 1]
        order = {slot: at for at, slot in enumerate(meaning)}
        for slots in sorted(able, key=lambda one: (-len(one), sorted(order[slot] for slot in one))):
            if text := self._best(meaning, slots, fluency):
                return slots, text
        return None

    def _best(self, meaning: Meaning, slots: frozenset[str], fluency: Fluency) -> str:
        """The most natural of the templates that say these slots and are exact; empty where there is none."""
        wanted = {slot: value for slot, value in meaning.items() if slot in slots}
        able = [one for one in self.by_slots.get(slots, ()) if one.suits(wanted)]
        filled = [one.filled(wanted, self.lexicon) for one in able[:TRIED]]
        right = [text for text in filled if exact(text, wanted, self.lexicon)]
        return max(right, key=lambda text: (fluency(text), text), default="")

    def plain(self) -> list[dict[str, Any]]:
        """As JSON values."""
        return [{"text": one.text, "count": one.count} for one in self.all]

    @classmethod
    def of(cls, plain: Iterable[Mapping[str, Any]], lexicon: Lexicon) -> Templates:
        """From what `plain` gave."""
        return cls((Template(one["text"], one["count"]) for one in plain), lexicon)


def given(texts: Iterable[str]) -> list[Template]:
    """Templates that somebody wrote.

    Args:
        texts: Each with `{slot}` where a value is to stand.

    Returns:
        They.

    Raises:
        ValueError: One has no place, or the same twice.
    """
    found = [Template(text) for text in texts]
    for one in found:
        places = PLACE.findall(one.text)
        if not places or len(set(places)) < len(places):
            raise ValueError(f"the template {one.text!r} has {'a place twice' if places else 'no place {slot}'}")
    return found


def delexicalised(text: str, meaning: Meaning, lexicon: Lexicon) -> str:
    """A text with places for its values; empty where it has a slot error, denies one, or says one more than once."""
    text = " ".join(text.split())
    known = lexicon.knowing(meaning.items())
    if not exact(text, meaning, known) or known.denied(text) or PLACE.search(text):
        return ""
    mentions = known.mentions(text)
    if len(mentions) != len(meaning):
        return ""
    parts: list[str] = []
    at = 0
    for mention in mentions:
        slot = next((slot for slot, value in mention.says if meaning.get(slot) == value), "")
        parts += [text[at : mention.start], f"{{{slot}}}"]
        at = mention.end
    bare = "".join([*parts, text[at:]])
    return bare if PLACE.findall(bare) and len(set(PLACE.findall(bare))) == len(meaning) else ""


def plainly(slot: str, value: str, *, begun: bool) -> str:
    """A sentence that says one slot in the plainest words; whether others stand before it."""
    words = " ".join(words_of(slot))
    if is_yes_or_no(value):
        return f"{'It' if begun else 'This'} is {'not ' * (value == NO)}{words}."
    return f"{'Its' if begun else 'The'} {words} is {value}."


def listed(meaning: Meaning) -> str:
    """Every slot with its value, one after another, for what sentences would confuse."""
    said = [(" ".join(words_of(slot)), value) for slot, value in meaning.items()]
    return "; ".join(
        f"{'not ' * (value == NO)}{words}" if is_yes_or_no(value) else f"{words} {value}" for words, value in said
    )


def fluency_of(model: NGrams) -> Fluency:
    """How natural a text is by an n-gram model, in nats a token."""
    return lambda text: model.fluency(tokens_of(text))
