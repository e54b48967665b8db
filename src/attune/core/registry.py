"""Registries are lists of strings: a name maps to `module:Class`, imported on use."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from attune.errors import RecipeError, nearest


class Registry:
    """The entries of one axis, by name.

    Args:
        kind: The axis in a person's words (`method`, `task`, …); used in errors.
        entries: Name to `module:Class`.
        group: Entry-point group through which third parties add entries.
    """

    def __init__(self, kind: str, entries: Mapping[str, str], group: str) -> None:
        self.kind = kind
        self._entries = dict(entries)
        self._group = group

    def _all(self) -> dict[str, str]:
        foreign = {point.name: point.value for point in entry_points(group=self._group)}
        return {**foreign, **self._entries}

    def names(self) -> list[str]:
        """Every name that `get` answers to, sorted."""
        return sorted(self._all())

    def get(self, name: str) -> Any:
        """The class registered under a name.

        Args:
            name: A registered name.

        Returns:
            The class, imported now.

        Raises:
            RecipeError: The name is not registered; the nearest names and the full list are given.
        """
        entries = self._all()
        if name not in entries:
            raise RecipeError(
                f"there is no {self.kind} named {name!r}",
                expected=f"the name of a {self.kind}",
                remedy=nearest(name, list(entries)),
            )
        module, _, attribute = entries[name].partition(":")
        return getattr(import_module(module), attribute)
