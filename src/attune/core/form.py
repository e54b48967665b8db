"""What a task asks of a row: its texts, what is right for it, and what else is read of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from attune.core.texts import FIRST, text_of_tokens

Read = Callable[[Any, Mapping[str, Any]], Any]
"""Takes a cell, and the fields of its row that are read already; returns a JSON value; raises ValueError with the
reason, a clause that says what was found."""


@dataclass(frozen=True)
class Gold:
    """What is right for a row, where that is not a label or a list of labels.

    Attributes:
        read: Checks the cell, which may come as JSON text; the row's texts are known to it.
        names: The label names in what `read` returned, none where it has none; rows are cut and audited by them.
        expected: What the cell should hold, in words.
        of: Where it is made of several columns, their fields; `read` then takes the cells by field, and a cell that is
            not there is None.
    """

    read: Read
    names: Callable[[Any], list[str]]
    expected: str
    of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Form:
    """The form of a task's rows.

    Attributes:
        texts: The fields that hold a row's texts.
        several: Whether a row has a list of labels.
        gold: What is right for a row, where that is more than labels.
        tokens: Whether a text may come as a list of its tokens.
        made: What makes a text of a cell that is more than one, as of messages or of slots; texts stay as they are.
            Raises ValueError with the reason, a clause.
        alias: Another name that rows may have for such a cell.
        lines: Whether a text may come as a list of its sentences, which become its lines.
        also: Other fields that are read of a row, each with its check; they come as JSON values or as JSON text.
        beside: Fields that what is right is read with, each with its check, where `data.columns` names their column; no
            row that is answered needs them.
        labelled: Whether anything is right for a row; not where a task learns from the texts themselves.
        asks: What a text must hold to be a question: takes it, and returns a clause with what it lacks, or nothing.
            Rows to learn from need not hold it.
        parts: Of several tasks, by name: the column of what is right for each, and its form. A row's gold is then a
            value by name, or nothing where that is not known.
    """

    texts: tuple[str, ...] = (FIRST,)
    several: bool = False
    gold: Gold | None = None
    tokens: bool = False
    made: Callable[[Any], str] | None = None
    alias: str = ""
    lines: bool = False
    also: Mapping[str, Read] = field(default_factory=dict[str, Read])
    beside: Mapping[str, Read] = field(default_factory=dict[str, Read])
    labelled: bool = True
    asks: Callable[[str], str] | None = None
    parts: Mapping[str, tuple[str, Form]] = field(default_factory=dict[str, tuple[str, "Form"]])

    @property
    def fields(self) -> tuple[str, ...]:
        """Everything that is read of a row to answer it."""
        return (*self.texts, *self.also)

    def joined(self, cells: Mapping[str, Any]) -> dict[str, Any]:
        """A row's cells, with a text that came as a list as a text; tokens are kept as `tokens`.

        Args:
            cells: By field.

        Returns:
            The cells, the text in its place.

        Raises:
            ValueError: No text can be made of what stands in its place; says why.
        """
        given = cells.get(self.alias) if cells.get(FIRST) is None else cells[FIRST]
        if self.made and given is not None:
            return {**cells, FIRST: self.made(given)}
        if not isinstance(given, list) or not all(isinstance(item, str) and item for item in given):
            return dict(cells)
        if self.lines:
            return {**cells, FIRST: "\n".join(" ".join(item.splitlines()) for item in given)}
        if not self.tokens:
            return dict(cells)
        return {**cells, FIRST: text_of_tokens(given), "tokens": given}

    @property
    def named(self) -> bool:
        """Whether what is right is labels by name."""
        return self.gold is None
