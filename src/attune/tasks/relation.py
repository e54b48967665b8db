"""Relations: what one entity of a text is to another, read with markers around the two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, StringConstraints
from torch import Tensor

from attune.core.encoding import Encoding
from attune.core.form import Form
from attune.core.packing import with_marks
from attune.core.records import Input
from attune.core.relations import Relations
from attune.core.texts import FIRST
from attune.errors import DataError, RecipeError, nearest
from attune.tasks.common.labelled import LabelOptions, Labels, LabelTask
from attune.tasks.common.names import readable
from attune.tasks.common.spans import apart, parsed, read_span

Marker = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Two = Annotated[tuple[Marker, ...], Field(min_length=2, max_length=2)]
ENTITIES = "entities"
HEAD, TAIL = 1, 2
"""Marks of the tokens at which the first entity's marker and the second's begin."""
WHOLE = 1 << 30
"""Tokens that no text has."""


class RelationOptions(LabelOptions):
    """What one entity of a text is to another."""

    name: Literal["relation"] = "relation"  # pyright: ignore[reportIncompatibleVariableOverride] frozen
    markers: Two = ("@", "#")
    """Read before and after the first entity, and the second; words or signs that the backbone's vocabulary holds."""
    typed: bool = True
    """Whether the labels of the entities, where rows have them, are told in the markers."""
    type_markers: Two = ("*", "^")
    """Read before and after the label of the first entity, and of the second, where they are told."""
    pooled: bool = False
    """Whether the head sees the mean of all tokens besides the two markers."""
    no_relation: str = ""
    """The label of rows without a relation, left out of directed_macro_f1. Empty: there is none."""


@dataclass(frozen=True)
class Marked:
    """A text with markers in it.

    Attributes:
        text: The text.
        begins: Where the markers of the first and of the second entity begin, in characters of it.
        ends: The end of what closes them.
    """

    text: str
    begins: tuple[int, int]
    ends: tuple[int, int]


class Relation(LabelTask):
    """One label for two entities of a text, or several; which of the two comes first in the list matters.

    The markers are punctuation that the vocabulary holds, with the entity's label in words where it is known (Zhou &
    Chen 2022, "typed entity marker (punct)"). The head sees the vectors at the two markers (Baldini Soares et al.
    2019, "entity start").

    Args:
        options: Validated options.
    """

    Options: ClassVar[type[RelationOptions]] = RelationOptions
    summary: ClassVar[str] = "what one entity of a text is to another: one label, or several"
    fields: ClassVar[tuple[str, ...]] = (FIRST,)
    reads: ClassVar[str] = "tokens"
    """What of the backbone the head's one vector a row is made of."""
    baselines: ClassVar[tuple[str, ...]] = ("majority", "tfidf")
    cut: str = "only the {limit} tokens were read that are nearest to the two entities"

    def __init__(self, options: RelationOptions) -> None:
        super().__init__(options)
        self.markers, self.type_markers = options.markers, options.type_markers
        self.typed, self.pooled = options.typed, options.pooled
        self.no_relation = options.no_relation

    @property
    def form(self) -> Form:
        """What a row must have: a text, and two entities in it."""
        return Form(self.fields, several=self.multi_label, also={ENTITIES: entities_of})

    @property
    def relations(self) -> Relations | None:
        """Which labels belong together; nothing where a row may have several."""
        return None if self.multi_label else Relations(self.no_relation)

    @property
    def no_baseline(self) -> str:
        """Why a baseline is missing."""
        return "a relation's name says how two entities stand to each other, and no text is near to that"

    @property
    def limits(self) -> str:
        """What a user of the answers should know."""
        return (
            "It finds no entities: they are given. It answers every two of them with its labels, also two that have "
            "nothing to do with each other, unless a label stands for that."
        )

    def labels(self, golds: Iterable[Any]) -> Labels:
        """Learns the label names.

        Args:
            golds: The training rows' labels: a string each, or a list of strings each.

        Returns:
            Names sorted, with counts.

        Raises:
            DataError: Fewer than two labels, or none of them is the one that stands for no relation.
        """
        found = super().labels(golds)
        if self.no_relation and self.no_relation not in found.names:
            raise DataError(
                f"no training row has the label {self.no_relation!r}",
                where="task.no_relation",
                expected="a label of the training rows",
                remedy=nearest(self.no_relation, found.names),
            )
        return found

    def inputs(self, row: Mapping[str, Any]) -> list[Input]:
        """What the backbone should read of a row: its text with the markers."""
        return [Input(self.marked(row).text)]

    def width(self, width: int) -> int:
        """Features of a row: those of both markers, and of the mean where it is asked for."""
        return width * (3 if self.pooled else 2)

    def marked(self, row: Mapping[str, Any]) -> Marked:
        """A row's text with markers around its entities, a space on either side of each."""
        text, begins, ends, done = "", [0, 0], [0, 0], 0
        source, entities = row[FIRST], row[ENTITIES]
        for which in sorted((0, 1), key=lambda which: entities[which]["start"]):
            start, end = entities[which]["start"], entities[which]["end"]
            text = spaced(text + source[done:start])
            begins[which] = len(text)
            text += f"{self._opening(which, entities[which])} {source[start:end]} {self.markers[which]}"
            ends[which], done = len(text), end
            text += " " if end < len(source) and not source[end].isspace() else ""
        return Marked(text + source[done:], (begins[0], begins[1]), (ends[0], ends[1]))

    def _opening(self, which: int, entity: Mapping[str, Any]) -> str:
        marker, around = self.markers[which], self.type_markers[which]
        if not (self.typed and entity.get("label")):
            return marker
        return f"{marker} {around} {readable(entity['label']).lower()} {around}"

    def read(self, backbone: Any, rows: Sequence[Mapping[str, Any]]) -> Encoding:
        """Rows as token ids with both markers marked; of a row that is too long the tokens nearest to its entities."""
        refuse_unknown(backbone, (*self.markers, *self.type_markers) if self.typed else self.markers)
        marked = [self.marked(row) for row in rows]
        found = backbone.encode([Input(one.text) for one in marked], max_length=WHOLE, placed=True)
        limit = backbone.max_length
        ids = [
            around(tokens, places, one, limit)
            for tokens, places, one in zip(found.ids, found.places or [], marked, strict=True)
        ]
        return replace(
            found,
            ids=ids,
            truncated=np.asarray([len(tokens) > limit for tokens in found.ids], dtype=np.bool_),
            longest=max(map(len, ids), default=0),
            places=None,
        )

    def join(self, pooled: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """The vectors at both markers, and the mean of all tokens where it is asked for.

        Args:
            pooled: `(B, T, D)`, of every token.
            inputs: The collated batch, for its marks.

        Returns:
            `(B, 2D)` or `(B, 3D)`.
        """
        lines = torch.arange(len(pooled), device=pooled.device)
        parts = [pooled[lines, (inputs["marks"] == mark).int().argmax(1)] for mark in (HEAD, TAIL)]
        if self.pooled:
            mask = inputs["attention_mask"].unsqueeze(-1).to(pooled.dtype)
            parts.append((pooled * mask).sum(1) / mask.sum(1))
        return torch.cat(parts, -1)


def entities_of(cell: Any, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The two entities of a row, checked against its text.

    Args:
        cell: A list of two, each with `start` and `end` in characters of the text, and `label` and `text` where they
            are known; or that as JSON text.
        row: For its text.

    Returns:
        The two in their order, each with `start`, `end` and `label`, which may be empty.

    Raises:
        ValueError: They are not two, do not lie in the text, or overlap.
    """
    given = parsed(cell)
    if not isinstance(given, list) or len(given) != 2:
        raise ValueError("no list of two entities {start, end}; the first is the relation's head, the second its tail")
    found = [read_span(one, row[FIRST], labelled=False) for one in given]
    apart(sorted(found, key=lambda span: span["start"]))
    return found


def spaced(text: str) -> str:
    """A text that ends with a space, or is empty."""
    return text if not text or text[-1].isspace() else f"{text} "


def refuse_unknown(backbone: Any, markers: Sequence[str]) -> None:
    """Stops where the backbone cannot tell a marker from another word it does not know."""
    found = backbone.encode([Input(marker) for marker in markers])
    unknown = [
        marker
        for marker, words, strange in zip(markers, found.words, found.unknown, strict=True)
        if strange or not words
    ]
    if unknown:
        raise RecipeError(
            f"the tokenizer of {backbone.checkpoint.name} does not know {', '.join(map(repr, unknown))}",
            where="task.markers",
            expected="markers that its vocabulary holds",
            remedy='name others in task.markers and task.type_markers, such as ["(", "["]; no token is added',
        )


def around(tokens: NDArray[np.int64], places: NDArray[np.int64], marked: Marked, limit: int) -> NDArray[np.int64]:
    """Tokens with the markers marked, as many as can be read: both markers, and what is nearest to the entities.

    Args:
        tokens: `(T,)`, all of a text.
        places: `(T, 4)`, as `Encoding.places` has them.
        marked: The text that was read.
        limit: Tokens that can be read.

    Returns:
        `(min(T, limit),)`. Where the entities are too far apart to read all that lies between them, the middle is
        left out; special tokens stay.
    """
    begins, lasts = ([token_at(places, at) for at in found] for found in (marked.begins, [e - 1 for e in marked.ends]))
    marks = np.zeros(len(tokens), dtype=np.int64)
    marks[begins[0]], marks[begins[1]] = HEAD, TAIL
    tokens = with_marks(tokens, marks)
    if len(tokens) <= limit:
        return tokens
    special = places[:, 3] < 0
    low, high = min(begins), max(lasts)
    room = limit - int(special.sum())
    stretches = [(low, high)] if high - low < room else list(zip(begins, lasts, strict=True))
    at = np.arange(len(tokens))
    far = np.min([np.maximum(np.maximum(first - at, at - last), 0) for first, last in stretches], axis=0)
    far[begins] = -1
    far[special] = -2
    return tokens[np.sort(np.argsort(far, kind="stable")[:limit])]


def token_at(places: NDArray[np.int64], character: int) -> int:
    """The token that a character of the text belongs to."""
    return int(np.flatnonzero((places[:, 0] <= character) & (character < places[:, 1]) & (places[:, 3] == 0))[0])
