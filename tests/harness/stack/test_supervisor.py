"""Is nothing left behind, however a run ends?

Each test has a run of its own: RUN, a program that starts toys under a supervisor and then waits. All of its processes
have the test's folder on their command line, which is how the survivors are found.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from perfgate.stack.supervision import Supervisor
from perfgate.stack.supervisor import END_DEADLINE_S, END_GRACE_S
from tests.harness.stack.conftest import (
    DOUBLE_FORKER,
    IGNORES_SIGTERM,
    PARENT_OF_A_SESSION,
    PATIENCE_S,
    SLEEP,
    eventually,
    pids_with_argument,
)

pytestmark = pytest.mark.slow

#: What is promised to users.
GONE_WITHIN_S: Final = 5.0

RUN: Final = """
import sys, time
from pathlib import Path
from perfgate.stack.supervision import Supervisor
folder, *toys = sys.argv[1:]
with Supervisor(Path(folder)) as supervisor:
    for number, toy in enumerate(toys):
        log_path = supervisor.run_dir / str(number)
        supervisor.start([sys.executable, "-c", toy, folder], env={}, cwd=supervisor.run_dir, log_path=log_path)
    while not all((supervisor.run_dir / str(number)).read_text() for number in range(len(toys))):
        time.sleep(0.01)
    print(supervisor.pid, flush=True)
    sys.stdin.read()
"""
TOYS: Final = (SLEEP, IGNORES_SIGTERM, DOUBLE_FORKER, PARENT_OF_A_SESSION)
#: The run, its supervisor, a toy each, and the child of both that fork.
FORKED_BY_TOYS: Final = 2
PROCESSES: Final = 2 + len(TOYS) + FORKED_BY_TOYS


class Run:
    """RUN with all toys up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(folder), *TOYS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )
        assert self.process.stdout is not None
        self.supervisor_pid = int(self.process.stdout.readline())

    def run_folders(self) -> list[Path]:
        return list(self.folder.iterdir())

    def everything_is_gone(self) -> bool:
        return not pids_with_argument(str(self.folder)) and not self.run_folders()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    with run.process:
        yield run
        for pid in pids_with_argument(str(tmp_path)):
            os.kill(pid, signal.SIGKILL)


def normal_end(run: Run) -> None:
    assert run.process.stdin is not None
    run.process.stdin.close()


def kill_9(run: Run) -> None:
    run.process.kill()


def sigterm(run: Run) -> None:
    run.process.terminate()


def ctrl_c(run: Run) -> None:
    """As a terminal does it: to the whole foreground process group."""
    os.killpg(run.process.pid, signal.SIGINT)


@pytest.mark.parametrize("end", [normal_end, kill_9, sigterm, ctrl_c])
def test_no_process_and_no_folder_remains_after(end: Callable[[Run], None], run: Run) -> None:
    # DOUBLE_FORKER may say that it is up before the process between it and its first one has ended.
    assert eventually(lambda: len(pids_with_argument(str(run.folder))) == PROCESSES)
    assert len(run.run_folders()) == 1
    end(run)
    run.process.wait(PATIENCE_S)
    assert eventually(run.everything_is_gone, GONE_WITHIN_S)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_to_the_supervisor_makes_it_clean_up_before_it_ends(number: signal.Signals, run: Run) -> None:
    os.kill(run.supervisor_pid, number)
    assert eventually(lambda: pids_with_argument(str(run.folder)) == {run.process.pid}, GONE_WITHIN_S)
    assert run.run_folders() == []


def test_a_second_signal_does_not_stop_the_cleaning_up(run: Run) -> None:
    """IGNORES_SIGTERM holds it up for the whole of END_GRACE_S."""
    for _ in range(3):
        os.kill(run.supervisor_pid, signal.SIGTERM)
    assert eventually(lambda: pids_with_argument(str(run.folder)) == {run.process.pid}, GONE_WITHIN_S)
    assert run.run_folders() == []


def test_a_killed_supervisor_takes_its_services_along_and_the_run_ends_what_they_forked(run: Run) -> None:
    os.kill(run.supervisor_pid, signal.SIGKILL)
    assert eventually(lambda: len(pids_with_argument(str(run.folder))) == 1 + FORKED_BY_TOYS)
    normal_end(run)
    run.process.wait(PATIENCE_S)
    assert eventually(run.everything_is_gone, GONE_WITHIN_S)


def test_when_both_are_killed_the_next_start_ends_what_services_forked_and_nobody_else(run: Run) -> None:
    (folder,) = run.run_folders()
    stranger = subprocess.Popen([sys.executable, "-c", SLEEP, str(run.folder)], cwd=folder, stdout=subprocess.DEVNULL)
    with stranger, Supervisor(run.folder) as living:
        log_path = living.run_dir / "log"
        neighbour = living.start(
            [sys.executable, "-c", SLEEP, str(run.folder)], env={}, cwd=living.run_dir, log_path=log_path
        )
        others = {stranger.pid, living.pid, neighbour.pid}
        assert eventually(lambda: len(pids_with_argument(str(run.folder)) - others) == PROCESSES)

        os.kill(run.supervisor_pid, signal.SIGKILL)
        assert eventually(lambda: len(pids_with_argument(str(run.folder)) - others) == 1 + FORKED_BY_TOYS)
        with Supervisor(run.folder):
            pass  # the run lives, and will tidy up itself
        assert len(pids_with_argument(str(run.folder)) - others) == 1 + FORKED_BY_TOYS

        run.process.kill()
        run.process.wait(PATIENCE_S)
        assert len(pids_with_argument(str(run.folder)) - others) == FORKED_BY_TOYS
        assert folder.exists()
        with Supervisor(run.folder) as following:
            assert eventually(lambda: pids_with_argument(str(run.folder)) - {following.pid} == others)
            assert set(run.run_folders()) == {living.run_dir, following.run_dir}
        assert (stranger.poll(), neighbour.exit_status) == (None, None)
        stranger.kill()


def test_the_end_fits_into_what_is_promised() -> None:
    assert END_GRACE_S < END_DEADLINE_S < GONE_WITHIN_S
