"""Candidate programs: what passes passes, and nothing that misbehaves outlives its limits."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from attune.errors import MachineError
from attune.tasks.code import sandbox
from attune.tasks.code.passing import CodeScores, pass_at_k, with_tests
from attune.tasks.code.sandbox import Limits, run, run_all

SHORT = Limits(seconds=2.5, cpu=1, memory=256, file=1, processes=16)
PROBLEMS = [
    {"prompt": "def double(x):\n", "body": "    return 2 * x\n", "entry_point": "double",
     "tests": "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate('a') == 'aa'\n"},
    {"prompt": "def largest(items):\n    '''The largest item.'''\n", "body": "    return max(items)\n",
     "tests": ["assert largest([1, 3, 2]) == 3", "assert largest('abc') == 'c'"]},
    {"prompt": "import math\n\ndef area(r):\n", "body": "    return math.pi * r * r\n", "entry_point": "area",
     "test_setup": "from math import pi, isclose", "tests": "def check(f):\n    assert isclose(f(2), 4 * pi)\n"},
]  # fmt: skip


def namespaces():
    """Whether this machine lets a program be put into namespaces."""
    try:
        return run("pass", SHORT).held.network
    except MachineError:
        return False


def only_where_it_can_be_held():
    if not namespaces():
        pytest.skip("this machine gives no user namespaces, and programs are refused; another test holds that")


def scores(bodies):
    """Each problem with candidates whose bodies are given."""
    chosen = [[problem["prompt"] + body for body in bodies(problem)] for problem in PROBLEMS]
    return CodeScores("a", PROBLEMS, chosen, None, SHORT)


def test_reference_solutions_pass_and_hollow_ones_do_not():
    only_where_it_can_be_held()
    one = np.ones((1, len(PROBLEMS)))
    right = scores(lambda problem: [problem["body"]])
    assert right.measure(one)["pass_1"] == [1.0] and right.right().all()
    hollow = scores(lambda problem: ["    return None\n"])
    assert hollow.measure(one)["pass_1"] == [0.0] and not hollow.right().any()
    both = scores(lambda problem: [problem["body"], "    return None\n", "    syntax error\n"])
    assert both.measure(one)["pass_1"] == pytest.approx([1 / 3])
    assert both.each(2) == pytest.approx([2 / 3] * 3)
    assert both.words(PROBLEMS[1]) == PROBLEMS[1]["tests"] and both.words(["a"]) == ["a"]
    assert both.words(PROBLEMS[0]) == [PROBLEMS[0]["tests"]]


LOOP = "while True:\n    pass"
CASES = {
    "an endless loop": (LOOP, "timeout", ""),
    "an endless sleep": ("import time\ntime.sleep(60)", "timeout", ""),
    "what ignores that its time is out": (f"import signal\nsignal.signal(24, signal.SIG_IGN)\n{LOOP}", None, ""),
    "a fork bomb": ("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", "timeout", ""),
    "threads without end": (
        "import threading as t, time\nwhile True: t.Thread(target=time.sleep, args=(9,)).start()", "failed", "thread"),
    "huge memory": ("x = bytearray(3 << 30)", "failed", "MemoryError"),
    "a huge file": ("open('big', 'wb').write(b'0' * (8 << 20))", "failed", "File too large"),
    "huge output": ("while True: print('x' * 1000)", "output", "xxx"),
    "the network": (
        "import socket\nsocket.create_connection(('127.0.0.1', PORT), 2)", "failed", "Network is unreachable"),
    "a datagram": (
        "import socket\nsocket.socket(2, 2).sendto(b'x', ('127.0.0.1', PORT))", "failed", "Network is unreachable"),
    "an early exit": ("import sys\nsys.exit(0)", "failed", ""),
    "a crash": ("import ctypes\nctypes.string_at(0)", "failed", ""),
    "killing all that it sees": ("import os\nos.kill(-1, 9)\nos.kill(0, 9)", "failed", ""),
    "killing whoever watches it": (f"import os\nos.kill({os.getpid()}, 9)", "failed", "ProcessLookupError"),
    "reading input": ("input()", "failed", "EOFError"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_misbehaves_is_ended_or_refused(name):
    import socket

    only_where_it_can_be_held()
    program, status, printed = CASES[name]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        begin = time.monotonic()
        found = run(program.replace("PORT", str(listening.getsockname()[1])), SHORT)
    assert time.monotonic() - begin < SHORT.seconds + 6
    assert not found.passed and found.status in (status or found.status, "timeout")
    assert printed in found.printed
    assert len(found.printed) <= SHORT.output


def test_what_leaves_its_group_ends_too(tmp_path):
    only_where_it_can_be_held()
    mark = tmp_path / "mark"
    tmp_path.chmod(0o777)
    program = f"""
import os, time
if not os.fork():
    os.setsid()
    if not os.fork():
        time.sleep(1.5)
        open({str(mark)!r}, "w")
"""
    assert run(program, SHORT).status in ("passed", "failed")
    time.sleep(2.5)
    assert not mark.exists()


def test_nothing_is_written_elsewhere_and_nothing_is_left(tmp_path):
    only_where_it_can_be_held()
    tmp_path.chmod(0o777)
    found = run(f"open('own', 'w').write('x')\nopen({str(tmp_path / 'other')!r}, 'w')", SHORT)
    if not found.held.files:
        pytest.skip("this kernel cannot make all mounts read-only")
    assert found.status == "failed" and "Read-only file system" in found.printed and "own" not in found.printed
    told = json.loads(run("import os, json\nprint(json.dumps([os.getcwd(), os.listdir('.')]))", SHORT).printed)
    assert told[1] == ["program.py"] and not Path(told[0]).exists()


def test_the_callers_variables_stay_with_the_caller(monkeypatch):
    only_where_it_can_be_held()
    monkeypatch.setenv("ATTUNE_SECRET", "hush")
    found = run("import os\nprint(sorted(os.environ))\nassert 'ATTUNE_SECRET' not in os.environ", SHORT)
    assert found.passed, found.printed


def test_several_at_once_keep_their_order():
    only_where_it_can_be_held()
    found = run_all([f"print({n})\nassert {n} % 2" for n in range(6)], SHORT, at_once=3)
    assert [one.passed for one in found] == [False, True] * 3
    assert [int(one.printed.split()[0]) for one in found] == list(range(6))


def without_namespaces(tmp_path):
    """The script as it is where the kernel gives no namespace."""
    text = sandbox.CONFINE.read_text(encoding="utf-8")
    path = tmp_path / "confine.py"
    path.write_text(text.replace('sys.platform != "linux"', "True", 1), encoding="utf-8")
    return path


def test_where_the_network_cannot_be_taken_away_programs_are_refused_unless_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "CONFINE", without_namespaces(tmp_path))
    with pytest.raises(MachineError, match="the network cannot be taken away") as caught:
        run("print('ran')", SHORT)
    assert "user namespaces" in str(caught.value)
    found = run("print('ran')", SHORT, trusted=True)
    assert found.passed and found.printed == "ran\n"
    assert (found.held.network, found.held.processes, found.held.files) == (False, False, False)
    assert run(LOOP, SHORT, trusted=True).status == "timeout"


def test_a_script_that_cannot_start_is_told_of(tmp_path, monkeypatch):
    broken = tmp_path / "confine.py"
    broken.write_text("raise SystemExit('no such thing')", encoding="utf-8")
    monkeypatch.setattr(sandbox, "CONFINE", broken)
    with pytest.raises(MachineError, match="no such thing"):
        run("pass", SHORT)


@pytest.mark.parametrize(("n", "c", "k", "wanted"), [(5, 0, 3, 0.0), (5, 5, 1, 1.0), (4, 1, 2, 0.5), (3, 2, 2, 1.0)])
def test_pass_at_k_by_hand(n, c, k, wanted):
    assert pass_at_k(n, c, k) == pytest.approx(wanted)


def test_pass_at_k_is_the_mean_over_every_choice():
    from itertools import combinations

    for n, c, k in ((6, 2, 3), (7, 3, 1), (5, 4, 4)):
        every = list(combinations([1] * c + [0] * (n - c), k))
        assert pass_at_k(n, c, k) == pytest.approx(sum(max(one) for one in every) / len(every))
    for wrong in ((3, 4, 1), (3, 1, 4), (3, 1, 0)):
        with pytest.raises(ValueError, match="pass@"):
            pass_at_k(*wrong)


def test_programs_of_both_forms():
    assert with_tests("x = 1", {"tests": ["assert x", "assert x == 1"], "test_setup": "import os"}) == (
        "x = 1\nimport os\nassert x\nassert x == 1\n"
    )
    assert with_tests("def f(): pass", {"tests": "def check(c): c()", "entry_point": "f"}).endswith("check(f)\n")


@pytest.mark.slow
def test_public_reference_solutions_pass(public_data):
    only_where_it_can_be_held()
    lines = (public_data / "humaneval" / "test.jsonl").read_text(encoding="utf-8").splitlines()[::20]
    rows = [{**(row := json.loads(line)), "tests": row["test"]} for line in lines]
    for body, share in ((lambda row: row["target"], 1.0), (lambda row: "    return None\n", 0.0)):
        found = CodeScores("a", rows, [[row["source"] + body(row)] for row in rows], None)
        assert found.measure(np.ones((1, len(rows))))["pass_1"] == [share]


def test_the_script_needs_nothing_but_the_standard_library():
    text = sandbox.CONFINE.read_text(encoding="utf-8")
    names = [line.split()[1].partition(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))]
    assert set(names) <= {*sys.stdlib_module_names}
