"""The vector head: what the backbone made of a text, scaled to length one; nothing is put on it."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F


class VectorHead(nn.Module):
    """Scales vectors to length one. It has no parameters: only the backbone learns."""

    needs: ClassVar[frozenset[str]] = frozenset()
    over: ClassVar[frozenset[str]] = frozenset({"pooled"})
    trains: ClassVar[bool] = False
    unit: ClassVar[bool] = True
    empty: ClassVar[bool] = True
    """Whether it has no parameters of its own."""
    gives: ClassVar[str] = "vector"
    """What it answers with."""
    summary: ClassVar[str] = "the backbone's vector of a text, of length one; it has nothing to learn of its own"

    def forward(self, features: Tensor) -> Tensor:
        """Vectors of length one `(…, D)` of vectors `(…, D)`; zeros stay zeros."""
        return F.normalize(features, dim=-1)
