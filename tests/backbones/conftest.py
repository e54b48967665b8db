"""Backbones made once a session, ready to speak or to read."""

import pytest

from attune.backbones.checkpoints import Checkpoint
from attune.backbones.registry import BACKBONES
from support import cells
from support.tiny import family_of


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """Folder with one tiny backbone a kind."""
    return cells.backbones(tmp_path_factory.mktemp("backbones"))


@pytest.fixture
def made(root):
    """Makes a backbone of a kind; with its language head where something is needed of that."""

    def make(kind, *needs, **options):
        family = BACKBONES.get(family_of(kind))
        chosen = family.Options.model_validate({"name": kind, **options})
        return family(Checkpoint(kind, root / kind, ""), chosen, needs=frozenset(needs)).eval()

    return make
