"""What does every process that sends load see to for itself, before anything else?

That it ends with whoever started it, that it may open a connection for every request in flight, which cores it and
those that it starts run on, and what it is called among others.
"""

import ctypes
import os
import resource
import signal
import socket
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Final

#: Files that are not connections of the load: pipes, timers, the event loop's own, and connections being closed.
FILES_RESERVED: Final = 200
_PR_SET_PDEATHSIG: Final = 1


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when the thread that started it ends.

    Args:
        parent_pid: of the process that should be the parent; when it is gone already, this one ends.

    Raises:
        OSError: the kernel refused.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:  # it died before the kernel knew
        sys.exit("the process that started the generator is gone")


def allow_open_files() -> int:
    """Allow this process as many open files as it may have; returns how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def name_of(pid: int) -> str:
    """What a process of this host is called among those of several hosts."""
    return f"{socket.gethostname()}/{pid}"


def boot_id() -> str:
    """Of this host's kernel since it was booted: processes that have the same one share CLOCK_MONOTONIC."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def keep_on(pid: int, cpus: Collection[int]) -> None:
    """Keep every thread of a process on these cores; does nothing when it has ended."""
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cpus)
    except (FileNotFoundError, ProcessLookupError):
        return
