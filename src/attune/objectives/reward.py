"""The reward objective: texts that the model draws itself, the better of a row's made likelier than the others."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from attune.core.recipe import Options
from attune.objectives.base import Rewarded, Scored


class RewardOptions(Options):
    """What texts earn, and how many are drawn."""

    name: Literal["reward"] = "reward"
    reward: str = Field(min_length=1)
    """What scores a text: slots, rouge_l, bleu, chrf, exact, passes, or one that another package registers."""
    samples: int = Field(4, ge=2, le=64)
    """Texts drawn of each row in each step; each is compared with the others."""
    supervised_weight: float = Field(1.0, ge=0, le=1000)
    """Weight of the right text's own loss a token, added to a row's; it holds the model near the data."""


class Reward:
    """Policy gradient on texts that the model draws at every step: no second network, and no value that is learned.

    REINFORCE with the mean of the others as the baseline (Williams 1992; Kool et al. 2019; RLOO, Ahmadian et al. 2024):
    the loss of a row is the mean over its n texts of A_i · −log p(text_i), where A_i is what text i earns less the mean
    of what the other n − 1 earn, a constant; log-probabilities are sums over what was written. Instead of a distance
    from the model that the run began as, the right text's own loss is added (Wu et al. 2016; Paulus et al. 2018).

    Args:
        options: Validated options.
    """

    Options: ClassVar[type[RewardOptions]] = RewardOptions
    needs: ClassVar[frozenset[str]] = frozenset()
    per_row: ClassVar[bool] = True
    pairs: ClassVar[bool] = False
    draws: ClassVar[bool] = True
    pace: ClassVar[float] = 0.5
    summary: ClassVar[str] = "texts that the model draws, the better made likelier, as a program scores them (RLOO)"

    def __init__(self, options: RewardOptions) -> None:
        self.options = options

    def loss(self, model: Scored, inputs: dict[str, Tensor], targets: Rewarded) -> tuple[Tensor, Tensor]:
        """The loss of one micro-batch.

        Args:
            model: The assembled model; what it drew is scored without dropout, as it was drawn.
            inputs: The collated batch: of each row the right text, then those drawn.
            targets: Of all of them, and what those drawn earn.

        Returns:
            Total `(B,)` and weight `(B,)`, all one.
        """
        rows, samples = targets.rewards.shape
        right = torch.arange(rows * (1 + samples)) % (1 + samples) == 0
        with undropped(model):
            surprise, _ = model.loss(*chosen(inputs, targets.tokens, ~right))
        found = self.losses(surprise.view(rows, samples), targets.rewards)
        if self.options.supervised_weight:
            total, tokens = model.loss(*chosen(inputs, targets.tokens, right))
            found = found + self.options.supervised_weight * total / tokens
        return found, torch.ones_like(found)

    @staticmethod
    def losses(surprise: Tensor, rewards: Tensor) -> Tensor:
        """The loss of each row, without its right text.

        Args:
            surprise: `(B, n)` minus the log-probability of each text drawn, in nats.
            rewards: `(B, n)` what it earns.

        Returns:
            `(B,)`; its gradient estimates that of minus the mean reward.
        """
        count = rewards.shape[1]
        others = (rewards.sum(1, keepdim=True) - rewards) / (count - 1)
        return ((rewards - others).to(surprise) * surprise).mean(1)


def chosen(inputs: dict[str, Tensor], tokens: Tensor, texts: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Some of a batch's texts.

    Args:
        inputs: Collated, each `(S, T)`.
        tokens: `(P, T)` targets of the S texts, which are one piece each, or two.
        texts: `(S,)` bool, which of them.

    Returns:
        Inputs and targets of those alone.
    """
    pieces = texts.repeat_interleave(len(tokens) // len(texts))
    return {name: value[texts.to(value.device)] for name, value in inputs.items()}, tokens[pieces.to(tokens.device)]


@contextmanager
def undropped(model: Scored) -> Generator[None]:
    """A context in which nothing is dropped out."""
    training = model.training
    model.train(False)
    try:
        yield
    finally:
        model.train(training)
