"""The in-context head: a label is as likely as its words are behind a prompt that shows labelled rows."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from attune.tasks.common.in_context import InContext
from attune.tasks.common.levels import ahead


class InContextHead(nn.Module):
    """Logits are the mean log-probability of each label's tokens, plus a level of the label (Brown et al. 2020).

    Longer words would else be less likely for their length alone. Only the levels are parameters, and they are
    set from unlabelled texts, not trained.

    Args:
        outputs: Labels, K.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"next_token"})
    over: ClassVar[frozenset[str]] = frozenset({"pooled"})
    reads: ClassVar[str] = "next_token"
    """What of the backbone the task makes its one vector a row of: what may follow each token."""
    asks: ClassVar[type[InContext]] = InContext
    """What lays a row out for one backbone."""
    options: ClassVar[frozenset[str]] = frozenset({"calibrate", "demonstrations", "pattern", "shots", "verbalisers"})
    """The options of the task that it reads."""
    still: ClassVar[bool] = True
    """Whether it answers from a backbone that stays as it is, and no method may train."""
    trains: ClassVar[bool] = False
    unit: ClassVar[bool] = False
    summary: ClassVar[str] = (
        "how likely each label's words are behind a prompt that shows labelled rows; answers untrained, and nothing is "
        "trained"
    )

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.zeros(outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Logits `(B, K)` of the labels' log-probabilities `(B, K)`."""
        return features + self.level

    @torch.no_grad()
    def balance(self, features: Tensor, *, each: bool, several: bool) -> None:
        """Sets the levels from unlabelled texts, so that no label is ahead for all of them (Zhao et al. 2021).

        Args:
            features: `(N, K)`.
            each: Whether to.
            several: Not read: a row has one label.
        """
        del several
        self.level.zero_()
        if each:
            self.level.sub_(ahead(features))
