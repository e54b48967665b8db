"""Memory of `audit` and `predict` does not grow with the rows (Shows 7, at a tenth of its size)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "memory.py"


@pytest.mark.slow
def test_ten_times_the_rows_take_no_more_memory(tmp_path) -> None:
    command = [sys.executable, str(BENCHMARK), "--sizes", "20000", "200000", "--json", "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert set(told["ratios"]) == {"audit", "predict"}
    assert all(ratio <= 1.15 for ratio in told["ratios"].values()), told
    small, large = (one["findings"]["duplicates"] for one in told["measured"] if one["command"] == "audit")
    assert 500 < small < 700
    assert 5000 < large < 7000
