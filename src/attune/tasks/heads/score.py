"""The head of rankings: one number a candidate."""

from __future__ import annotations

from torch import Tensor, nn


class ScoreHead(nn.Module):
    """Dropout and one linear map to a number, without a level: candidates are compared, and a level cancels.

    Args:
        width: Features of a candidate, D.
        slope: What each weight begins with; at random where not given.
        dropout: Dropout probability before the map.
    """

    def __init__(self, width: int, slope: float | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, 1, bias=False)
        if slope is None:
            nn.init.normal_(self.linear.weight, std=0.02)
        else:
            nn.init.constant_(self.linear.weight, slope)

    def forward(self, features: Tensor) -> Tensor:
        """Scores `(B, M)` of the features of M candidates `(B, M, D)`."""
        return self.linear(self.dropout(features)).squeeze(-1)
