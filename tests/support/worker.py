"""A process that serves conformance jobs: JSON lines in, JSON lines out. `python -m support.worker ROOT`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
KILLED_AT = 5
"""The step after which a run is killed: before its checkpoint, in the middle of the second epoch."""


def environment() -> dict[str, str]:
    """The environment of a worker: this checkout's code, one thread, no network."""
    paths = (str(HERE.parent / "src"), str(HERE))
    fixed = {
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_WAIT_POLICY": "passive",
    }
    return {**os.environ, **fixed, "TOKENIZERS_PARALLELISM": "false"}


def start(root: Path, jobs: Sequence[Mapping[str, Any]]) -> subprocess.Popen[str]:
    """A new process with jobs to do.

    Args:
        root: Folder with the tiny backbones.
        jobs: Each with `do`, `variant` and `scratch`.

    Returns:
        The process; `results` waits for it.
    """
    command = [sys.executable, "-m", "support.worker", str(root)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()
    )
    assert process.stdin
    process.stdin.write("".join(json.dumps(job) + "\n" for job in jobs))
    process.stdin.close()
    process.stdin = None
    return process


def results(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """What a worker answered, one a job: `value`, or `error` with a traceback."""
    out, _ = process.communicate()
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def serve(root: Path, jobs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Does jobs in one new process."""
    found = results(start(root, jobs))
    assert len(found) == len(jobs), f"the worker answered {len(found)} of {len(jobs)} jobs"
    return found


def killed(variant: Any, root: Path, scratch: Path) -> dict[str, Any]:
    """Trains in a forked child that is killed in the middle, then goes on here; for invariant 7."""
    from support.cells import trained

    def kill(event: Mapping[str, Any]) -> None:
        if event["event"] == "step" and event["step"] == KILLED_AT:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        trained(variant, root, scratch, listeners=(kill,))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, f"the child ended with status {status}"
    assert list((scratch / "run" / "checkpoints").glob("step-*")), "the kill left no checkpoint"
    steps: list[int] = []

    def count(event: Mapping[str, Any]) -> None:
        if event["event"] == "step":
            steps.append(event["step"])

    found = trained(variant, root, scratch, listeners=(count,))
    assert steps and steps[0] == KILLED_AT, f"went on at step {steps[:1]}, not at {KILLED_AT}"
    return found


def main() -> None:
    """Serves the jobs on standard input."""
    from support import cells

    root = Path(sys.argv[1])
    named = {str(number): check for number, check in cells.IN_PROCESS.items()}
    named |= {"pack": cells.pack, "answer": cells.answer, "trained": cells.trained, "killed": killed}
    for line in sys.stdin.read().splitlines():
        job = json.loads(line)
        variant, scratch = cells.Variant(**job["variant"]), Path(job["scratch"])
        try:
            scratch.mkdir(parents=True, exist_ok=True)
            found = {"value": named[job["do"]](variant, root, scratch)}
        except Exception:
            found = {"error": traceback.format_exc()}
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
