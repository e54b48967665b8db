"""Backbones made once a session, and the count at the end."""

from pathlib import Path

import pytest

from support import cells


@pytest.fixture(scope="session")
def root(tmp_path_factory) -> Path:
    """Folder with one tiny backbone a kind."""
    return cells.backbones(tmp_path_factory.mktemp("backbones"))


@pytest.fixture
def checked(record_property):
    """Notes that an invariant held for a variant."""

    def note(number: int, variant: cells.Variant) -> None:
        record_property("conformance", (str(variant.cell), str(variant), number))

    return note


def pytest_terminal_summary(terminalreporter):
    passed = [value for report in terminalreporter.stats.get("passed", ()) for value in conformance(report)]
    if passed:
        numbers = sorted({number for _, _, number in passed})
        idle = sum(not cells.applies(number, variant) for variant in cells.every() for number in cells.OF_TRAINING)
        terminalreporter.write_line(
            f"conformance: {len({cell for cell, _, _ in passed})} of {len(cells.supported())} cells, "
            f"{len({variant for _, variant, _ in passed})} of {len(cells.every())} variants, {len(passed)} checks of "
            f"invariants {', '.join(map(str, numbers))}; {len(cells.refused())} cells refused, "
            f"{idle} checks of steps do not apply to variants that take none"
        )


def conformance(report):
    if report.when != "call":
        return []
    return [tuple(value) for name, value in report.user_properties if name == "conformance"]
