"""Who may use a thing that several runs on one host share: file locks, shared or exclusive.

Comes in: the path of a lock file and how long to wait. Goes out: the lock, held for as long as the context is open.
Locks are flock's: the kernel drops them when their process ends, however it ends. Imports nothing of ours.

The file stays behind, empty. To delete it would let two processes lock two different files of one name.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

#: How often a wait with a deadline looks again; flock itself knows no deadline.
POLL_S: Final = 0.05


class LockBusy(TimeoutError):
    """Somebody else held the lock until the deadline."""

    def __init__(self, what: str, waited_s: float) -> None:
        self.what = what
        self.waited_s = waited_s
        super().__init__(f"another run still holds {what} after {waited_s:g} s")


def _silent(_: str) -> None:
    pass


@contextmanager
def shared(
    path: Path, what: str, *, timeout_s: float | None = None, on_wait: Callable[[str], None] = _silent
) -> Iterator[None]:
    """Hold the lock together with other holders of a shared lock, and with no holder of an exclusive one.

    Args:
        path: the lock file; made when it is missing, its folder is not.
        what: what the lock protects, in the user's words: `the environment of litellm 1.79.3`.
        timeout_s: the longest wait; 0 does not wait at all, None waits for ever.
        on_wait: called once, before a wait begins, with "waiting for another run (process 4242), which holds …".

    Raises:
        LockBusy: not obtained within `timeout_s`.
    """
    with _held(path, what, fcntl.LOCK_SH, timeout_s, on_wait):
        yield


@contextmanager
def exclusive(
    path: Path, what: str, *, timeout_s: float | None = None, on_wait: Callable[[str], None] = _silent
) -> Iterator[None]:
    """Hold the lock alone; arguments and errors are those of `shared`."""
    with _held(path, what, fcntl.LOCK_EX, timeout_s, on_wait):
        yield


@contextmanager
def _held(path: Path, what: str, kind: int, timeout_s: float | None, on_wait: Callable[[str], None]) -> Iterator[None]:
    if timeout_s is not None and timeout_s < 0:
        raise ValueError(f"timeout_s={timeout_s} must not be negative")
    # Close-on-exec, or a service started meanwhile would go on holding the lock after us. (Python's open does the
    # same; said here since everything depends on it.)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not try_lock(descriptor, kind):
            if timeout_s != 0:
                pids = ", ".join(map(str, holder_pids(descriptor)))
                on_wait(f"waiting for another run{f' (process {pids})' if pids else ''}, which holds {what}")
            _wait(descriptor, kind, what, timeout_s)
        yield
    finally:
        os.close(descriptor)


def try_lock(descriptor: int, kind: int) -> bool:
    """Take the lock of an open file if that can be done at once.

    Args:
        descriptor: the file; closing it gives the lock back.
        kind: fcntl.LOCK_SH or fcntl.LOCK_EX.

    Returns:
        Whether it is held now.
    """
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(descriptor: int, kind: int, what: str, timeout_s: float | None) -> None:
    if timeout_s is None:
        fcntl.flock(descriptor, kind)
        return
    deadline_mono_s = time.monotonic() + timeout_s
    while not try_lock(descriptor, kind):
        left_s = deadline_mono_s - time.monotonic()
        if left_s <= 0:
            raise LockBusy(what, timeout_s)
        time.sleep(min(POLL_S, left_s))


def holder_pids(descriptor: int) -> tuple[int, ...]:
    """Who holds a lock on an open file, as the kernel tells; empty where it does not, as on network file systems."""
    inode = f":{os.fstat(descriptor).st_ino}"
    try:
        # 12: FLOCK  ADVISORY  WRITE 4242 fe:00:1835041 0 EOF; a waiting process has "->" for its second field.
        rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        return ()
    pids = {int(row[4]) for row in rows if row[1] == "FLOCK" and row[5].endswith(inode)}
    return tuple(sorted(pid for pid in pids if pid > 0))
