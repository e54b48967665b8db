"""How long `attune --help` takes, warm: the median of 21 runs in new processes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from runs import RESULTS, machine

RUNS = 21


def main() -> None:
    """Times and writes the figure."""
    command = [str(Path(sys.executable).with_name("attune")), "--help"]
    taken: list[float] = []
    for _ in range(RUNS + 1):
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken.append(1000 * (time.perf_counter() - begin))
    warm = taken[1:]
    text = (
        f"# Start-up\n\n{machine()}\n\n`attune --help`, warm, {RUNS} runs: median {statistics.median(warm):.0f} ms, "
        f"fastest {min(warm):.0f} ms, slowest {max(warm):.0f} ms.\n"
    )
    (RESULTS / "startup.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
