"""attune: tune, prove, pack and serve pretrained models on one ordinary machine.

The public API is lazy: importing the package imports neither torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attune.api import audit, chain, compose, evaluate, index, load, switch, train
    from attune.core.recipe import Recipe
    from attune.errors import AttuneError
    from attune.model.bundle import Bundle

__all__ = [
    "AttuneError",
    "Bundle",
    "Recipe",
    "audit",
    "chain",
    "compose",
    "evaluate",
    "index",
    "load",
    "switch",
    "train",
]

_WHERE = {
    "AttuneError": "attune.errors",
    "Bundle": "attune.model.bundle",
    "Recipe": "attune.core.recipe",
    "audit": "attune.api",
    "chain": "attune.api",
    "compose": "attune.api",
    "evaluate": "attune.api",
    "index": "attune.api",
    "load": "attune.api",
    "switch": "attune.api",
    "train": "attune.api",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'attune' has no attribute {name!r}")
