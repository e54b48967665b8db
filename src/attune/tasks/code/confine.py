"""Runs one program with what it may use up limited; a script of the standard library alone, never imported.

`python -I confine.py SPECIFICATION`: JSON with `program` (a file), `folder` (its own, it is there already), `limits`
(names of the module `resource` to numbers), `report` (a file descriptor) and `need` (whether to refuse where the
network cannot be taken away). What could be taken away is written to the descriptor as one line of JSON before the
program starts.

On Linux there are three processes: this one, which no program can see and which ends the others when it is told to; the
first of a new process namespace, with which all others in it end; and the program.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

NEW_MOUNTS, NEW_IPC, NEW_USER, NEW_PROCESSES, NEW_NETWORK = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
"""CLONE_NEW… of unshare(2)."""
BIND, RECURSIVE, PRIVATE = 0x1000, 0x4000, 0x40000
"""MS_… of mount(2)."""
MOUNT_SETATTR, HERE, ALL_BELOW, READ_ONLY = 442, -100, 0x8000, 1
"""The number of mount_setattr(2) on every architecture, AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY."""
DIE_WITH_PARENT, DUMPABLE, NO_NEW_PRIVILEGES = 1, 4, 38
"""PR_… of prctl(2)."""
NOBODY = 65534
FEWEST = "301"
"""The smallest number of processes that a namespace can be held to (Linux 6.14 and later)."""
REFUSED = 99
"""Exit status where the network could not be taken away."""


def main(given: str) -> int:
    """Confines this process, starts the program and waits for it."""
    wanted = json.loads(given)
    held = confined(wanted["folder"])
    refused = wanted["need"] and not held["network"]
    first = 0 if refused else os.fork()
    if refused or (not first and not held["processes"]):
        tell(wanted, held)
    if refused:
        return REFUSED
    if not first:
        leave(lambda: waited(started(wanted, held)) if held["processes"] else execute(wanted))
    signal.signal(signal.SIGTERM, lambda *_: os.kill(first, signal.SIGKILL))
    return waited(first)


def tell(wanted: dict[str, Any], held: dict[str, Any]) -> None:
    """Says what was taken away."""
    os.write(wanted["report"], (json.dumps(held) + "\n").encode())


def started(wanted: dict[str, Any], held: dict[str, Any]) -> int:
    """Starts the program from the first process of a namespace."""
    library().prctl(DIE_WITH_PARENT, signal.SIGKILL)
    counted = held["count"] or written("/proc/sys/kernel/pid_max", FEWEST)
    tell(wanted, {**held, "count": counted, "files": read_only_but(wanted["folder"])})
    program = os.fork()
    if not program:
        leave(lambda: execute(wanted))
    return program


def leave(work: Callable[[], int]) -> None:
    """Does the work of a forked process, and ends it whatever happens."""
    status = 1
    try:
        status = work()
    finally:
        os._exit(status)


def execute(wanted: dict[str, Any]) -> int:
    """Becomes the program."""
    os.setsid()
    os.chdir(wanted["folder"])
    if sys.platform == "linux":
        library().prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    for name, most in wanted["limits"].items():
        kind = getattr(resource, name, None)
        if kind is not None:
            hard = resource.getrlimit(kind)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            last = most + 1 if name == "RLIMIT_CPU" and hard in (resource.RLIM_INFINITY, most + 1) else most
            resource.setrlimit(kind, (most, last))  # a program is told that its time is out before it is killed
    os.set_inheritable(wanted["report"], True)
    os.execv(sys.executable, [sys.executable, "-I", "-B", wanted["program"]])


def waited(process: int) -> int:
    """How a process ended, as a shell tells it: 128 and the signal where one ended it."""
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return code if code >= 0 else 128 - code


def library() -> Any:
    """The C library."""
    return ctypes.CDLL(None, use_errno=True)


def confined(folder: str) -> dict[str, Any]:
    """Takes away the network and the sight of other processes, where that can be; says what is held by now."""
    held = {"network": False, "processes": False, "files": False, "count": True}
    if sys.platform != "linux":
        return held
    dropped = os.geteuid() != 0 or dropped_to_nobody(folder)
    user, group = os.geteuid(), os.getegid()
    if library().unshare(NEW_USER | NEW_NETWORK | NEW_PROCESSES | NEW_IPC | NEW_MOUNTS):
        return {**held, "count": dropped}
    for name, text in (("setgroups", "deny"), ("uid_map", f"{NOBODY} {user} 1"), ("gid_map", f"{NOBODY} {group} 1")):
        written(f"/proc/self/{name}", text)
    return {"network": True, "processes": True, "files": False, "count": dropped}


def dropped_to_nobody(folder: str) -> bool:
    """Where root runs programs, whose processes no limit counts: goes on as nobody, if nobody may read Python."""
    own = Path(folder)
    needed = (Path(sys.executable).resolve(), Path(os.__file__).resolve(), Path(sys.prefix), own)
    above = {parent for path in needed for parent in path.parents}
    if not all(path.stat().st_mode & 0o001 for path in above):
        return False
    for path in (*own.iterdir(), own):
        os.chown(path, NOBODY, NOBODY)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    library().prctl(DUMPABLE, 1, 0, 0, 0)  # else /proc/self stays root's, and the namespace cannot be given its users
    return True


def written(path: str, text: str) -> bool:
    """Writes a setting of the kernel; says whether it took it."""
    try:
        with Path(path).open("wb", buffering=0) as file:
            file.write(text.encode())
    except OSError:
        return False
    return True


def read_only_but(folder: str) -> bool:
    """Makes all that is mounted read-only, the folder aside; says whether that could be done."""
    own, root = os.fsencode(folder), b"/"
    libc = library()
    if libc.mount(None, root, None, RECURSIVE | PRIVATE, None) or libc.mount(own, own, None, BIND, None):
        return False
    return not (remounted(root, ALL_BELOW, READ_ONLY, 0) or remounted(own, 0, 0, READ_ONLY))


def remounted(path: bytes, flags: int, set_: int, clear: int) -> int:
    """mount_setattr(2): 0 where it worked."""
    attributes = (ctypes.c_uint64 * 4)(set_, clear, 0, 0)
    return library().syscall(MOUNT_SETATTR, HERE, path, flags, attributes, ctypes.sizeof(attributes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
