"""Classification: one label a text, or any number of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from attune.core.records import Input
from attune.core.texts import FIRST
from attune.tasks.common.labelled import LabelOptions, Labels, LabelTask
from attune.tasks.common.names import readable
from attune.tasks.heads.registry import HEADS

__all__ = ["Classification", "ClassificationOptions", "Labels"]

Told = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
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

    @field_validator("descriptions", "shots", "calibrate")
    @classmethod
    def _is_read(cls, value: Any, info: ValidationInfo) -> Any:
        head = info.data.get("head", "linear")
        if value and head in HEADS.names() and not hasattr(HEADS.get(head), "begin"):
            raise ValueError(f"the head {head!r} does not read it; leave it out, or set task.head to 'descriptions'")
        return value


class Classification(LabelTask):
    """One label a row, or several.

    Args:
        options: Validated options.
    """

    Options: ClassVar[type[ClassificationOptions]] = ClassificationOptions
    summary: ClassVar[str] = "one label a text, or several (`multi_label = true`)"
    fields: ClassVar[tuple[str, ...]] = (FIRST,)

    def __init__(self, options: ClassificationOptions) -> None:
        super().__init__(options)
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
