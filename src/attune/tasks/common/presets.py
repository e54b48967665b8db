"""Presets of generation: what a text is written for decides a few defaults, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from attune.core import conversation
from attune.tasks.common import slots

Name = Literal["plain", "summarisation", "translation", "data_to_text", "dialogue", "code"]


@dataclass(frozen=True)
class Preset:
    """Defaults.

    Attributes:
        cue: What stands between what is read and what is written, where both are one sequence.
        first: The metrics to show first.
        majority: What answers without having read: `copy` says what was read, `lead` its first sentences, `often` the
            most frequent target.
        made: What makes a text of a row's cell that is more than one.
        alias: What such a cell may be called.
        answers: What an answer is, for the card.
    """

    cue: str
    first: tuple[str, ...]
    majority: Literal["copy", "lead", "often"]
    answers: str
    made: Callable[[Any], str] | None = None
    alias: str = ""


def slots_text(cell: Any) -> str:
    """A meaning representation, of a mapping, a mapping as JSON text, or text as it is."""
    if isinstance(cell, str):
        return slots.written(json.loads(cell)) if cell.lstrip().startswith("{") else cell
    if not isinstance(cell, Mapping):
        raise ValueError(f"a {type(cell).__name__} where slots or a meaning representation were expected")
    return slots.written(cell)


PRESETS: Mapping[Name, Preset] = {
    "plain": Preset("\n", ("bleu", "chrf", "rouge_l"), "copy", "Answers with a text"),
    "summarisation": Preset("\nSummary:\n", ("rouge_l", "rouge_1", "rouge_2"), "lead", "Answers with a summary"),
    "translation": Preset("\nTranslation:\n", ("bleu", "chrf"), "copy", "Answers with a translation"),
    "data_to_text": Preset(
        "\nText:\n", ("bleu", "slot_error_rate", "rouge_l"), "copy", "Answers with a text that says what was given",
        slots_text, "slots",
    ),
    "dialogue": Preset(
        "", ("rouge_l", "bleu", "perplexity"), "often", "Answers with the assistant's next turn of a conversation",
        conversation.asked, "messages",
    ),
    "code": Preset("\n", ("pass_1", "same_text", "bleu"), "copy", "Answers with a program text"),
}  # fmt: skip
