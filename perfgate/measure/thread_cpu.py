"""How much CPU has each thread of a process used?

Comes in: a PID. Goes out: seconds by thread id. Linux only; imports nothing of ours.

Read from /proc/PID/task/TID/schedstat, in nanoseconds; what a running thread has used since the last tick is not yet in
it. Threads that have ended are not there.
"""

from pathlib import Path


def thread_cpu_s(pid: int) -> dict[int, float]:
    """CPU of each living thread, in seconds; empty where there is no such process, or the kernel does not tell."""
    found = {}
    for path in Path(f"/proc/{pid}/task").glob("[0-9]*/schedstat"):
        try:
            found[int(path.parent.name)] = int(path.read_text(encoding="ascii").split()[0]) / 1e9
        except (OSError, ValueError, IndexError):
            continue  # it has ended in the meantime
    return found
