"""Answers that stand in a context: as people write them down, and how near one is to another."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from attune.core.records import Scores
from attune.core.texts import SECOND
from attune.tasks.common.spans import parsed

Floats = NDArray[np.float64]
Plain = dict[str, Any]

EXCERPT = 60
KINDS = ("answer", "no answer")
"""What rows are cut and audited by: whether their context holds an answer."""
ARTICLES = re.compile(r"\b(a|an|the)\b")
HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
UNIT = re.compile(rf"[{HAN}]|[^\s{HAN}]+")
"""A word, or one Chinese character."""
PUNCTUATION = str.maketrans("", "", string.punctuation + "、。〈〉《》「」『』【】〔〕！（），．：；？～…—·")


def read_answers(value: Any, row: Mapping[str, Any]) -> list[Plain]:
    """Reads the answers of one row and holds them against its context.

    Args:
        value: `{"text": [...], "answer_start": [...]}` as in SQuAD, or a list of `{start, text}`; or that as JSON text.
            An empty list says that the context holds no answer.
        row: For its context.

    Returns:
        `{start, end, text}` each, none twice.

    Raises:
        ValueError: It is in neither form, or an answer does not stand where it is said to; says which.
    """
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = parsed(f"[{value}]")[0]
    value = parsed(value)
    if isinstance(value, Mapping):
        value = of_columns(value)
    if not isinstance(value, list):
        raise ValueError(f"a {type(value).__name__} where answers were expected")
    found = [read_answer(item, row[SECOND]) for item in value]
    return [answer for number, answer in enumerate(found) if answer not in found[:number]]


def of_columns(value: Mapping[str, Any]) -> list[Plain]:
    """SQuAD's two lists as one."""
    texts, starts = value.get("text"), value.get("answer_start")
    if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
        raise ValueError("an object without the lists text and answer_start, both as long")
    return [{"text": text, "start": start} for text, start in zip(texts, starts, strict=True)]


def read_answer(item: Any, context: str) -> Plain:
    """One answer, held against its context."""
    text = item.get("text") if isinstance(item, Mapping) else None
    start = item.get("start", item.get("answer_start")) if isinstance(item, Mapping) else None
    if not isinstance(text, str) or not text.strip() or not isinstance(start, int) or isinstance(start, bool):
        raise ValueError(f"{item!r} where an answer {{start, text}} was expected")
    if start < 0 or context[start : start + len(text)] != text:
        there = context[max(0, start) : max(0, start) + len(text)]
        at = context.find(text)
        hint = f"; it stands at {at}" if at >= 0 else "; it stands nowhere in it"
        raise ValueError(f"the answer {shown(text)} is not at {start} of the context, which says {shown(there)}{hint}")
    return {"start": start, "end": start + len(text), "text": text}


def shown(text: str) -> str:
    """A text in quotes, its end left out where it is long."""
    return repr(text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…")


def kinds_of(gold: Sequence[Plain]) -> list[str]:
    """Whether a row has an answer, by name."""
    return [KINDS[0] if gold else KINDS[1]]


def normal(text: str) -> str:
    """A text as SQuAD compares it (Rajpurkar et al. 2016): lower case, without punctuation, articles and wide gaps."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def units(text: str) -> list[str]:
    """The words of a normal text; of Chinese writing its characters, for it has no spaces (as CMRC 2018 counts)."""
    return UNIT.findall(normal(text))


def exact(answer: str, golds: Sequence[str]) -> float:
    """One where the answer is one of the right ones, as `normal` says; where none is right, where it is empty."""
    return float(any(normal(answer) == normal(gold) for gold in right_ones(golds)))


def f1(answer: str, golds: Sequence[str]) -> float:
    """The greatest F1 of words that an answer shares with one of the right ones.

    Args:
        answer: What was answered; empty for no answer.
        golds: What is right; none where there is no answer.

    Returns:
        From 0 to 1, as in SQuAD's script: an empty answer is right alone where none is right.
    """
    return max(shared(units(answer), units(gold)) for gold in right_ones(golds))


def right_ones(golds: Sequence[str]) -> list[str]:
    """The right answers that have a word; the empty one where none has."""
    return [gold for gold in golds if normal(gold)] or [""]


def shared(answer: Sequence[str], gold: Sequence[str]) -> float:
    """F1 of two bags of words."""
    if not answer or not gold:
        return float(list(answer) == list(gold))
    common = sum((Counter(answer) & Counter(gold)).values())
    return 2 * common / (len(answer) + len(gold))


@dataclass(frozen=True)
class AnswerScores(Scores):
    """Answers beside right ones; a row's best counts.

    Values of `gold` and `chosen` are lists of `{start, end, text}`: the right answers, and the one given; empty for no
    answer.
    """

    names: ClassVar[tuple[str, ...]] = ("answer_f1", "exact_match")
    headline: ClassVar[tuple[str, ...]] = ("answer_f1", "exact_match")

    @cached_property
    def rows(self) -> Floats:
        """Of each row F1 and whether it is exactly right `(2, N)`."""
        pairs = [(given(chosen), words_of(gold)) for gold, chosen in zip(self.gold, self.chosen, strict=True)]
        return np.array([[measure(*pair) for pair in pairs] for measure in (f1, exact)], dtype=np.float64)

    def measure(self, weights: Floats) -> dict[str, Floats]:
        """Means over rows under weights `(R, N)`."""
        means: Floats = self.rows @ weights.T / weights.sum(axis=1)
        return dict(zip(self.names, means, strict=True))

    def right(self) -> NDArray[np.bool_]:
        """Rows answered exactly right `(N,)`."""
        return self.rows[1] > 0

    def words(self, value: Sequence[Plain]) -> list[str]:
        """One row's answers, each once."""
        return list(dict.fromkeys(words_of(value))) or [KINDS[1]]


def words_of(answers: Sequence[Plain]) -> list[str]:
    """The texts of answers."""
    return [answer["text"] for answer in answers]


def given(chosen: Sequence[Plain]) -> str:
    """The text of the answer that was given; empty for none."""
    return chosen[0]["text"] if chosen else ""
