"""Guesses what the columns of a source are, and says why."""

from __future__ import annotations

import datetime
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from attune.data.batches import FILE, LINE, values
from attune.data.shapes import Shape, shape_of
from attune.data.sources import scan, shown
from attune.errors import DataError, Problem, nearest

SAMPLE = 5000
SAMPLE_TEXTS = 500
TEXT_NAMES = (
    "text",
    "sentence",
    "utterance",
    "content",
    "message",
    "question",
    "query",
    "review",
    "body",
    "文本",
    "内容",
    "评论",
)
PAIR_NAMES = (
    ("text", "text_pair"),
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("sentence_1", "sentence_2"),
    ("sentence_a", "sentence_b"),
    ("sentence_A", "sentence_B"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("句子1", "句子2"),
)
"""Names of first and second texts. Two columns of texts alone are no pair: they may be a title and its article."""
LABEL_NAMES = (
    "label",
    "labels",
    "intent",
    "category",
    "class",
    "target",
    "topic",
    "tag",
    "tags",
    "sentiment",
    "标签",
    "类别",
    "分类",
)
ID_NAMES = ("id", "uid", "uuid", "row_id", "guid", "编号")
GROUP_NAMES = (
    "group",
    "customer",
    "customer_id",
    "user",
    "user_id",
    "author",
    "document",
    "document_id",
    "session",
    "客户",
    "用户",
)
TIME_NAMES = ("time", "timestamp", "date", "datetime", "created", "created_at", "时间", "日期")
SEPARATORS = ("|", ";", ",")


@dataclass(frozen=True)
class Guess:
    """What a source's columns seem to be; an empty name where there is none.

    Attributes:
        text: Column with the text.
        text_pair: Column with the second text, where a row seems to be a pair.
        label: Column with the label.
        id: Column with a unique id.
        group: Column that should not cross splits.
        time: Column with the time.
        multi_label: Whether rows have several labels.
        reasons: Why, a sentence each.
        rows_seen: Rows looked at.
        labels: Different labels among them.
        separator: What separates several labels in one cell.
        columns: All columns.
        texts: The first of the texts, second texts among them.
    """

    text: str
    text_pair: str
    label: str
    id: str
    group: str
    time: str
    multi_label: bool
    reasons: list[str]
    rows_seen: int
    labels: int
    separator: str = "|"
    columns: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


@dataclass
class _Column:
    name: str
    cells: list[Any]
    flat: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.present = [cell for cell in self.cells if cell not in (None, "")]
        self.lists = bool(self.present) and all(isinstance(cell, list) for cell in self.present)
        items = [item for cell in self.present for item in (cell if isinstance(cell, list) else [cell])]
        self.flat = [str(item) for item in items if not isinstance(item, float | dict | list)]
        self.distinct = len(set(self.flat))
        self.strings = bool(self.present) and all(isinstance(cell, str) for cell in self.present)
        self.words = sum(any(c.isalpha() for c in cell) for cell in self.flat) > 0.8 * len(self.flat)
        self.length = sum(map(len, self.flat)) / max(len(self.flat), 1)


def guess(location: str, root: Path) -> Guess:
    """Looks at the first rows of a source.

    Args:
        location: File or folder; relative to `root`.
        root: The data root.

    Returns:
        The guess.

    Raises:
        DataError: If the source cannot be read, or no column looks like text or like a label.
    """
    columns, rows = _sample(location, root)
    reasons: list[str] = []
    pair = _pair(columns, reasons)
    text, second = pair or (_text(columns, reasons), None)
    rest = [column for column in columns if column is not text and column is not second]
    label = _label(rest, reasons) if text else None
    if text is None or label is None:
        what = "text" if text is None else "a label"
        raise DataError(
            f"no column looks like {what}",
            where=shown(location),
            expected="a column of texts, and a column whose values repeat",
            remedy=f"name them in the recipe as data.text and data.label. {nearest('', [c.name for c in columns])}",
        )
    several, separator = _several(label, reasons)
    others = [column for column in rest if column is not label]
    found = {
        "id": _named(others, ID_NAMES, "id", reasons),
        "group": _named(others, GROUP_NAMES, "group", reasons),
        "time": _named(others, TIME_NAMES, "time", reasons),
    }
    names = {part for cell in label.flat for part in (cell.split(separator) if several and label.strings else [cell])}
    names_of = tuple(column.name for column in columns)
    texts = text.flat[:SAMPLE_TEXTS] + (second.flat[:SAMPLE_TEXTS] if second else [])
    return Guess(text.name, second.name if second else "", label.name, **found, multi_label=several, reasons=reasons,
                 rows_seen=rows, labels=len(names), separator=separator, columns=names_of,
                 texts=tuple(texts))  # fmt: skip


def shape(location: str, root: Path) -> Shape | None:
    """Looks whether the first rows of a source have more that is right for them than labels.

    Args:
        location: File or folder; relative to `root`.
        root: The data root.

    Returns:
        What the columns speak of; none where rows are texts with labels, or nothing known.

    Raises:
        DataError: If the source cannot be read.
    """
    columns, _ = _sample(location, root)
    found = shape_of({column.name: column.cells for column in columns}, SAMPLE_TEXTS, LABEL_NAMES)
    if found is None:
        return None
    reasons: list[str] = []
    others = [column for column in columns if column.name not in found.columns.values()]
    roles = {"id": ID_NAMES, "group": GROUP_NAMES, "time": TIME_NAMES}
    named = {role: _named(others, names, role, reasons) for role, names in roles.items()}
    if found.task == "question_answering" and not named["group"]:
        named["group"] = found.columns["text_pair"]
        reasons.append(f"Questions on one {named['group']!r} belong together.")
    columns_of = {**found.columns, **{role: name for role, name in named.items() if name}}
    return replace(found, columns=columns_of, reasons=(*found.reasons, *reasons))


def _sample(location: str, root: Path) -> tuple[list[_Column], int]:
    problems: list[Problem] = []
    cells: dict[str, list[Any]] = {}
    rows = 0
    for batch in scan(location, root, problems=problems, limit=SAMPLE):
        for name in batch.schema.names:
            if name not in {LINE, FILE}:
                cells.setdefault(name, [None] * rows).extend(values(batch, name))
        rows += batch.num_rows
        for column in cells.values():
            column.extend([None] * (rows - len(column)))
    if not rows:
        raise DataError("no rows that can be read", where=shown(location), expected="rows", problems=problems)
    return [_Column(name, column) for name, column in cells.items()], rows


def _pair(columns: list[_Column], reasons: list[str]) -> tuple[_Column, _Column] | None:
    strings = {column.name: column for column in columns if column.strings and column.distinct > 1 and column.words}
    for first, second in PAIR_NAMES:
        if first in strings and second in strings:
            reasons.append(f"{first!r} and {second!r} are two texts with a label between them: their names say so.")
            return strings[first], strings[second]
    return None


def _text(columns: list[_Column], reasons: list[str]) -> _Column | None:
    strings = [column for column in columns if column.strings and column.distinct > 1 and column.words]
    named = [column for name in TEXT_NAMES for column in strings if column.name.lower() == name]
    if named:
        reasons.append(f"{named[0].name!r} is the text: its name says so, {named[0].length:.0f} characters on average.")
        return named[0]
    best = max(strings, key=lambda column: column.length * column.distinct / len(column.present), default=None)
    if best is not None:
        reasons.append(f"{best.name!r} is the text: the longest values ({best.length:.0f} characters on average).")
    return best


def _label(columns: list[_Column], reasons: list[str]) -> _Column | None:
    usable = [column for column in columns if len(column.flat) > 0 and column.distinct > 1]
    named = [column for name in LABEL_NAMES for column in usable if column.name.lower() == name]
    if named:
        reasons.append(f"{named[0].name!r} is the label: its name says so, {named[0].distinct} different values.")
        return named[0]
    repeating = [c for c in usable if c.distinct <= max(len(c.flat) * 0.5, 2) and c.name.lower() not in TIME_NAMES]
    best = min(repeating, key=lambda column: (not column.lists, column.distinct), default=None)
    if best is not None:
        said = f"{best.distinct} different values in {len(best.present):,} rows"
        reasons.append(f"{best.name!r} is the label: its values repeat the most ({said}).")
    return best


def _several(label: _Column, reasons: list[str]) -> tuple[bool, str]:
    if label.lists:
        reasons.append(f"Several labels a row: {label.name!r} holds lists.")
        return True, "|"
    whole = Counter(label.flat)
    for separator in SEPARATORS:
        joined = [cell for cell in whole if separator in cell]
        parts = {part for cell in whole for part in cell.split(separator)}
        alone = sum(part in whole for cell in joined for part in cell.split(separator))
        if joined and len(parts) < len(whole) and alone >= len(joined):
            reasons.append(f"Several labels a row: {label.name!r} joins values that also stand alone by {separator!r}.")
            return True, separator
    reasons.append(f"One label a row: {label.name!r} holds single values.")
    return False, "|"


def _named(columns: list[_Column], names: tuple[str, ...], role: str, reasons: list[str]) -> str:
    for column in [column for name in names for column in columns if column.name.lower() == name]:
        full = len(column.flat) == len(column.cells)
        if role == "id" and (not full or column.distinct < len(column.flat)):
            reasons.append(f"{column.name!r} is named like an id but is not unique or not always there; not used.")
            continue
        if role == "time" and not all(_is_time(cell) for cell in column.flat[:200]):
            reasons.append(f"{column.name!r} is named like a time but does not read as one; not used.")
            continue
        if not full:
            continue
        said = {"id": "unique", "group": f"{column.distinct:,} different values", "time": "reads as times"}[role]
        verb = "may be a group that must not cross splits" if role == "group" else f"is the {role} by its name"
        reasons.append(f"{column.name!r} {verb}: {said}.")
        return column.name
    return ""


def _is_time(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        try:
            datetime.datetime.fromisoformat(cell.strip().replace("/", "-"))
        except ValueError:
            return False
    return True
