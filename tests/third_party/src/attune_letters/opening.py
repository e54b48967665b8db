"""The task `opening`: a label of a letter, told from its first lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from attune.core.records import Input
from attune.tasks.common.labelled import LabelOptions, LabelTask


class OpeningOptions(LabelOptions):
    """Which label a letter's first lines have."""

    name: Literal["opening"] = "opening"
    lines: int = Field(1, ge=1)
    """Lines that are read."""


class Opening(LabelTask):
    """Labels of a letter; what follows its first lines is never read."""

    Options: ClassVar[type[OpeningOptions]] = OpeningOptions
    summary: ClassVar[str] = "labels of a letter, told from its first lines"
    fields: ClassVar[tuple[str, ...]] = ("text",)

    def __init__(self, options: OpeningOptions) -> None:
        super().__init__(options)
        self.lines = options.lines

    def inputs(self, row: Mapping[str, Any]) -> list[Input]:
        """What the backbone should read of a row: the first lines of its text."""
        return [Input("\n".join(row["text"].strip().splitlines()[: self.lines]))]
