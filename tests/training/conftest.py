"""Backbones made once a session."""

from pathlib import Path

import pytest

from support import cells


@pytest.fixture(scope="session")
def root(tmp_path_factory) -> Path:
    """Folder with one tiny backbone a kind."""
    return cells.backbones(tmp_path_factory.mktemp("backbones"))
