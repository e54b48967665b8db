"""Extras: what is not installed is said, with the command that installs it."""

from __future__ import annotations

from importlib.util import find_spec

from attune.errors import MachineError


def require(module: str, extra: str) -> None:
    """Refuses with the install command where an extra's module is not installed.

    Args:
        module: What is imported.
        extra: The extra that brings it.

    Raises:
        MachineError: It is not installed.
    """
    if find_spec(module) is None:
        raise MachineError(
            f"{module} is not installed", expected=f"the extra {extra!r}", remedy=f"pip install 'attune[{extra}]'"
        )
