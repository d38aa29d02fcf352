"""What has a run left on this host that was killed together with its supervisor?

Comes in: the folder that runs have their folders in. Goes out: nothing any more. The supervisor tidies up after a run
that is killed; but when both are, what services have forked lives on (PR_SET_PDEATHSIG reaches the services alone), and
the run's folder, which holds keys, stays. The next run to start ends and removes them.

A folder belongs to a dead run when nobody holds its lock: the run and its supervisor both do for as long as they live,
and the kernel takes it from whoever ends. A process belongs to that run when its environment says so, as that of all
that the run started does. Whatever else is there, or runs there, is left alone.
"""

import fcntl
import os
import re
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from perfgate.filelocks import try_lock
from perfgate.stack.supervisor import LOCK_FILE

#: In the environment of all that a run starts: the name of the run's folder, which no two runs have in common.
RUN_VARIABLE: Final = "PERFGATE_RUN"
#: How processes are given time to tidy up before they are killed: a database removes its shared memory.
GRACE_S: Final = 1.0
#: Given up after this: only a process stuck in the kernel survives SIGKILL for so long.
DEADLINE_S: Final = 4.0

_RUN_FOLDER: Final = re.compile(r"perfgate-[0-9a-f]{16}")


def sweep_dead_runs(parent_dir: Path) -> int:
    """End the processes of dead runs, and remove their folders.

    Args:
        parent_dir: that runs of this user have their folders in; what is another user's is left alone.

    Returns:
        How many runs.
    """
    count = 0
    for folder in parent_dir.glob("perfgate-*"):
        if not _RUN_FOLDER.fullmatch(folder.name):
            continue
        try:
            lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue  # no run's; or another user's; or another run has swept it
        try:
            if os.fstat(lock).st_uid == os.geteuid() and try_lock(lock, fcntl.LOCK_EX):
                remove_run_folder(folder)
                count += 1
        finally:
            os.close(lock)
    return count


def remove_run_folder(run_dir: Path) -> None:
    """Remove a run's folder, once all of the run's processes are ended: asked first, then killed."""
    number, deadline_mono_s = signal.SIGTERM, time.monotonic() + DEADLINE_S
    while (left := _processes_of(run_dir.name)) and time.monotonic() < deadline_mono_s:
        for process in left:
            with suppress(psutil.Error):  # it ended just now, and nobody is taken for it
                process.send_signal(number)
        psutil.wait_procs(left, timeout=GRACE_S)
        number = signal.SIGKILL
    shutil.rmtree(run_dir, ignore_errors=True)


def _processes_of(run: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has ended, or is another user's
            if process.environ().get(RUN_VARIABLE) == run:
                found.append(process)
    return found
