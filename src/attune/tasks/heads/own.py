"""The backbone's own language head: what a text goes on with, without a parameter besides the backbone's."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from attune.core.packing import IGNORED


class OwnHead(nn.Module):
    """The loss of what a generating backbone says itself; nothing is put on it, and nothing is kept with it.

    Args:
        smoothing: Share of the target that is spread over the whole vocabulary in training (Szegedy et al. 2016); the
            loss of what is only measured has none.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"generate"})
    over: ClassVar[frozenset[str]] = frozenset({"generate"})
    trains: ClassVar[bool] = False
    unit: ClassVar[bool] = False
    empty: ClassVar[bool] = True
    """Whether it has no parameters of its own."""
    summary: ClassVar[str] = "the backbone's own language head, which goes on with a text"

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        self.smoothing = smoothing

    def forward(self, features: Tensor) -> Tensor:
        """Logits `(B, T, V)` as the backbone gives them."""
        return features

    def score(self, features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of a batch.

        Args:
            features: `(B, T, V)`, for each place of what is written what may stand there.
            targets: `(B, T)`, −100 where nothing is learned; or of texts in two pieces, what is read and what is
                written, `(2B, T)`, in which that of the piece read holds nothing.

        Returns:
            Total `(B,)` and number `(B,)` of the tokens that are learned in each row.
        """
        own = targets if len(targets) == len(features) else targets[1::2]
        own = own[:, : features.shape[1]]
        asked = own != IGNORED
        smoothing = self.smoothing if self.training else 0.0
        each = F.cross_entropy(features[asked].float(), own[asked], reduction="none", label_smoothing=smoothing)
        rows = asked.nonzero()[:, 0]
        return each.new_zeros(len(own)).index_add(0, rows, each), asked.sum(1).to(each)
