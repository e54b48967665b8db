"""Classification: one label a text, or any number of them; labels may have an order, or parents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, ValidationInfo, field_validator
from torch import Tensor, nn

from attune.core.encoding import Encoding
from attune.core.recipe import Options
from attune.core.records import Input
from attune.core.texts import FIRST
from attune.tasks.common.hierarchy import Hierarchy
from attune.tasks.common.labelled import LabelOptions, Labels, LabelTask
from attune.tasks.common.names import readable
from attune.tasks.common.ordinal import Ordinal
from attune.tasks.common.patterns import LABEL, MASK, flaw
from attune.tasks.common.structure import Flat, Structure
from attune.tasks.heads.registry import HEADS

__all__ = ["Classification", "ClassificationOptions", "Labels"]

Told = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
SOFTNESS = 0.35
PARENT_WEIGHT = 1.0
Several = Annotated[tuple[Told, ...], Field(min_length=1)]


class Demonstration(Options):
    """A labelled row that is shown."""

    text: str
    """Its text."""
    label: str
    """Its label."""


class ClassificationOptions(LabelOptions):
    """Which labels a text has."""

    name: Literal["classification"] = "classification"  # pyright: ignore[reportIncompatibleVariableOverride] frozen
    descriptions: dict[str, Told | Several] = Field(default_factory=dict)
    """Head `descriptions`: every label with a text, or a list of texts, that says what it is. Empty: the names."""
    shots: int = Field(0, ge=0, le=10_000)
    """Training rows of each label, drawn by the seed. Head `descriptions`: each counts as much as a text of it; head
    `in_context`: they are shown before each row; head `cloze`: `search` reads them."""
    calibrate: bool = False
    """Heads `descriptions`, `cloze`, `in_context`: take from each label its mean logit on training texts; their labels
    are not read."""
    pattern: str = Field("", max_length=2000)
    """Head `cloze`: a row with a gap; empty: "{text} It is {mask}.". Head `in_context`: a row with its label; empty:
    "Text: {text}\\nLabel: {label}\\n\\n". A row that is too long loses the end of its text, and nothing around it."""
    verbalisers: dict[str, Told | Several] = Field(default_factory=dict)
    """Heads `cloze` and `in_context`: every label with the words that stand for it. In a cloze each is one token, and
    there may be several. Empty: the names, or what `search` finds."""
    search: int = Field(0, ge=0, le=100, validate_default=True)
    """Head `cloze`: words of each label that are found by the labels of `shots` rows, where `verbalisers` has none."""
    demonstrations: tuple[Demonstration, ...] = ()
    """Head `in_context`: the rows that are shown, each a text and a label. Empty: `shots` of each label, personal data
    redacted; they are kept with the bundle."""
    order: tuple[Told, ...] = ()
    """All labels, lowest first, where they are steps of a scale. Empty: they have no order."""
    order_softness: float = Field(SOFTNESS, ge=0, lt=1)
    """With `order`: a label's share of the target one step off, for 1 of the right label; two steps off, its square."""
    hierarchy: str = Field("", max_length=8)
    """What parts a label's name from its parents', such as "/" in "ORDER/cancel_order". Empty: they have no parents."""
    parent_weight: float = Field(PARENT_WEIGHT, ge=0)
    """With `hierarchy`: weight of the parents' cross-entropy beside the label's own."""

    @field_validator("multi_label")
    @classmethod
    def _has_one(cls, value: bool, info: ValidationInfo) -> bool:
        head = str(info.data.get("head"))
        if value and worded(head):
            raise ValueError(
                f"head {head} asks which one label's words fit, and a row may have several; use head descriptions or "
                "linear"
            )
        return value

    @field_validator("descriptions", "shots", "calibrate", "pattern", "verbalisers", "search", "demonstrations")
    @classmethod
    def _is_read(cls, value: Any, info: ValidationInfo) -> Any:
        head, name = str(info.data.get("head", "linear")), str(info.field_name)
        if value and head in HEADS.names() and name not in options_of(head):
            able = " or ".join(repr(other) for other in HEADS.names() if name in options_of(other))
            raise ValueError(f"the head {head!r} does not read it; leave it out, or set task.head to {able}")
        return value

    @field_validator("pattern")
    @classmethod
    def _has_places(cls, value: str, info: ValidationInfo) -> str:
        head = str(info.data.get("head"))
        asked = MASK if "search" in options_of(head) else LABEL
        if value and worded(head) and (reason := flaw(value, asked)):
            raise ValueError(reason)
        return value

    @field_validator("verbalisers")
    @classmethod
    def _are_words(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        head = str(info.data.get("head"))
        one = worded(head) and "search" not in options_of(head)
        if one and (odd := sorted(name for name, told in value.items() if not isinstance(told, str) and told[1:])):
            raise ValueError(f"{', '.join(map(repr, odd))} has several, and behind a prompt stands one; name one")
        return value

    @field_validator("search")
    @classmethod
    def _has_rows(cls, value: int, info: ValidationInfo) -> int:
        shots = info.data.get("shots", 0)
        if value and not shots:
            raise ValueError("words are found by the labels of a few rows; set task.shots to as many of each label")
        if shots and not value and "search" in options_of(str(info.data.get("head"))):
            raise ValueError("without it nothing reads task.shots; set it to the words wanted of each label")
        return value

    @field_validator("order", "hierarchy")
    @classmethod
    def _fits(cls, value: Any, info: ValidationInfo) -> Any:
        if value and info.data.get("multi_label"):
            raise ValueError(f"{info.field_name} is for rows with one label, and multi_label = true")
        if value and info.field_name == "hierarchy" and info.data.get("order"):
            raise ValueError("labels have an order or parents, not both; leave out order or hierarchy")
        if info.field_name == "order":
            refuse_order(value, info.data.get("descriptions", {}))
        if info.field_name == "hierarchy" and value and (not value.strip() or any(map(str.isalnum, value))):
            raise ValueError('a separator has a sign that is neither letter nor figure, such as "/" or " > "')
        return value

    @field_validator("order_softness", "parent_weight")
    @classmethod
    def _is_used(cls, value: float, info: ValidationInfo) -> float:
        of = "order" if info.field_name == "order_softness" else "hierarchy"
        if value != cls.model_fields[str(info.field_name)].default and not info.data.get(of):
            raise ValueError(f"without {of} nothing reads it; set task.{of}, or leave it out")
        return value


def options_of(head: str) -> frozenset[str]:
    """The options that a head reads; none of a head that is not there, or has none."""
    return getattr(HEADS.get(head), "options", frozenset()) if head in HEADS.names() else frozenset()


def worded(head: str) -> bool:
    """Whether a head asks in words."""
    return head in HEADS.names() and hasattr(HEADS.get(head), "asks")


def refuse_order(order: Sequence[str], described: Mapping[str, Any]) -> None:
    """Stops where an order is too short, names a label twice, or is not of the labels that are described."""
    if len(order) == 1:
        raise ValueError("one label has no order; name all labels, lowest first")
    if twice := sorted(name for name, count in Counter(order).items() if count > 1):
        raise ValueError(f"names {', '.join(map(repr, twice))} more than once; name every label once, lowest first")
    if order and described and (apart := sorted({*order} ^ {*described})):
        raise ValueError(f"is not of the labels in task.descriptions: {', '.join(map(repr, apart))} is in one of them")


def structure_of(options: ClassificationOptions) -> Structure:
    """How the labels stand to each other, by the recipe."""
    if options.order:
        return Ordinal(options.order, options.order_softness)
    if options.hierarchy:
        return Hierarchy(options.hierarchy, options.parent_weight)
    return Flat()


class Classification(LabelTask):
    """One label a row, or several; one label may be a step of a scale, or a leaf of a tree.

    Args:
        options: Validated options.
        asking: How rows are laid out for one backbone, where a head asks in words and the backbone is there.
    """

    Options: ClassVar[type[ClassificationOptions]] = ClassificationOptions
    summary: ClassVar[str] = (
        "one label a text, or several (`multi_label = true`); labels may have an `order`, or parents (`hierarchy`)"
    )
    fields: ClassVar[tuple[str, ...]] = (FIRST,)

    worded: ClassVar[bool] = True
    """Whether a row can be laid out in words, and a label be named by some."""

    def __init__(self, options: ClassificationOptions, asking: Any = None) -> None:
        super().__init__(options, structure_of(options))
        self.asked_for = options
        self.told = options.descriptions
        self.asking = asking
        self.reads: str = self.features
        if worded(options.head):
            self.reads = HEADS.get(options.head).reads
            self.cut = "only {limit} tokens were read; the end of the text was left out"

    def on(self, backbone: Any) -> Self:
        """This task with how a backbone reads its rows, where a head asks in words."""
        if not worded(self.options.head):
            return self
        return type(self)(self.asked_for, HEADS.get(self.options.head).asks(backbone, self.asked_for))

    @property
    def read_options(self) -> frozenset[str]:
        """The options that the head reads."""
        return options_of(self.options.head)

    def lacks_words(self, tokenizer: Any) -> str:
        """Why a backbone cannot be asked by the words that the recipe names; empty where it can."""
        head: Any = HEADS.get(self.options.head)
        return head.lacks(tokenizer, self.options) if hasattr(head, "lacks") else ""

    def described(self) -> frozenset[str]:
        """The labels that the recipe describes, or names words for; where there are any, there are no others."""
        return frozenset(self.told or self.asked_for.verbalisers)

    def descriptions(self, labels: Labels) -> list[list[str]]:
        """The texts of each label: the recipe's, or its name as a person would say it."""
        told = [self.told.get(name, readable(name)) for name in labels.names]
        return [[texts] if isinstance(texts, str) else list(texts) for texts in told]

    def inputs(self, row: Mapping[str, Any]) -> list[Input]:
        """What the backbone should read of a row: its text."""
        return [Input(row[FIRST])]

    def read(self, backbone: Any, rows: Sequence[Mapping[str, Any]]) -> Encoding:
        """Rows as token ids, ragged; laid out in words where a head asks so."""
        return self.asking.read(rows) if self.asking else super().read(backbone, rows)

    def pieces(self) -> int:
        """How many things are read of a row."""
        return self.asking.pieces() if self.asking else 1

    @property
    def reading(self) -> str:
        """How a row is read, in words, for other tasks to read it along; empty where a head lays it out."""
        return "" if worded(self.options.head) else super().reading

    def join(self, pooled: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """One vector a row, of what was read of it."""
        return self.asking.join(pooled, inputs) if self.asking else pooled

    def head(self, width: int, labels: Labels, dropout: float) -> nn.Module:
        """A head for a backbone whose vectors have `width` features."""
        return self.asking.head(width, labels.names, dropout) if self.asking else super().head(width, labels, dropout)
