"""What a task decodes: rows that were read, and what the head said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from attune.core.encoding import Encoding


@dataclass(frozen=True)
class Asked:
    """Rows with a head's outputs.

    Attributes:
        rows: N mappings with the task's fields.
        encoding: How they were read.
        outputs: For each row `(K,)`, or `(T, K)` over the tokens of all its pieces where the task reads tokens; or what
            a task with `tell` was told.
        labels: What was learned of the labels.
        head: The head, for one that decodes whole sequences.
        temperature: Divides logits before they become probabilities.
        notices: What happened to each row on its way.
    """

    rows: Sequence[Mapping[str, Any]]
    encoding: Encoding
    outputs: Sequence[Any]
    labels: Any
    head: nn.Module
    temperature: float
    notices: Sequence[tuple[str, ...]]
