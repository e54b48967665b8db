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
    """

    read: Read
    names: Callable[[Any], list[str]]
    expected: str


@dataclass(frozen=True)
class Form:
    """The form of a task's rows.

    Attributes:
        texts: The fields that hold a row's texts.
        several: Whether a row has a list of labels.
        gold: What is right for a row, where that is more than labels.
        tokens: Whether a text may come as a list of its tokens.
        also: Other fields that are read of a row, each with its check; they come as JSON values or as JSON text.
        parts: Of several tasks, by name: the column of what is right for each, and its form. A row's gold is then a
            value by name, or nothing where that is not known.
    """

    texts: tuple[str, ...] = (FIRST,)
    several: bool = False
    gold: Gold | None = None
    tokens: bool = False
    also: Mapping[str, Read] = field(default_factory=dict[str, Read])
    parts: Mapping[str, tuple[str, Form]] = field(default_factory=dict[str, tuple[str, "Form"]])

    @property
    def fields(self) -> tuple[str, ...]:
        """Everything that is read of a row to answer it."""
        return (*self.texts, *self.also)

    def joined(self, cells: Mapping[str, Any]) -> dict[str, Any]:
        """A row's cells, with a text that came as a list of tokens as a text; those are kept as `tokens`."""
        given = cells.get(FIRST)
        if (
            not self.tokens
            or not isinstance(given, list)
            or not all(isinstance(token, str) and token for token in given)
        ):
            return dict(cells)
        return {**cells, FIRST: text_of_tokens(given), "tokens": given}

    @property
    def named(self) -> bool:
        """Whether what is right is labels by name."""
        return self.gold is None
