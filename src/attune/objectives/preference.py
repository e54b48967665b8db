"""The preference objective: of two texts that may follow, the preferred one gains on the other (DPO)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from attune.core.recipe import Options
from attune.objectives.base import Referred, Scored


class PreferenceOptions(Options):
    """How much the preferred text is to gain."""

    name: Literal["preference"] = "preference"
    beta: float = Field(0.1, gt=0, le=100)
    """What a nat of gain is worth: the larger, the nearer the model stays to the one that it began as."""
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    """Share of the rows whose preference is held to be the wrong way round (conservative DPO)."""
    supervised_weight: float = Field(0.0, ge=0, le=1000)
    """Weight of the preferred text's own loss a token, added to a row's; above 0 it also holds the preferred text
    likely, which the difference alone does not."""


class Preference:
    """Direct preference optimisation: no reward model, and no draws in training.

    Rafailov et al. 2023: the loss of a row is −log σ(β · ((log p(chosen) − log r(chosen)) − (log p(rejected) −
    log r(rejected)))), where p is the model and r the one that it began as; log-probabilities are sums over what is
    written. r is asked once, before the first step. Label smoothing is that of Mitchell 2023, the supervised term
    that of Pang et al. 2024 and of Llama 3.

    Args:
        options: Validated options.
    """

    Options: ClassVar[type[PreferenceOptions]] = PreferenceOptions
    needs: ClassVar[frozenset[str]] = frozenset()
    per_row: ClassVar[bool] = True
    pairs: ClassVar[bool] = True
    draws: ClassVar[bool] = False
    pace: ClassVar[float] = 0.5
    summary: ClassVar[str] = "of two texts that may follow, the preferred one gains on the other (DPO)"

    def __init__(self, options: PreferenceOptions) -> None:
        self.options = options

    def loss(self, model: Scored, inputs: dict[str, Tensor], targets: Referred) -> tuple[Tensor, Tensor]:
        """The loss of one micro-batch.

        Args:
            model: The assembled model.
            inputs: The collated batch: of each row the preferred text, then the other.
            targets: Of both, and what the model that it began as holds of them.

        Returns:
            Total `(B,)` and weight `(B,)`, all one.
        """
        surprise, tokens = model.loss(inputs, targets.tokens)
        found = self.losses(surprise.view(-1, 2), tokens.view(-1, 2), targets.reference)
        return found, torch.ones_like(found)

    def losses(self, surprise: Tensor, tokens: Tensor, reference: Tensor) -> Tensor:
        """The loss of each row.

        Args:
            surprise: `(B, 2)` minus the log-probability of the preferred text and of the other, in nats.
            tokens: `(B, 2)` how many tokens each has.
            reference: `(B, 2)` the same as `surprise`, of the model that it began as.

        Returns:
            `(B,)`.
        """
        margin, wrong = self.margins(surprise, reference), self.options.label_smoothing
        found = -(1 - wrong) * F.logsigmoid(margin) - wrong * F.logsigmoid(-margin)
        return found + self.options.supervised_weight * surprise[:, 0] / tokens[:, 0]

    def margins(self, surprise: Tensor, reference: Tensor) -> Tensor:
        """How much more the preferred text has gained than the other, `(B,)`, in nats times beta."""
        gained = reference - surprise
        return self.options.beta * (gained[:, 0] - gained[:, 1])
