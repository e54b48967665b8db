"""Rows whose columns say that more is right for them than labels: tags, answers in a context, texts to write."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from attune.core.texts import text_of_tokens

TOKENS = ("tokens", "words", "词")
TAGS = ("ner_tags", "tags", "labels", "bio", "标签")
SPANS = ("entities", "spans", "labels", "label", "实体")
TEXTS = ("text", "sentence", "content", "文本")
QUESTIONS = ("question", "query", "问题")
CONTEXTS = ("context", "passage", "paragraph", "上下文")
ANSWERS = ("answers", "answer", "答案")
WRITTEN = (
    ("source", "target"),
    ("document", "summary"),
    ("article", "highlights"),
    ("article", "summary"),
    ("text", "summary"),
    ("dialogue", "summary"),
    ("input", "output"),
    ("prompt", "completion"),
    ("instruction", "response"),
    ("meaning_representation", "reference"),
    ("原文", "摘要"),
    ("原文", "译文"),
)
"""Names of what is read and what is written. Any two columns of texts would do, but for their names nothing says so."""
REPEATED = 0.5
"""Share of different values below which a column of texts is one of labels."""
Cells = Sequence[Any]


@dataclass(frozen=True)
class Shape:
    """A task that columns speak of.

    Attributes:
        task: Its name.
        columns: The keys of [data] by which it finds its columns.
        reasons: Sentences.
        texts: The first texts, for what is to be known of their language.
    """

    task: str
    columns: dict[str, str]
    reasons: tuple[str, ...]
    texts: tuple[str, ...]


def shape_of(columns: dict[str, Cells], most: int, labels: Sequence[str] = ()) -> Shape | None:
    """What columns speak of, by their names and by every one of their values.

    Args:
        columns: Values by name, of the rows that were looked at.
        most: Texts that are kept.
        labels: Names of columns of labels; where one of them is there and repeats, spans and texts beside it do not
            count, for it is what such rows are usually for.

    Returns:
        The shape; none where rows are texts with labels, or nothing known.
    """
    for told in (answered, tagged, spanned, written):
        found = told(columns, most)
        if found and (told in (answered, tagged) or not any(map(repeats, beside(columns, found, labels)))):
            return found
    return None


def beside(columns: dict[str, Cells], found: Shape, labels: Sequence[str]) -> list[Cells]:
    """The columns of labels that a shape does not take."""
    return [cells for name, cells in columns.items() if name.lower() in labels and name not in found.columns.values()]


def repeats(cells: Cells) -> bool:
    """Whether a column is one of single labels."""
    there = [cell for cell in cells if cell not in (None, "")]
    return bool(there) and all(map(is_text, there)) and len(set(there)) < REPEATED * len(there)


def pick(columns: dict[str, Cells], names: Sequence[str], fits: Callable[[Any], bool]) -> str:
    """The first of some names whose column has nothing but values that fit, where it has a value at all."""
    for name in (column for wanted in names for column in columns if column.lower() == wanted):
        there = [cell for cell in columns[name] if cell not in (None, "")]
        if there and all(fits(opened(cell)) for cell in there):
            return name
    return ""


def opened(cell: Any) -> Any:
    """A list or an object that stands in a cell as JSON text, as such."""
    if isinstance(cell, str) and cell.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(cell)
        except ValueError:
            return cell
    return cell


def answered(columns: dict[str, Cells], most: int) -> Shape | None:
    """A question, a context, and answers with their place in it, as in SQuAD."""
    question, context = pick(columns, QUESTIONS, is_text), pick(columns, CONTEXTS, is_text)
    answers = pick(columns, ANSWERS, is_answers)
    if not (question and context and answers):
        return None
    reason = (
        f"{answers!r} holds answers with their place in {context!r}: spans that answer {question!r} are looked for."
    )
    named = {"text": question, "text_pair": context, "label": answers}
    return Shape("question_answering", named, (reason,), texts_of([*columns[question], *columns[context]], most))


def tagged(columns: dict[str, Cells], most: int) -> Shape | None:
    """Tokens, and a tag of each by name."""
    tokens, tags = pick(columns, TOKENS, is_texts), pick(columns, TAGS, is_tags)
    if not tokens or not tags or not all(isinstance(cell, list) for cell in columns[tokens]):
        return None
    both = [(one, opened(other)) for one, other in zip(columns[tokens], columns[tags], strict=True)]
    if not all(isinstance(other, list) and len(one) == len(other) for one, other in both):
        return None
    reason = f"{tags!r} holds a tag for each of {tokens!r}: spans are marked."
    return Shape(
        "tagging", {"text": tokens, "label": tags}, (reason,), tuple(text_of_tokens(one) for one, _ in both[:most])
    )


def spanned(columns: dict[str, Cells], most: int) -> Shape | None:
    """A text, and spans of its characters with a label each."""
    text, spans = pick(columns, TEXTS, is_text), pick(columns, SPANS, is_spans)
    if not text or not spans or not any(opened(cell) for cell in columns[spans]):
        return None
    reason = f"{spans!r} holds spans with labels, by characters of {text!r}: spans are marked."
    return Shape("tagging", {"text": text, "label": spans}, (reason,), texts_of(columns[text], most))


def written(columns: dict[str, Cells], most: int) -> Shape | None:
    """A text that is read, and one that is written; what is written does not repeat as labels do."""
    by_name = {name.lower(): name for name in columns}
    for pair in WRITTEN:
        source, target = (by_name.get(name, "") for name in pair)
        if not source or not target or not all(map(is_text, [*columns[source], *columns[target]])):
            continue
        if len(set(columns[target])) < REPEATED * len(columns[target]):
            continue
        reason = f"{target!r} is a text that is written of {source!r}: their names say so, and it does not repeat."
        return Shape("generation", {"text": source, "label": target}, (reason,), texts_of(columns[source], most))
    return None


def texts_of(cells: Cells, most: int) -> tuple[str, ...]:
    """The first texts of a column, the first rows of which may have none."""
    return tuple(cell for cell in cells if is_text(cell))[:most]


def is_text(cell: Any) -> bool:
    """Whether a value is a text with something in it."""
    return isinstance(cell, str) and bool(cell.strip())


def is_texts(cell: Any) -> bool:
    """Whether a value is a list of texts."""
    return isinstance(cell, list) and bool(cell) and all(isinstance(item, str) and item for item in cell)


def is_tags(cell: Any) -> bool:
    """Whether a value is a list of tags: O, or a kind and a label."""
    return is_texts(cell) and all(tag == "O" or (tag[:2] in ("B-", "I-", "E-", "S-") and tag[2:]) for tag in cell)


def is_spans(cell: Any) -> bool:
    """Whether a value is a list of spans of characters with labels; it may be empty."""
    return isinstance(cell, list) and all(
        isinstance(item, dict) and isinstance(item.get("start"), int) and isinstance(item.get("end"), int)
        and isinstance(item.get("label"), str)
        for item in cell
    )  # fmt: skip


def is_answers(cell: Any) -> bool:
    """Whether a value is answers as SQuAD has them, or a list of objects with a text and its place."""
    if isinstance(cell, dict):
        texts, starts = cell.get("text"), cell.get("answer_start")
        return isinstance(texts, list) and isinstance(starts, list) and len(texts) == len(starts)
    return isinstance(cell, list) and all(map(is_answer, cell))


def is_answer(item: Any) -> bool:
    """Whether a value is an answer: an object with a text and its place."""
    if not isinstance(item, dict):
        return False
    return is_text(item.get("text")) and isinstance(item.get("start", item.get("answer_start")), int)
