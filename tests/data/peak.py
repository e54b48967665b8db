"""Run in a process of its own: audits a file and prints its peak anonymous memory in KiB."""

import json
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from attune.core.recipe import DataOptions
from attune.data.audit import audit
from attune.data.splits import split

peaks: dict[str, int] = {}
phase = ["start"]


def anonymous() -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1])


def watch(done: threading.Event) -> None:
    while not done.wait(0.01):
        peaks[phase[0]] = max(peaks.get(phase[0], 0), anonymous())


def features(texts: list[str]) -> np.ndarray:
    """Cheap stand-ins for a backbone: letter counts."""
    return np.array([[text.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts], np.float32)


def main(path: Path) -> None:
    done = threading.Event()
    watcher = threading.Thread(target=watch, args=(done,))
    watcher.start()
    started = time.monotonic()
    options = DataOptions(train=path.name)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        phase[0] = "split"
        splits = split(options, path.parent, Path(folder), multi_label=False)
        seconds = {"split": time.monotonic() - started}
        phase[0] = "audit"
        found = audit(
            splits, options, embed=features, token_counts=lambda texts: [len(t.split()) for t in texts], max_length=64
        )
        seconds["audit"] = time.monotonic() - started - seconds["split"]
    done.set()
    watcher.join()
    kinds = {finding.kind: finding.count for finding in found.findings}
    sys.stdout.write(json.dumps({"peak": max(peaks.values()), "peaks": peaks, "seconds": seconds, "found": kinds}))


main(Path(sys.argv[1]))
