"""Registries are lists of strings: a name maps to `module:Class`, imported on use."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from attune.errors import RecipeError, nearest


@lru_cache(maxsize=64)
def points(group: str, path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """The entry points of a group by name; every installed package is looked at, once for each search path."""
    del path
    return {point.name: point for point in entry_points(group=group)}


class Registry:
    """The entries of one axis, by name; attune's own come before those of other packages.

    Args:
        kind: The axis in a person's words (`method`, `task`, …); used in errors.
        entries: Name to `module:Class`.
        group: Entry-point group through which third parties add entries.
    """

    def __init__(self, kind: str, entries: Mapping[str, str], group: str) -> None:
        self.kind = kind
        self._entries = dict(entries)
        self._group = group

    def names(self) -> list[str]:
        """Every name that `get` answers to, sorted."""
        return sorted({*self._entries, *self._foreign()})

    def package(self, name: str) -> dict[str, str]:
        """The package that adds an entry, with its version; empty for an entry of attune's own."""
        found = None if name in self._entries else self._foreign().get(name)
        return {found.dist.name: found.dist.version} if found and found.dist else {}

    def get(self, name: str) -> Any:
        """The class registered under a name.

        Args:
            name: A registered name.

        Returns:
            The class, imported now.

        Raises:
            RecipeError: The name is not registered; the nearest names and the full list are given. Or it is another
                package's, which cannot be imported.
        """
        if name in self._entries:
            module, _, attribute = self._entries[name].partition(":")
            return getattr(import_module(module), attribute)
        if found := self._foreign().get(name):
            return self._loaded(found)
        raise RecipeError(
            f"there is no {self.kind} named {name!r}",
            expected=f"the name of a {self.kind}",
            remedy=nearest(name, self.names()),
        )

    def _foreign(self) -> dict[str, EntryPoint]:
        return points(self._group, tuple(sys.path))

    def _loaded(self, point: EntryPoint) -> Any:
        try:
            return point.load()
        except (ImportError, AttributeError) as error:
            owner = point.dist.name if point.dist else "another package"
            raise RecipeError(
                f"the {self.kind} {point.name!r} of {owner} cannot be imported: {error}",
                expected=f"{point.value}, as that package's entry point says",
                remedy=f"reinstall {owner}, or uninstall it",
            ) from error
