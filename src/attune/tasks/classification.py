"""Classification: one label a text, or any number of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from attune.core.records import Input
from attune.core.texts import FIRST
from attune.tasks.common.labelled import LabelOptions, Labels, LabelTask

__all__ = ["Classification", "ClassificationOptions", "Labels"]


class ClassificationOptions(LabelOptions):
    """Which labels a text has."""

    name: Literal["classification"] = "classification"  # pyright: ignore[reportIncompatibleVariableOverride] frozen


class Classification(LabelTask):
    """One label a row, or several.

    Args:
        options: Validated options.
    """

    Options: ClassVar[type[ClassificationOptions]] = ClassificationOptions
    summary: ClassVar[str] = "one label a text, or several (`multi_label = true`)"
    fields: ClassVar[tuple[str, ...]] = (FIRST,)

    def inputs(self, row: Mapping[str, Any]) -> list[Input]:
        """What the backbone should read of a row: its text."""
        return [Input(row[FIRST])]
