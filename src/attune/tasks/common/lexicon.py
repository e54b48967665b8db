"""How slots and values are said: value phrases, given and learned, and where a text says them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from attune.core.texts import WIDE
from attune.tasks.common.slots import APPLIES, NO, YES, Meaning, is_yes_or_no, words_of
from attune.tasks.common.slots import Slot as Said

LETTER = r"[^\W_\u3400-\u9fff\uf900-\ufaff]"
"""What no phrase begins or ends beside: a letter or a digit, but for writing without spaces."""
NEGATION = (
    r"(?:\b(?:not|non|no|never|isn['’]?t|aren['’]?t|doesn['’]?t|without|un)\b[\s-]*"
    r"(?:(?!(?:and|but|yet)\b)\w+[\s-]+){0,2}?)"
)
"""What denies, with up to two words behind it. "And", "but" and "yet" end it: not cheap but family friendly denies one
thing, not cheap or family friendly both."""
NEARLY = re.compile(r"(?:not|no|isn['’]?t|never)\s+(?:far|only|just|more|less|other)\b", re.IGNORECASE)
"""What reads as a negation of a value and is none: not far from a place, no more than a price."""
CLAUSE = re.compile(r"[.;!?](?=\s|$)")
WORD = re.compile(r"[^\W_]+")
NEAR = 4
"""Words between a value and a word of its slot's name, where the value alone might be another slot's."""
SURE, OFTEN, LONGEST = 0.95, 5, 4
FUNCTION = frozenset(
    "a an the and or but with of in on at to for from by is are was be has have it its it's they their there this that "
    "as than more less near located serves serving offers not no non yes very also which where who you your".split()
)
"""Words that no learned phrase begins or ends with."""
"""A phrase is learned if it says a value in this share of the texts that hold it, in so many of them at least; and how
many words it may have."""


@dataclass(frozen=True)
class Mention:
    """A place of a text that says a value.

    Attributes:
        start: Its first character.
        end: The first one after it.
        says: What it may say; more than one where slots share a value.
    """

    start: int
    end: int
    says: tuple[Said, ...]


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Phrases of slots and values.

    Attributes:
        phrases: Slot to value to phrases, the usual one first. Of a slot with the values yes and no those of `yes`
            say that it applies; with a negation before them, that it does not.
        cued: Phrases, in small letters, that say a value only near a word of the slot's name.
    """

    phrases: Mapping[str, Mapping[str, Sequence[str]]]
    cued: frozenset[str] = frozenset()

    @cached_property
    def index(self) -> dict[str, list[Said]]:
        """A phrase in small letters to what it may say."""
        found: defaultdict[str, list[Said]] = defaultdict(list)
        for slot, values in self.phrases.items():
            for value, phrases in values.items():
                for phrase in phrases:
                    found[normal(phrase)].append((slot, value))
        return dict(found)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Every phrase, the longest first."""
        ordered = sorted(self.index, key=lambda phrase: (-len(phrase), phrase))
        wide = [flexible(phrase) for phrase in ordered if WIDE.match(phrase)]
        others = "|".join(flexible(phrase) for phrase in ordered if not WIDE.match(phrase))
        return re.compile("|".join([*wide, *([f"(?<!{LETTER})(?:{others})"] if others else [])]), re.IGNORECASE)

    def found_in(self, text: str) -> Iterator[tuple[re.Match[str], str]]:
        """Where phrases stand in a text, the longest of several at a place, and which they are."""
        for match in self.pattern.finditer(text) if self.index else ():
            phrase = normal(match.group())
            if phrase in self.index:
                yield match, phrase

    def knowing(self, slots: Iterable[Said]) -> Lexicon:
        """With the values of slots that are not known yet, each said by itself."""
        new = {(slot, value): None for slot, value in slots if value not in self.phrases.get(slot, {})}
        return extended(self, tuple(new)) if new else self

    def usual(self, slot: str, value: str) -> str:
        """How a value is usually said."""
        return next(iter(self.phrases.get(slot, {}).get(value, ())), value)

    def mentions(self, text: str) -> list[Mention]:
        """Where a text says which values, in order; places do not overlap.

        Args:
            text: A text.

        Returns:
            Mentions. A negation belongs to what it denies. A slot's own words say yes only where no other value of it
            is said: street parking is no parking of any kind.
        """
        found: list[Mention] = []
        for match, phrase in self.found_in(text):
            said = self.index[phrase]
            if phrase in self.cued:
                said = [(slot, value) for slot, value in said if self.near(text, match.start(), match.end(), slot)]
            if said:
                found.append(negated(text, match.start(), match.end(), said))
        other = {slot for mention in found for slot, value in mention.says if not is_yes_or_no(value)}
        return [one for one in found if not all(value == YES and slot in other for slot, value in one.says)]

    def denied(self, text: str) -> set[Said]:
        """Values of a text that stand right behind a negation, as in no French food, so that it may not say them.

        Args:
            text: A text.

        Returns:
            Slots with values; none of yes and no, to which a negation belongs.
        """
        found: set[Said] = set()
        begin = 0
        for mention in self.mentions(text):
            said = {one for one in mention.says if not is_yes_or_no(one[1])}
            before = denial(text[begin : mention.start])
            if said and before and not NEARLY.match(before):
                found |= said
            begin = mention.end
        return found

    def near(self, text: str, start: int, end: int, slot: str) -> bool:
        """Whether the word of a slot's name that is nearest to a place in its sentence is one of this slot's."""
        begin = max((stop.end() for stop in CLAUSE.finditer(text, 0, start)), default=0)
        stop = CLAUSE.search(text, end)
        before = WORD.findall(text[begin:start].lower())[::-1][:NEAR]
        after = WORD.findall(text[end : stop.start() if stop else len(text)].lower())[:NEAR]
        at = {name: min(distance(before, name), distance(after, name)) for name in self.phrases}
        return at[slot] < NEAR and at[slot] == min(at.values())

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        phrases = {slot: {value: list(said) for value, said in of.items()} for slot, of in self.phrases.items()}
        return {"phrases": phrases, "cued": sorted(self.cued)}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Lexicon:
        """From what `plain` gave."""
        return cls(plain["phrases"], frozenset(plain["cued"]))


NOTHING_SAID = Lexicon({})
"""A lexicon without phrases: values are said by themselves."""


@lru_cache(maxsize=1024)
def extended(lexicon: Lexicon, new: tuple[Said, ...]) -> Lexicon:
    """A lexicon with further values, each said by itself."""
    phrases = {slot: dict(values) for slot, values in lexicon.phrases.items()}
    for slot, value in new:
        yes = is_yes_or_no(value)
        phrases.setdefault(slot, {}).setdefault(YES if yes else value, [" ".join(words_of(slot)) if yes else value])
    made = Lexicon(phrases)
    shared = {phrase for phrase, said in made.index.items() if len({slot for slot, _ in said}) > 1}
    return Lexicon(phrases, lexicon.cued | frozenset(shared))


def normal(phrase: str) -> str:
    """A phrase in small letters, its hyphens and wide gaps as single spaces."""
    small = "".join(sign.lower() if len(sign.lower()) == 1 else sign for sign in phrase)  # İ would become two
    return " ".join(re.sub(r"(?<=\S)[-–](?=\S)", " ", small).split())


def flexible(phrase: str) -> str:
    """A pattern of a phrase, to the end of a word where words are parted; a space may be a hyphen or a dash."""
    after = "" if WIDE.match(phrase[-1:]) else f"(?!{LETTER})"
    return r"(?:\s+|[-–])".join(re.escape(word) for word in phrase.split()) + after


def negated(text: str, start: int, end: int, said: Sequence[Said]) -> Mention:
    """A mention; with the negation before it, if any, where what is said is that something applies."""
    if not all(value == YES for _, value in said):
        return Mention(start, end, tuple(said))
    before = denial(text[:start])
    if not before:
        return Mention(start, end, tuple(said))
    return Mention(start - len(before), end, tuple((slot, NO) for slot, _ in said))


def denial(text: str) -> str:
    """The negation that a text ends with, up to its end; empty where there is none, or a sentence ends within it."""
    found = re.search(NEGATION + "$", text[-40:], re.IGNORECASE)
    return found.group() if found and not CLAUSE.search(found.group()) else ""


def distance(words: Sequence[str], slot: str) -> int:
    """How many words stand before one that begins as a word of the slot's name does."""
    stems = [stem(word) for word in words_of(slot)]
    return next((at for at, word in enumerate(words) if any(word.startswith(own) for own in stems)), NEAR)


def stem(word: str) -> str:
    """What the forms of an English word begin with: rating, rated and rates with rat."""
    return re.sub(r"(?:ings?|ed|es|e|s|ly|y)$", "", word) if len(word) > 4 else word


def values_of(meanings: Iterable[Meaning]) -> dict[str, list[str]]:
    """The values that each slot has, in the order met."""
    found: dict[str, dict[str, None]] = {}
    for meaning in meanings:
        for slot, value in meaning.items():
            found.setdefault(slot, {}).setdefault(value)
    return {slot: list(values) for slot, values in found.items()}


def learn_lexicon(
    pairs: Sequence[tuple[Meaning, str]], given: Mapping[str, Mapping[str, Sequence[str]]] | None = None
) -> Lexicon:
    """Learns how values are said from meanings beside texts.

    A value is said by itself, yes and no by the slot's words. Besides, any phrase is learned that nearly
    always stands where a value does, and more so than for any other value. A phrase that several slots share, or that
    often stands where its value does not, says the value only near a word of the slot's name.

    Args:
        pairs: Meanings with texts.
        given: Slot to value to further phrases; of values that no meaning has too.

    Returns:
        The lexicon.
    """
    further = {
        slot: {APPLIES.get(value.lower(), value): said for value, said in own.items()}
        for slot, own in (given or {}).items()
    }
    given_values = [{slot: value} for slot, own in further.items() for value in own]
    phrases: dict[str, dict[str, list[str]]] = {}
    for slot, values in values_of([*(meaning for meaning, _ in pairs), *given_values]).items():
        own = further.get(slot, {})
        others = [value for value in values if not is_yes_or_no(value)]
        phrases[slot] = {value: [value, *own.get(value, ())] for value in others}
        if len(others) < len(values):
            phrases[slot] |= {YES: [" ".join(words_of(slot)), *own.get(YES, ())], NO: [*own.get(NO, ())]}
    for slot, value, phrase in associated(pairs, phrases):
        phrases[slot][value].append(phrase)
    plain = Lexicon(phrases)
    return Lexicon(phrases, ambiguous(pairs, plain))


def associated(
    pairs: Sequence[tuple[Meaning, str]], known: Mapping[str, Mapping[str, Sequence[str]]]
) -> list[tuple[str, str, str]]:
    """Phrases that nearly always stand where a value does, where no known phrase says it; slot, value and phrase."""
    plain = Lexicon({slot: dict(values) for slot, values in known.items()})
    holding: Counter[str] = Counter()
    together: defaultdict[str, Counter[Said]] = defaultdict(Counter)
    wanting: defaultdict[str, Counter[Said]] = defaultdict(Counter)
    for meaning, text in pairs:
        mentions = plain.mentions(text)
        said = {one for mention in mentions for one in mention.says}
        truth = {(slot, YES if is_yes_or_no(value) else value) for slot, value in meaning.items()}
        unsaid = {one for one in truth if one not in said and (one[0], NO) not in said}
        for phrase in set(parts_between(text, mentions)):
            holding[phrase] += 1
            together[phrase].update(truth)
            wanting[phrase].update(unsaid)
    found: list[tuple[str, str, str]] = []
    for phrase, count in holding.items():
        if count < OFTEN:
            continue
        (slot, value), most = max(wanting[phrase].items(), key=lambda item: (item[1], item[0]), default=(("", ""), 0))
        most_ = together[phrase][slot, value]
        if min(most, most_) >= SURE * count and tells(phrase, slot, value, plain):
            found.append((slot, value, phrase))
    plainest = [one for one in found if one[1] != YES]
    return [*shortest(plainest), *sorted(one for one in found if one[1] == YES)]  # whatever order a set has


def tells(phrase: str, slot: str, value: str, plain: Lexicon) -> bool:
    """Whether a phrase is more than an accident: it shares a word with the slot or its value.

    Of a slot of yes and no it must hold the last word of the slot's name, as child-friendly does of familyFriendly.
    """
    words = phrase.split()
    if value not in plain.phrases.get(slot, {}) or words[0] in FUNCTION or words[-1] in FUNCTION:
        return False
    if value == YES:
        return words_of(slot)[-1] in words
    own = {stem(word) for word in (*words_of(slot), *WORD.findall(value.lower())) if word not in FUNCTION}
    return any(stem(word) in own for word in words)


def parts_between(text: str, mentions: Sequence[Mention]) -> list[str]:
    """Every phrase of at most four words of what no mention covers."""
    ends = [0, *(mention.end for mention in mentions)]
    starts = [*(mention.start for mention in mentions), len(text)]
    found: list[str] = []
    for begin, end in zip(ends, starts, strict=True):
        for clause in re.split(r"[.,;:!?()]", normal(text[begin:end])):
            words = WORD.findall(clause)
            for size in range(1, LONGEST + 1):
                found += [" ".join(words[at : at + size]) for at in range(len(words) - size + 1)]
    return found


def shortest(found: Sequence[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Of phrases that say the same those that hold no other."""
    kept: list[tuple[str, str, str]] = []
    for slot, value, phrase in sorted(found, key=lambda item: (len(item[2].split()), item)):
        inside = f" {phrase} "
        if not any((slot, value) == one[:2] and f" {one[2]} " in inside for one in kept):
            kept.append((slot, value, phrase))
    return kept


def ambiguous(pairs: Sequence[tuple[Meaning, str]], plain: Lexicon) -> frozenset[str]:
    """Phrases that several slots share, or that stand too often where their value does not."""
    shared = {phrase for phrase, said in plain.index.items() if len({slot for slot, _ in said}) > 1}
    holding: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for meaning, text in pairs:
        for _, phrase in plain.found_in(text):
            holding[phrase] += 1
            said = plain.index[phrase]
            right[phrase] += any(
                meaning.get(slot) == value or (value == YES and slot in meaning) for slot, value in said
            )
    single = {phrase for phrase in holding if " " not in phrase and right[phrase] < SURE * holding[phrase]}
    return frozenset(shared | single)
