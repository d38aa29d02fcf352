"""Are processes kept on their cores, and told apart from those of other hosts?"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from perfgate.load.own_process import boot_id, keep_on, name_of


@pytest.mark.slow
def test_every_thread_of_a_process_is_kept_on_its_cores() -> None:
    program = (
        "import sys, threading; threading.Thread(target=threading.Event().wait, daemon=True).start(); "
        "print('up', flush=True); sys.stdin.read()"
    )
    core = max(os.sched_getaffinity(0))
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        keep_on(process.pid, {core})
        threads = [int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir()]
        assert len(threads) == 2
        assert [os.sched_getaffinity(thread) for thread in threads] == [{core}] * 2
        process.communicate()
    keep_on(process.pid, {core})  # it has ended


def test_a_process_is_named_by_its_host() -> None:
    assert name_of(77) == f"{socket.gethostname()}/77"


def test_two_processes_of_one_boot_know_that_they_are() -> None:
    assert boot_id() == boot_id()
    assert len(boot_id()) == 36
