"""Fixtures that all rooms share."""

import os
from pathlib import Path

import pytest

pytest_plugins = ["support.bundles"]


@pytest.fixture(scope="session")
def public_data() -> Path:
    """Folder with the public data sets; tests that need it are skipped without it, and fail in CI."""
    named = os.environ.get("ATTUNE_TEST_DATA", "")
    if named and Path(named).is_dir():
        return Path(named)
    reason = "ATTUNE_TEST_DATA does not name the folder with the public data sets"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
