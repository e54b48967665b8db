"""The chooser: of texts from several sources the most natural one that says exactly what it should."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from attune.tasks.common.lexicon import Lexicon
from attune.tasks.common.slot_check import SlotErrors, check, exact
from attune.tasks.common.slots import Meaning
from attune.tasks.hybrid.templates import Fluency, Templates


@dataclass(frozen=True)
class Candidate:
    """A text, and what made it: `neural`, `ngram`, `template`."""

    source: str
    text: str


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        source: What made it.
        text: The text.
        errors: Its slot errors; none, unless the lexicon cannot tell the values of the meaning apart.
        right: How many of the candidates had no slot error.
    """

    source: str
    text: str
    errors: SlotErrors
    right: int


def choose(
    meaning: Meaning, candidates: Iterable[Candidate], templates: Templates, fluency: Fluency, lexicon: Lexicon
) -> Choice:
    """Chooses a text for a meaning.

    Args:
        meaning: Slot to value.
        candidates: Texts of any source.
        templates: What answers where every candidate has a slot error.
        fluency: How natural a text is, the greater the better.
        lexicon: How values are said.

    Returns:
        The most natural candidate without slot error that denies no value; the templates' text where there is none.
    """
    known = lexicon.knowing(meaning.items())
    right = [one for one in candidates if exact(one.text, meaning, known) and not known.denied(one.text)]
    if right:
        best = max(right, key=lambda one: (fluency(one.text), one.text))
    else:
        best = Candidate("template", templates.say(meaning, fluency))
    return Choice(best.source, best.text, check(best.text, meaning.items(), lexicon), len(right))
