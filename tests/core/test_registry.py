"""Entries of other packages, which are looked for once a path."""

import sys
from importlib import metadata

import pytest

from attune.core import registry
from attune.core.registry import Registry
from attune.errors import RecipeError


def test_a_package_on_the_path_adds_entries_and_one_that_is_gone_does_not(tmp_path, monkeypatch):
    axis = Registry("thing", {"own": "json:JSONDecoder"}, "attune.things")
    assert axis.names() == ["own"]
    made = tmp_path / "other-1.0.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (made / "entry_points.txt").write_text("[attune.things]\nforeign = json:JSONEncoder\nbroken = json:Nothing\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert axis.names() == ["broken", "foreign", "own"]
    assert axis.package("foreign") == {"other": "1.0"} and axis.get("foreign").__name__ == "JSONEncoder"
    with pytest.raises(RecipeError, match="'broken' of other cannot be imported"):
        axis.get("broken")
    monkeypatch.setattr(sys, "path", sys.path[:-1])
    assert axis.names() == ["own"]


def test_installed_packages_are_looked_at_once_a_path(monkeypatch):
    asked = []
    monkeypatch.setattr(
        registry, "entry_points", lambda group: asked.append(group) or metadata.entry_points(group=group)
    )
    axis = Registry("thing", {"own": "json:JSONDecoder"}, "attune.other_things")
    for _ in range(3):
        assert axis.names() == ["own"]
    assert asked == ["attune.other_things"]
