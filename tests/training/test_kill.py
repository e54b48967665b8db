"""Real `attune train` processes, killed and interrupted in the middle, then resumed."""

import json
import random
import signal
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from safetensors.torch import load_file

from support import cells
from support.processes import attune, events, log_of, stop_at

pytestmark = pytest.mark.slow
KILLS = 20
RECIPE = """
[data]
train = "rows.jsonl"
[backbone]
name = "bert"
[method]
name = "full"
[training]
epochs = 24
batch_size = 8
checkpoint_steps = 2
precision = "float32"
attention = "sdpa"
threads = 1
dropout = 0.1
learning_rate = 1e-4
head_learning_rate = 1e-3
start = "random"
metric = "loss"
[evaluation]
resamples = 100
baselines = ["majority"]
"""


@pytest.fixture(scope="module")
def place(root, tmp_path_factory) -> Path:
    """A data root with 200 rows, a backbone and a recipe."""
    folder = tmp_path_factory.mktemp("kill")
    table = cells.Table(200, multi_label=False)
    rows = [json.dumps({"text": text, "label": gold}) for text, gold in zip(table.texts, table.golds, strict=True)]
    (folder / "rows.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "bert").symlink_to(root / "bert")
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def whole(place) -> Path:
    """A run that nothing stopped."""
    folder = place / "whole"
    assert begin(place, folder).wait(300) == 0, log_of(folder).read_text(encoding="utf-8")
    best = [event["best"] for event in events(folder) if event["event"] == "validation"]
    assert best.index(best[-1]) > 18, "the best epoch came early, so the bundle would not show what came after"
    return folder


def steps(folder: Path) -> int:
    """The step the run is at."""
    return max((event["step"] for event in events(folder) if event["event"] == "step"), default=0)


def begin(place: Path, folder: Path) -> subprocess.Popen[bytes]:
    """Starts the run, or goes on with it."""
    if (folder / "start.json").is_file():
        return attune(log_of(folder), "train", "--resume", str(folder))
    return attune(log_of(folder), "train", str(place / "recipe.toml"), "--out", str(folder))


def finish(folder: Path) -> None:
    """Resumes to the end."""
    process = attune(log_of(folder), "train", "--resume", str(folder))
    assert process.wait(300) == 0, log_of(folder).read_text(encoding="utf-8")


def assert_same(folder: Path, whole: Path) -> None:
    """Moved weights, head, every file inside the digest, and the story of the run: bit for bit."""
    for part in ("moved/weights.safetensors", "heads/classification.safetensors"):
        mine, other = load_file(folder / "bundle" / part), load_file(whole / "bundle" / part)
        assert mine.keys() == other.keys()
        assert [name for name in mine if mine[name].numpy().tobytes() != other[name].numpy().tobytes()] == []
    manifests = [json.loads((run / "bundle" / "manifest.json").read_text(encoding="utf-8")) for run in (folder, whole)]
    assert manifests[0] == manifests[1]
    stories = [[strip(event) for event in events(run) if event["event"] in STORY] for run in (folder, whole)]
    assert stories[0] == stories[1]


STORY = ("step", "epoch", "validation")


def strip(event: dict) -> dict:
    return {key: value for key, value in event.items() if key != "time"}


def test_killed_twenty_times_at_random_steps_and_equal_in_the_end(place, whole):
    folder, draw = place / "killed", random.Random(20)
    seen: list[int] = []
    for _ in range(KILLS):
        at = steps(folder) if folder.is_dir() else 0
        target = at + draw.randint(1, 12)
        process = begin(place, folder)

        def reached(target=target) -> bool:
            return steps(folder) >= target

        assert stop_at(process, reached, signal.SIGKILL) == -signal.SIGKILL
        seen.append(steps(folder))
        assert not (folder / "bundle").exists()
    assert len(seen) == KILLS and all(later >= earlier for earlier, later in pairwise(seen)), seen
    assert seen[-1] < steps(whole), "the run was over before its last kill"
    finish(folder)
    assert_same(folder, whole)


@pytest.mark.parametrize("moment", ["audit", "resolved", "start", "validation", "evaluating"])
def test_killed_outside_of_steps(place, whole, moment):
    folder = place / f"killed-{moment}"
    process = begin(place, folder)

    def reached() -> bool:
        return any(event["event"] == moment for event in events(folder))

    assert stop_at(process, reached, signal.SIGKILL) == -signal.SIGKILL
    finish(folder)
    assert_same(folder, whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_checkpoint_and_the_run_goes_on(place, whole, number):
    folder = place / number.name
    process = begin(place, folder)
    assert stop_at(process, lambda: steps(folder) >= 30, number) == 130
    told = log_of(folder).read_text(encoding="utf-8")
    at = steps(folder)
    assert 30 <= at < steps(whole)
    assert f"stopped by {number.name} at step {at}" in " ".join(told.split()), told
    assert "--resume" in told
    (kept,) = (folder / "checkpoints").glob("step-*")
    assert json.loads((kept / "state.json").read_text(encoding="utf-8"))["step"] == at
    finish(folder)
    assert_same(folder, whole)


def test_a_finished_run_is_not_run_again(whole):
    before = (whole / "events.jsonl").read_bytes()
    finish(whole)
    assert (whole / "events.jsonl").read_bytes() == before
