"""Classification: one label a text, or any number of them; labels may have an order, or parents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from attune.core.records import Input
from attune.core.texts import FIRST
from attune.tasks.common.hierarchy import Hierarchy
from attune.tasks.common.labelled import LabelOptions, Labels, LabelTask
from attune.tasks.common.names import readable
from attune.tasks.common.ordinal import Ordinal
from attune.tasks.common.structure import Flat, Structure
from attune.tasks.heads.registry import HEADS

__all__ = ["Classification", "ClassificationOptions", "Labels"]

Told = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
SOFTNESS = 0.35
PARENT_WEIGHT = 1.0
Several = Annotated[tuple[Told, ...], Field(min_length=1)]


class ClassificationOptions(LabelOptions):
    """Which labels a text has."""

    name: Literal["classification"] = "classification"  # pyright: ignore[reportIncompatibleVariableOverride] frozen
    descriptions: dict[str, Told | Several] = Field(default_factory=dict)
    """Head `descriptions`: every label with a text, or a list of texts, that says what it is. Empty: the names."""
    shots: int = Field(0, ge=0, le=10_000)
    """Head `descriptions`: training rows of each label, drawn by the seed; each counts as much as a text of it."""
    calibrate: bool = False
    """Head `descriptions`: take from each label its mean logit on training texts; their labels are not read."""
    order: tuple[Told, ...] = ()
    """All labels, lowest first, where they are steps of a scale. Empty: they have no order."""
    order_softness: float = Field(SOFTNESS, ge=0, lt=1)
    """With `order`: a label's share of the target one step off, for 1 of the right label; two steps off, its square."""
    hierarchy: str = Field("", max_length=8)
    """What parts a label's name from its parents', such as "/" in "ORDER/cancel_order". Empty: they have no parents."""
    parent_weight: float = Field(PARENT_WEIGHT, ge=0)
    """With `hierarchy`: weight of the parents' cross-entropy beside the label's own."""

    @field_validator("descriptions", "shots", "calibrate")
    @classmethod
    def _is_read(cls, value: Any, info: ValidationInfo) -> Any:
        head = info.data.get("head", "linear")
        if value and head in HEADS.names() and not hasattr(HEADS.get(head), "begin"):
            raise ValueError(f"the head {head!r} does not read it; leave it out, or set task.head to 'descriptions'")
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
    """

    Options: ClassVar[type[ClassificationOptions]] = ClassificationOptions
    summary: ClassVar[str] = (
        "one label a text, or several (`multi_label = true`); labels may have an `order`, or parents (`hierarchy`)"
    )
    fields: ClassVar[tuple[str, ...]] = (FIRST,)

    def __init__(self, options: ClassificationOptions) -> None:
        super().__init__(options, structure_of(options))
        self.told = options.descriptions

    def described(self) -> frozenset[str]:
        """The labels that the recipe describes; where there are any, there are no others."""
        return frozenset(self.told)

    def descriptions(self, labels: Labels) -> list[list[str]]:
        """The texts of each label: the recipe's, or its name as a person would say it."""
        told = [self.told.get(name, readable(name)) for name in labels.names]
        return [[texts] if isinstance(texts, str) else list(texts) for texts in told]

    def inputs(self, row: Mapping[str, Any]) -> list[Input]:
        """What the backbone should read of a row: its text."""
        return [Input(row[FIRST])]
