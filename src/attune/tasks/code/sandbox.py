"""Runs a candidate program with its tests: limited, without network, and ended with everything it started."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from attune.errors import MachineError

CONFINE = Path(__file__).with_name("confine.py")
MIB = 1 << 20
GRACE = 2.0
"""Seconds between telling a program's watcher to end it and ending that too."""
ENDS = """
import os as _os
_os.write({descriptor}, b"{token}")
"""
"""What follows the tests: only a program that gets here has passed them."""
TOO_LONG = 128 + signal.SIGXCPU
"""Exit status where the processor's time ran out."""

Status = Literal["passed", "failed", "timeout", "output"]


@dataclass(frozen=True)
class Limits:
    """What a program may use up.

    Attributes:
        seconds: Seconds of the clock.
        cpu: Seconds of one core, for each of its processes.
        memory: MiB of addresses, for each of its processes.
        file: MiB of the largest file.
        processes: Processes and threads at once.
        output: Bytes that it may print.
    """

    seconds: float = 10.0
    cpu: int = 8
    memory: int = 1024
    file: int = 16
    processes: int = 32
    output: int = 65_536

    def as_resources(self) -> dict[str, int]:
        """By their names in the module `resource`."""
        return {
            "RLIMIT_CPU": self.cpu, "RLIMIT_AS": self.memory * MIB, "RLIMIT_FSIZE": self.file * MIB,
            "RLIMIT_NPROC": self.processes, "RLIMIT_NOFILE": 64, "RLIMIT_CORE": 0,
        }  # fmt: skip


@dataclass(frozen=True)
class Held:
    """What was taken away from a program besides the limits.

    Attributes:
        network: It has a network namespace of its own, in which there is nothing. Sockets that are files are not of it.
        processes: It can end no process but its own, and all of them end with it, those that left its group too. It may
            read what `/proc` says of others.
        files: It can write nowhere but in its folder.
        count: How many processes it has is limited: to `Limits.processes`, or to 300 where root runs it and no other
            user may read Python. Else only the clock ends what forks without end.
    """

    network: bool
    processes: bool
    files: bool
    count: bool


@dataclass(frozen=True)
class Verdict:
    """How a program ended.

    Attributes:
        status: `passed`: it ran to its end. `failed`: it raised, exited before its end, or was ended for a limit of
            memory, files or processes. `timeout`: the clock or the processor's time ran out. `output`: it printed
            more than it may.
        printed: What it printed, and its traceback, as far as was read.
        seconds: Seconds of the clock.
        held: What was taken away from it.
    """

    status: Status
    printed: str
    seconds: float
    held: Held

    @property
    def passed(self) -> bool:
        """Whether it ran to its end."""
        return self.status == "passed"


def run(program: str, limits: Limits | None = None, *, trusted: bool = False) -> Verdict:
    """Runs a program in a process of its own.

    It has a folder with nothing in it but itself, which is removed afterwards, no input, and an environment without the
    caller's variables. It counts as passed if its last line was reached: one that exits before its tests have run has
    failed. That is no guard against a program written to deceive whoever runs it.

    Args:
        program: Python source, the tests at its end.
        limits: What it may use up.
        trusted: Run it too where the network cannot be taken away, as on macOS.

    Returns:
        How it ended.

    Raises:
        MachineError: The network cannot be taken away here, and the program is not trusted.
    """
    limits = limits or Limits()
    folder = Path(tempfile.mkdtemp(prefix="attune-code-")).resolve()
    try:
        return run_in(folder, program, limits, trusted)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_in(folder: Path, program: str, limits: Limits, trusted: bool) -> Verdict:
    """Runs a program in an empty folder."""
    told, telling = os.pipe()
    token = secrets.token_hex(16)
    source = folder / "program.py"
    source.write_text(program + ENDS.format(descriptor=telling, token=token), encoding="utf-8", errors="replace")
    wanted: dict[str, Any] = {
        "program": str(source), "folder": str(folder), "limits": limits.as_resources(), "report": telling,
        "need": not trusted,
    }  # fmt: skip
    begin = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(CONFINE), json.dumps(wanted)],
        cwd=folder, env=environment(folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, pass_fds=(telling,), start_new_session=True,
    )  # fmt: skip
    os.close(telling)
    try:
        printed, ran_out = listened(process, limits, begin + limits.seconds)
        status = ended(process)
        held, reached = reported(told, token)
    finally:
        ended(process)
        os.close(told)
    text = printed.decode("utf-8", errors="replace")
    if held is None:
        raise MachineError(f"a program could not be started apart: {text[-300:]}", where="code", remedy=REMEDY)
    if not (held.network or trusted):
        raise MachineError("the network cannot be taken away from a program here", where="code", remedy=REMEDY)
    return Verdict(verdict_of(status, ran_out, reached), text, time.monotonic() - begin, held)


REMEDY = (
    "run on Linux as a user who may make user namespaces (sysctl kernel.unprivileged_userns_clone=1, "
    "kernel.apparmor_restrict_unprivileged_userns=0, or a container that allows unshare) and may read Python's folder"
)


def environment(folder: Path) -> dict[str, str]:
    """The variables a program has: none of the caller's but where commands are."""
    return {"PATH": os.defpath, "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}


def listened(process: subprocess.Popen[bytes], limits: Limits, until: float) -> tuple[bytes, Status | None]:
    """Reads what a program prints until it ends, the clock runs out, or it has printed too much; says which."""
    stream = process.stdout
    assert stream is not None
    printed = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while (left := until - time.monotonic()) > 0:
            if not selector.select(min(left, 0.1)):
                if process.poll() is not None:
                    return bytes(printed), None
                continue
            block = os.read(stream.fileno(), 65_536)
            if not block:
                break
            printed += block
            if len(printed) > limits.output:
                return bytes(printed[: limits.output]), "output"
    try:
        process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        return bytes(printed), "timeout"
    return bytes(printed), None


def ended(process: subprocess.Popen[bytes]) -> int:
    """Ends a program and everything that it started, if it has not ended; its exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
    if process.stdout is not None:
        process.stdout.close()
    status = process.wait()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    return status


def reported(descriptor: int, token: str) -> tuple[Held | None, bool]:
    """What was written to the report: what was taken away, and whether the program's end was reached."""
    os.set_blocking(descriptor, False)
    try:
        text = os.read(descriptor, 65_536).decode("utf-8", errors="replace")
    except BlockingIOError:
        text = ""
    head, line, rest = text.partition("\n")
    return (Held(**json.loads(head)) if line else None), rest == token


def verdict_of(status: int, ran_out: Status | None, reached: bool) -> Status:
    """How a program ended, by its watcher's exit status."""
    if ran_out:
        return ran_out
    if reached and status == 0:
        return "passed"
    return "timeout" if status == TOO_LONG else "failed"


def run_all(programs: Sequence[str], limits: Limits | None = None, *, at_once: int = 1) -> list[Verdict]:
    """Runs programs, several at once.

    Args:
        programs: Python sources, each with its tests.
        limits: What each may use up.
        at_once: How many run at the same time; more than there are cores makes clocks run out.

    Returns:
        One verdict a program, in order.
    """
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda program: run(program, limits), programs))
