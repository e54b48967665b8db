"""Real `attune` processes: started, watched through their events, and stopped by signals."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from support import worker


def attune(log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A real process; what it says on standard error goes to a file."""
    command = [sys.executable, "-m", "attune.apps.cli.main", *arguments]
    with log.open("wb") as stream:
        return subprocess.Popen(command, env=worker.environment(), stdout=subprocess.DEVNULL, stderr=stream)


def log_of(folder: Path) -> Path:
    """Where a run's process says what it does."""
    return folder.with_name(f"{folder.name}.log")


def events(folder: Path) -> list[dict]:
    """Events so far; a line that is being written is left out."""
    path = folder / "events.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    return [json.loads(line) for line in lines]


def stop_at(process: subprocess.Popen[bytes], reached, number: int) -> int:
    """Sends a signal as soon as something is reached; returns the exit code."""
    limit = time.monotonic() + 120
    while not reached():
        assert process.poll() is None, f"ended with {process.returncode} before it was reached"
        assert time.monotonic() < limit, "never reached"
        time.sleep(0.002)
    process.send_signal(number)
    return process.wait(120)
