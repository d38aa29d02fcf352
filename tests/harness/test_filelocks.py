"""Do the locks keep out whom they must, and nobody else?

flock's locks belong to an open file, not to a process: two contexts of one process exclude each other like two runs.
"""

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import pytest

from perfgate.filelocks import LockBusy, exclusive, holder_pids, shared, try_lock

WHAT: Final = "the thing"
Lock = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def test_shared_locks_go_together(path: Path) -> None:
    with shared(path, WHAT), shared(path, WHAT, timeout_s=0):
        pass


@pytest.mark.parametrize(("held", "asked"), [(shared, exclusive), (exclusive, shared), (exclusive, exclusive)])
def test_an_exclusive_lock_goes_with_no_other(path: Path, held: Lock, asked: Lock) -> None:
    with held(path, WHAT):
        with pytest.raises(LockBusy) as caught, asked(path, WHAT, timeout_s=0):
            pass
        assert str(caught.value) == "another run still holds the thing after 0 s"
        assert (caught.value.what, caught.value.waited_s) == (WHAT, 0)
    with asked(path, WHAT, timeout_s=0):
        pass


def test_a_lock_is_given_back_after_an_error(path: Path) -> None:
    with pytest.raises(KeyError), exclusive(path, WHAT):
        raise KeyError
    with exclusive(path, WHAT, timeout_s=0):
        pass


def test_a_wait_that_is_too_long_ends_with_an_error_after_saying_whom_it_waits_for(path: Path) -> None:
    said: list[str] = []
    with exclusive(path, WHAT), pytest.raises(LockBusy, match=r"after 0\.1 s"):  # noqa: SIM117
        with shared(path, WHAT, timeout_s=0.1, on_wait=said.append):
            pass
    assert said == [f"waiting for another run (process {os.getpid()}), which holds the thing"]


def test_a_try_does_not_speak_of_waiting(path: Path) -> None:
    said: list[str] = []
    with exclusive(path, WHAT), pytest.raises(LockBusy), shared(path, WHAT, timeout_s=0, on_wait=said.append):
        pass
    assert said == []


@pytest.mark.parametrize("timeout_s", [None, 60])
def test_a_wait_ends_when_the_lock_is_free(path: Path, timeout_s: float | None) -> None:
    waiting, got_it = threading.Event(), threading.Event()

    def wait_for_it() -> None:
        with exclusive(path, WHAT, timeout_s=timeout_s, on_wait=lambda _: waiting.set()):
            got_it.set()

    waiter = threading.Thread(target=wait_for_it)
    with exclusive(path, WHAT):
        waiter.start()
        assert waiting.wait(30)
        assert not got_it.is_set()
    waiter.join(30)
    assert got_it.is_set()


def test_a_negative_timeout_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="timeout_s=-1 must not be negative"), shared(path, WHAT, timeout_s=-1):
        pass


def test_a_program_started_meanwhile_does_not_keep_the_lock(path: Path) -> None:
    with exclusive(path, WHAT):
        program = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    try:
        # Not at once: the kernel lets us go on a moment before it closes the new program's files.
        with exclusive(path, WHAT, timeout_s=30):
            pass
    finally:
        program.communicate()


def test_the_lock_of_a_killed_process_is_free(path: Path) -> None:
    program = "import sys; from pathlib import Path; from perfgate.filelocks import exclusive\n"
    program += "with exclusive(Path(sys.argv[1]), 'it'): print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LockBusy), shared(path, WHAT, timeout_s=0):
            pass
        holder.kill()
    with shared(path, WHAT, timeout_s=0):
        pass


def test_an_open_files_lock_can_be_tried_and_its_holder_named(path: Path) -> None:
    path.touch()
    with path.open() as file, path.open() as other:
        assert try_lock(file.fileno(), fcntl.LOCK_EX)
        assert not try_lock(other.fileno(), fcntl.LOCK_SH)
        assert holder_pids(other.fileno()) == (os.getpid(),)
    with path.open() as file:
        assert holder_pids(file.fileno()) == ()
        assert try_lock(file.fileno(), fcntl.LOCK_SH)
