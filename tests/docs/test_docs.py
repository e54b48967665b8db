"""The documentation says what the code does: commands run, links lead somewhere, the reference is up to date."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from attune.apps.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/*.md")])
COMMANDS = list(get_command(app).commands)  # pyright: ignore[reportAttributeAccessIssue] a group has commands
QUICK = [
    "training.epochs=1",
    "training.precision=float32",
    "evaluation.resamples=100",
    "evaluation.baselines=['majority']",
]
PROBE = "method.name=frozen"


def console(page: Path) -> list[str]:
    """The commands of a page's `console` blocks."""
    blocks = re.findall(r"^```console\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ attune ")]


WITH_COMMANDS = [page for page in PAGES if console(page)]


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs attune in a folder."""
    command = [sys.executable, "-m", "attune.apps.cli.main", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def quick(arguments: list[str]) -> list[str]:
    """Overrides that make a training short: the linear probe, unless the page asks for a method."""
    if arguments[0] != "train" or "--resume" in arguments:
        return []
    method = [] if "method.name" in " ".join(arguments) else [PROBE]
    return [word for override in [*QUICK, *method] for word in ("--set", override)]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(autouse=True)
def path_to_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_generated_reference_is_up_to_date():
    command = [sys.executable, "docs/generate.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_relative_links_lead_somewhere(page: Path):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    local = [link.partition("#")[0] for link in links if not re.match(r"[a-z]+:|#", link)]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_help_lists_exactly_the_documented_commands():
    documented = re.findall(r"^## attune (\w+)", (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8"), re.M)
    shown = run(["--help"], ROOT).stdout.partition("Commands:")[2]
    assert re.findall(r"^  (\w+)", shown, re.M) == documented == COMMANDS


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name)
def test_shown_commands_exist(page: Path):
    assert {command.split()[1] for command in console(page)} <= set(COMMANDS)


def test_guide_and_readmes_show_commands():
    expected = {"README.md", "README.zh-CN.md", *(name(page) for page in ROOT.glob("docs/guide/*.md"))}
    assert {name(page) for page in WITH_COMMANDS} == expected


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name)
def test_shown_commands_run(page: Path, tmp_path: Path):
    folder = tmp_path / "support_desk"
    shutil.copytree(ROOT / "examples/support_desk", folder)
    for command in console(page):
        arguments = shlex.split(command)[1:]
        done = run([*arguments, *quick(arguments)], folder)
        assert done.returncode == 0, f"{command}\n{done.stderr}"


def test_every_page_is_in_the_menu():
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert [page for page in sorted(pages) if page not in menu] == []
