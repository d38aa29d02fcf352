"""How is a program run to its end that must not outlive us?

Comes in: a command, its complete environment, what it reads, a deadline. Goes out: its status and what it wrote.
For tools that make something and end (uv, git); what goes on running is a service (supervision.py).
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

#: Runs a program that dies with the thread that started it: a kill of pytest leaves no half-way uv behind.
_DIE_WITH_US: Final = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv[1]):
    sys.exit("the process that wanted this is gone")
os.execvpe(sys.argv[2], sys.argv[2:], os.environ)
"""


def run_to_end(
    argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, deadline_s: float, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a program and wait for its end.

    Args:
        argv: the program, looked up in the PATH of `env`, and its arguments.
        env: its whole environment.
        cwd: where it runs.
        deadline_s: how long it may take.
        stdin: what it reads.

    Returns:
        Its status and its output as text; bytes that are not UTF-8 survive a way back through `os.fsencode`.

    Raises:
        subprocess.TimeoutExpired: it took longer, and was killed.
    """
    return subprocess.run(
        [sys.executable, "-I", "-c", _DIE_WITH_US, str(os.getpid()), *argv],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        env=env,
        cwd=cwd,
        timeout=deadline_s,
        check=False,
    )
