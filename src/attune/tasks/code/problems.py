"""Problems: what the tests of a row are, and the programs that a text stands for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attune.core.form import Read

Problem = dict[str, Any]


def read_tests(cell: Any, row: Mapping[str, Any]) -> str | list[str]:
    """The tests of a row: source, or a list of statements, which may come as JSON text.

    Args:
        cell: As read.
        row: Not needed.

    Returns:
        They.

    Raises:
        ValueError: It is neither, or empty.
    """
    del row
    found = listed(cell) if isinstance(cell, str) else cell
    if isinstance(found, list) and found and all(isinstance(test, str) for test in found):
        return found
    if isinstance(found, str) and found.strip():
        return found
    raise ValueError(f"{cell!r:.60} where tests, as source or as a list of statements, were expected")


def listed(text: str) -> Any:
    """A list that came as JSON text; any other text as it is."""
    try:
        found = json.loads(text) if text.lstrip().startswith("[") else text
    except ValueError:
        return text
    return found if isinstance(found, list) else text


def read_source(cell: Any, row: Mapping[str, Any]) -> str:
    """A piece of source, or a name; raises ValueError where it is no text."""
    del row
    if not isinstance(cell, str):
        raise ValueError(f"{cell!r:.60} where text was expected")
    return cell


FIELDS: Mapping[str, Read] = {"tests": read_tests, "entry_point": read_source, "test_setup": read_source}
"""What a row may have beside its program, each in a column that `data.columns` names."""


def problem_of(row: Mapping[str, Any], *, continues: bool) -> Problem:
    """What a program of a row is run with.

    Args:
        row: What was read of it.
        continues: Whether a program goes on from the row's text.

    Returns:
        What `with_tests` reads, and `before`: what stands before what is written.

    Raises:
        ValueError: It has no tests, or what its tests call is not named; a clause.
    """
    found = {name: row[name] for name in FIELDS if row.get(name)}
    if "tests" not in found:
        raise ValueError('no tests; name their column, as in data.columns = {tests = "test"}')
    if not isinstance(found["tests"], list) and "def check(" in found["tests"] and "entry_point" not in found:
        raise ValueError(
            "tests that define check, and no name of what it is handed; name its column, as in data.columns = "
            '{entry_point = "entry_point"}'
        )
    return {**found, "before": str(row["text"]) if continues else ""}


def program_of(written: str, problem: Mapping[str, Any]) -> str:
    """A text as a program: what was read stands before it where it goes on from that."""
    before = problem["before"]
    return before + ("\n" if before and not before.endswith("\n") else "") + written
