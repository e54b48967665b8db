"""What says meanings beside a network: a lexicon, templates and n-grams, learned from rows and kept as JSON."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from attune.errors import DataError
from attune.tasks.common.lexicon import Lexicon, learn_lexicon
from attune.tasks.common.slot_check import asked, pairs_of
from attune.tasks.common.slots import Meaning, read_meaning
from attune.tasks.hybrid.chooser import Candidate, Choice, choose
from attune.tasks.hybrid.drawing import Drawer
from attune.tasks.hybrid.hybrid_options import HybridOptions
from attune.tasks.hybrid.ngram import NGrams, tokens_of
from attune.tasks.hybrid.templates import Template, Templates, fluency_of, given

Golds = Sequence[Mapping[str, Any]]
"""What is right for rows: `texts`, and `slots` where they should say such."""
NEURAL, DRAWN, FIXED = "neural", "ngram", "template"
"""What a text may come from."""


def lexicon_of(golds: Golds, phrases: Mapping[str, Mapping[str, Sequence[str]]] | None = None) -> Lexicon:
    """Learns how the values of slots are said.

    Args:
        golds: What is right for the training rows; phrases are learned of those whose slots have one value each.
        phrases: Slot to value to further phrases, given.

    Returns:
        The lexicon, with every value of every row.
    """
    values = pairs_of(asked(slot for gold in golds for slot in gold.get("slots") or []))
    return learn_lexicon(meant(golds), phrases).knowing(values)


def meant(golds: Golds) -> list[tuple[Meaning, str]]:
    """Meanings with each of their texts, where every slot has one value."""
    found: list[tuple[Meaning, str]] = []
    for gold in golds:
        values = asked(gold.get("slots") or [])
        if values and all(len(each) == 1 for each in values.values()):
            found += [(dict(pairs_of(values)), text) for text in gold["texts"]]
    return found


def meaning_of(text: str) -> Meaning:
    """What a meaning representation asks to be said.

    Args:
        text: Slots with one value each.

    Returns:
        Slot to value, but for slots of which there is nothing to say.

    Raises:
        ValueError: It is none, or asks for nothing; a clause.
    """
    wanted = asked(read_meaning(text).items())
    if not wanted:
        raise ValueError("no slot has a value that could be said")
    return dict(pairs_of(wanted))


def unknown_slot(found: str, where: str, known: Iterable[str]) -> DataError:
    """What is said of a slot that is given and that no training row has."""
    return DataError(
        f"{found}, a slot that no training row has",
        where=where,
        expected=f"slots of the rows: {', '.join(sorted(known))}",
    )


@dataclass(frozen=True)
class Voice:
    """Templates and n-grams that were learned.

    Attributes:
        lexicon: How values are said.
        templates: Texts with places for values.
        words: N-grams of the texts, which tell how natural one is.
        options: How many texts are drawn, and how.
        drawer: Draws texts from n-grams of the templates.
    """

    lexicon: Lexicon
    templates: Templates
    words: NGrams
    options: HybridOptions
    drawer: Drawer

    @classmethod
    def learn(cls, golds: Golds, options: HybridOptions) -> Self:
        """Learns from what is right for the training rows.

        Args:
            golds: Texts beside slots.
            options: What is given besides.

        Returns:
            What was learned.

        Raises:
            DataError: A given template has a place for a slot that no row has, or a given phrase is of such a slot.
        """
        pairs = meant(golds)
        own = given(options.templates)
        known = {slot for meaning, _ in pairs for slot in meaning}
        if unknown := sorted({slot for one in own for slot in one.slots - known}):
            raise unknown_slot(f"a template has a place for {unknown[0]!r}", "task.hybrid.templates", known)
        asked_for = {slot for gold in golds for slot, _ in gold.get("slots") or []}
        if unknown := sorted(options.phrases.keys() - asked_for):
            raise unknown_slot(f"phrases are given for {unknown[0]!r}", "task.hybrid.phrases", asked_for)
        lexicon = lexicon_of(golds, options.phrases)
        learned = Templates.learn(pairs, lexicon).all if options.learn else []
        words = NGrams.learn((tokens_of(text) for _, text in pairs), options.order)
        return cls.made(lexicon, [*own, *learned], words, options)

    @classmethod
    def made(cls, lexicon: Lexicon, templates: Iterable[Template], words: NGrams, options: HybridOptions) -> Self:
        """Joins what belongs together."""
        ordered = Templates(templates, lexicon)
        return cls(lexicon, ordered, words, options, Drawer(ordered, options.order))

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "lexicon": self.lexicon.plain(), "templates": self.templates.plain(), "words": self.words.plain(),
        }  # fmt: skip

    @classmethod
    def of(cls, plain: Mapping[str, Any], options: HybridOptions) -> Self:
        """From what `plain` gave."""
        lexicon = Lexicon.of(plain["lexicon"])
        return cls.made(lexicon, Templates.of(plain["templates"], lexicon).all, NGrams.of(plain["words"]), options)

    def drawn(self, meaning: Meaning, count: int) -> list[str]:
        """Texts drawn from n-grams; a meaning's draws depend on itself and the seed alone."""
        seed = zlib.crc32(repr([*meaning.items()]).encode()) ^ self.options.seed
        return self.drawer.draw(meaning, count, seed)

    def chosen(self, meaning: Meaning, neural: Sequence[str]) -> tuple[Choice, int]:
        """The most natural text without slot error of all sources.

        Args:
            meaning: Slot to value.
            neural: What the network wrote, the best first.

        Returns:
            The choice, and how many texts there were to choose among.
        """
        fluency = fluency_of(self.words)
        texts = [Candidate(NEURAL, text) for text in neural]
        texts += [Candidate(FIXED, self.templates.say(meaning, fluency))]
        texts += [Candidate(DRAWN, text) for text in self.drawn(meaning, self.options.draws)]
        each = list({one.text: one for one in reversed(texts) if one.text}.values())[::-1]
        return choose(meaning, each, self.templates, fluency, self.lexicon), len(each)

    def alone(self, source: str, meaning: Meaning) -> str:
        """What templates or n-grams say by themselves, checked by nobody.

        Args:
            source: `template` or `ngram`.
            meaning: Slot to value.

        Returns:
            A text.
        """
        if source == FIXED:
            return self.templates.say(meaning, fluency_of(self.words))
        return self.drawn(meaning, 1)[0]
