"""Label names that are paths: what each lies below."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

MOST_LEVELS = 8
"""Parts that a label's name may have at most."""


@dataclass(frozen=True, eq=False)
class Level:
    """The labels seen from one level above them.

    Attributes:
        nodes: Names of what lies on the level, G sorted paths; a label that ends above the level stands for itself.
        of: `(K,)` the node of each label.
        members: `(K, G)` one where a label lies below a node.
    """

    nodes: tuple[str, ...]
    of: NDArray[np.int64]
    members: NDArray[np.float32]


def path(name: str, separator: str) -> tuple[str, ...]:
    """What a label lies below, the topmost first, itself last: `("ORDER", "ORDER/cancel_order")`."""
    parts = name.split(separator)
    return tuple(separator.join(parts[:length]) for length in range(1, len(parts) + 1))


@cache
def upper_levels(names: tuple[str, ...], separator: str) -> tuple[Level, ...]:
    """The levels above the leaves, the topmost first; one fewer than the longest name has parts."""
    paths = [path(name, separator) for name in names]
    found: list[Level] = []
    for depth in range(max(map(len, paths)) - 1):
        own = [way[min(depth, len(way) - 1)] for way in paths]
        nodes = tuple(sorted(set(own)))
        of = np.asarray([nodes.index(node) for node in own], dtype=np.int64)
        found.append(Level(nodes, of, np.eye(len(nodes), dtype=np.float32)[of]))
    return tuple(found)


def misplaced(names: Collection[str], separator: str) -> list[str]:
    """What is wrong with names as paths, one clause a name."""
    parents = {above for name in names for above in path(name, separator)[:-1]}
    found: list[str] = []
    for name in sorted(names):
        parts = name.split(separator)
        if len(parts) < 2:
            found.append(f"label {name!r} has no {separator!r}, so no parent")
        elif any(part != part.strip() or not part for part in parts):
            found.append(f"label {name!r} has an empty part, or a space beside a separator")
        elif len(parts) > MOST_LEVELS:
            found.append(f"label {name!r} has {len(parts)} parts, and at most {MOST_LEVELS} are read")
        elif name in parents:
            found.append(f"label {name!r} is also the parent of others")
    return found
