"""Nothing partial is ever seen."""

import errno
import json

import pytest

from attune.core.files import canonical, disk, whole_file, whole_folder
from attune.core.registry import Registry
from attune.errors import DataError, MachineError, Problem, RecipeError, nearest


def test_a_folder_appears_whole(tmp_path):
    target = tmp_path / "deep" / "folder"
    with whole_folder(target) as folder:
        (folder / "a").write_text("new")
        assert not target.exists()
    assert [path.name for path in target.parent.rglob("*")] == ["folder", "a"]
    with whole_folder(target) as folder:
        (folder / "b").write_text("newer")
    assert [path.name for path in target.parent.rglob("*")] == ["folder", "b"]


def test_a_failure_leaves_the_old_folder(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "a").write_text("old")
    with pytest.raises(ValueError, match="stop"), whole_folder(target) as folder:
        (folder / "a").write_text("half")
        raise ValueError("stop")
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "a"]
    assert (target / "a").read_text() == "old"


def test_a_failure_leaves_the_old_file(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(MachineError, match="disk is full"), whole_file(target) as path:
        path.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]
    assert target.read_text() == "old"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "not allowed"),
    ],
)
def test_what_the_disk_says(tmp_path, number, said):
    with pytest.raises(MachineError, match=said) as caught, disk(tmp_path):
        raise OSError(number, "no")
    assert str(tmp_path) in str(caught.value)
    assert caught.value.remedy


def test_other_errors_pass(tmp_path):
    with pytest.raises(FileNotFoundError), disk(tmp_path):
        raise FileNotFoundError(errno.ENOENT, "no")


def test_canonical_json():
    assert canonical({"b": 1, "a": "é"}) == canonical({"a": "é", "b": 1})
    assert json.loads(canonical({"a": [1.5]})) == {"a": [1.5]}


def test_a_registry_imports_on_use():
    registry = Registry("thing", {"path": "pathlib:Path"}, "attune.nothing")
    assert registry.names() == ["path"]
    assert registry.get("path").__name__ == "Path"
    with pytest.raises(RecipeError, match="no thing named 'pth'") as caught:
        registry.get("pth")
    assert "did you mean 'path'" in caught.value.remedy


def test_errors_say_four_things_and_list_problems():
    problems = [Problem("bad", f"f:{line}", "text") for line in range(1, 31)]
    told = str(DataError("found", where="where", expected="expected", remedy="remedy", problems=problems))
    assert told.startswith("where: found\n  expected: expected\n  what to do: remedy\n  - f:1, field 'text': bad")
    assert told.endswith("and 10 more")


def test_nearest_names():
    assert nearest("epoch", ["epochs", "seed"]) == "did you mean 'epochs'? Known: epochs, seed"
    assert nearest("zzz", ["epochs"]) == "Known: epochs"
    assert nearest("a", []) == "Known: nothing"
