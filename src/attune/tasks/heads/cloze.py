"""The cloze head: a label is as likely as its words are at the mask, by the checkpoint's own vocabulary head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from attune.tasks.common.cloze import Cloze, lacks
from attune.tasks.common.levels import ahead
from attune.tasks.common.vocabulary import Vocabulary
from attune.tasks.heads.language import LanguageHead


class ClozeHead(nn.Module):
    """Logits are the mean logits of each label's words, plus a level of the label (PET, Schick & Schütze 2021).

    A logit is a word's log-probability up to a number that all labels share, so that their softmax is that of the mean
    log-probabilities (several words a label: Schick et al. 2020). The vocabulary head begins as the checkpoint's own;
    it and the levels stay with the method `none`, and move with any other.

    Args:
        width: Features of a token, D.
        words: The backbone's vocabulary, V tokens.
        outputs: Labels, K.
        dropout: Dropout probability of the mask's vector.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"both_sides", "masks", "tokens", "vocabulary_head"})
    over: ClassVar[frozenset[str]] = frozenset({"pooled"})
    reads: ClassVar[str] = "tokens"
    """What of the backbone the task makes its one vector a row of: that of the mask."""
    asks: ClassVar[type[Cloze]] = Cloze
    """What lays a row out for one backbone."""
    options: ClassVar[frozenset[str]] = frozenset({"calibrate", "pattern", "search", "shots", "verbalisers"})
    """The options of the task that it reads."""
    lacks = staticmethod(lacks)
    trains: ClassVar[bool] = False
    unit: ClassVar[bool] = False
    summary: ClassVar[str] = (
        "how likely each label's words are in the gap of a pattern, by the checkpoint's own vocabulary head; answers "
        "untrained"
    )

    chosen: Tensor
    """`(M,)` the tokens of all labels' words, one label after the other."""
    shares: Tensor
    """`(K, M)` what each counts for a label: one over the number of its words, or nothing."""

    def __init__(self, width: int, words: Vocabulary, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.language = LanguageHead(width, words, dropout)
        self.level = nn.Parameter(torch.zeros(outputs))
        self.name([])

    @property
    def fresh(self) -> bool:
        """Whether the checkpoint held no vocabulary head, so that this one knows nothing yet."""
        return self.language.fresh

    def name(self, words: Sequence[Sequence[int]]) -> None:
        """Sets the tokens that stand for each label."""
        device = self.level.device
        shares = torch.zeros(len(self.level), sum(map(len, words)), device=device)
        at = 0
        for label, own in enumerate(words):
            shares[label, at : at + len(own)] = 1 / len(own)
            at += len(own)
        flat = [token for own in words for token in own]
        self.register_buffer("chosen", torch.tensor(flat, dtype=torch.int64, device=device), persistent=False)
        self.register_buffer("shares", shares, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Logits `(B, K)` of the masks' vectors `(B, D)`."""
        return self.language.of(features, self.chosen) @ self.shares.T.to(features) + self.level

    @torch.no_grad()
    def balance(self, features: Tensor, *, each: bool, several: bool) -> None:
        """Sets the levels from unlabelled texts, so that no label is ahead for all of them (Zhao et al. 2021).

        Args:
            features: `(N, D)`.
            each: Whether to.
            several: Not read: a row has one label.
        """
        del several
        self.level.zero_()
        if each:
            self.level.sub_(ahead(self(features)))

    @torch.no_grad()
    def likely(self, features: Tensor) -> Tensor:
        """The mean log-probability of every token of the vocabulary at some masks, `(N, D)` to `(V,)`."""
        return self.language(features).float().log_softmax(-1).mean(0)
