"""Does a program get what it asks the supervisor for, and are told apart what went wrong?"""

import os
import secrets
import signal
import stat
import sys
import tempfile
import threading
from pathlib import Path
from typing import Final

import pytest

from perfgate.errors import StackFailed
from perfgate.stack import supervision
from perfgate.stack.dead_runs import RUN_VARIABLE
from perfgate.stack.supervision import Process, Supervisor, ended
from tests.harness.stack.conftest import (
    EXIT_TRUE,
    IGNORES_SIGTERM,
    PARENT_OF_A_SESSION,
    PATIENCE_S,
    SLEEP,
    eventually,
    pids_with_argument,
)

SHOW_SURROUNDINGS: Final = "import os; print(sorted(os.environ.items()), os.getcwd(), os.read(0, 1), os.umask(0))"


def start(supervisor: Supervisor, program: str, *arguments: str, **options: object) -> Process:
    """A toy; its log is named after it."""
    given: dict[str, object] = {
        "env": {},
        "cwd": supervisor.run_dir,
        "log_path": supervisor.run_dir / f"{abs(hash(program))}.log",
    }
    argv = [sys.executable, "-c", program, *arguments]
    return supervisor.start(argv, **(given | options))  # type: ignore[arg-type]


def test_a_process_sees_its_environment_its_run_its_folder_and_nothing_else(supervisor: Supervisor) -> None:
    # LC_CTYPE is Python's own doing, in a C locale.
    env = {"A": "1", "LC_CTYPE": "C.UTF-8"}
    process = start(supervisor, SHOW_SURROUNDINGS, env=env)
    assert process.wait(PATIENCE_S) == 0
    seen = env | {RUN_VARIABLE: supervisor.run_dir.name}
    expected = f"{sorted(seen.items())} {supervisor.run_dir} b'' {0o077}"
    assert process.log_tail() == (expected,)


def test_output_and_errors_are_appended_to_the_log(supervisor: Supervisor) -> None:
    log_path = supervisor.run_dir / "log"
    log_path.write_text("before\n")
    program = "import sys; print('out', flush=True); print('err', file=sys.stderr)"
    start(supervisor, program, log_path=log_path).wait(PATIENCE_S)
    assert log_path.read_text() == "before\nout\nerr\n"


def test_the_log_tail_has_as_many_lines_as_asked_for(supervisor: Supervisor) -> None:
    process = start(supervisor, "print(*range(100), sep='\\n')")
    process.wait(PATIENCE_S)
    assert process.log_tail(2) == ("98", "99")
    assert len(process.log_tail()) == 20


def test_a_process_keeps_to_its_cores(supervisor: Supervisor) -> None:
    core = max(os.sched_getaffinity(0))
    pinned, free = start(supervisor, SLEEP, cpus=[core]), start(supervisor, SLEEP)
    assert os.sched_getaffinity(pinned.pid) == {core}
    assert os.sched_getaffinity(free.pid) == os.sched_getaffinity(0)


def test_the_environment_is_on_no_command_line(supervisor: Supervisor) -> None:
    secret = secrets.token_hex(16)
    process = start(supervisor, SLEEP, env={"KEY": secret})
    assert secret in Path(f"/proc/{process.pid}/environ").read_text()
    assert pids_with_argument(secret) == set()


def test_the_run_folder_is_for_us_alone(supervisor: Supervisor) -> None:
    assert stat.S_IMODE(supervisor.run_dir.stat().st_mode) == 0o700


def test_the_run_folder_is_a_temporary_one_by_default() -> None:
    assert Supervisor().run_dir.parent == Path(tempfile.gettempdir())


def test_how_a_process_ended_is_known(supervisor: Supervisor) -> None:
    true, failing, sleeping = (start(supervisor, program) for program in (EXIT_TRUE, "raise SystemExit(7)", SLEEP))
    assert (true.wait(PATIENCE_S), failing.wait(PATIENCE_S)) == (0, 7)
    assert (sleeping.exit_status, sleeping.wait(0)) == (None, None)
    os.kill(sleeping.pid, signal.SIGKILL)
    assert sleeping.wait(PATIENCE_S) == -9
    assert repr(failing) == f"<Process {failing.pid}, ended with status 7>"


def test_a_running_process_says_so(supervisor: Supervisor) -> None:
    process = start(supervisor, SLEEP)
    assert repr(process) == f"<Process {process.pid}, running>"


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, "ended with status 0"), (-9, "was killed by signal 9 (SIGKILL)"), (-40, "was killed by signal 40 (no name)")],
)
def test_an_end_has_words(status: int, words: str) -> None:
    assert ended(status) == words


def test_stopping_asks_first(supervisor: Supervisor) -> None:
    process = start(supervisor, SLEEP)
    process.stop(grace_s=PATIENCE_S)
    assert process.exit_status == -signal.SIGTERM


def test_who_does_not_listen_is_killed_when_the_grace_is_over(supervisor: Supervisor) -> None:
    process = start(supervisor, IGNORES_SIGTERM)
    assert eventually(lambda: process.log_tail() == ("up",))
    process.stop(grace_s=0.05)
    assert process.exit_status == -signal.SIGKILL


def test_one_that_listens_is_not_kept_waiting_by_one_that_does_not(supervisor: Supervisor) -> None:
    deaf, listening = start(supervisor, IGNORES_SIGTERM), start(supervisor, SLEEP)
    assert eventually(lambda: deaf.log_tail() == ("up",))
    stopper = threading.Thread(target=supervisor.stop, args=[[deaf, listening]], kwargs={"grace_s": PATIENCE_S})
    stopper.start()
    assert listening.wait(PATIENCE_S / 2) == -signal.SIGTERM
    assert deaf.exit_status is None
    os.kill(deaf.pid, signal.SIGKILL)
    stopper.join(PATIENCE_S)
    assert not stopper.is_alive()


def test_a_supervisor_that_hangs_is_an_error(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "START_DEADLINE_S", 0.1)
    os.kill(supervisor.pid, signal.SIGSTOP)
    words = rf"\(pid {supervisor.pid}\) was asked to start sh and has not done so after 0.1 s"
    try:
        with pytest.raises(StackFailed, match=words):
            supervisor.start(["sh"], env={}, cwd=supervisor.run_dir, log_path=supervisor.run_dir / "log")
    finally:
        os.kill(supervisor.pid, signal.SIGCONT)


def test_stopping_one_leaves_the_others_alone_and_may_be_done_twice(supervisor: Supervisor) -> None:
    stopped, other = start(supervisor, SLEEP), start(supervisor, SLEEP)
    stopped.stop()
    stopped.stop()
    assert other.exit_status is None


def test_stopping_ends_a_child_with_a_session_of_its_own(supervisor: Supervisor, tmp_path: Path) -> None:
    process = start(supervisor, PARENT_OF_A_SESSION, str(tmp_path / "mark"))
    assert eventually(lambda: process.log_tail() == ("up",))
    assert len(pids_with_argument(str(tmp_path / "mark"))) == 2
    process.stop()
    assert eventually(lambda: pids_with_argument(str(tmp_path / "mark")) == set())


@pytest.mark.parametrize(
    ("argv", "cpus", "reason"),
    [
        (["/no/such/program"], (), "/no/such/program cannot be started: .*No such file"),
        (["sh"], (100_000,), "sh cannot be started: core 100000 is not among the cores that this process may use"),
    ],
    ids=["no_program", "foreign_core"],
)
def test_what_cannot_be_started_says_why(
    supervisor: Supervisor, argv: list[str], cpus: tuple[int, ...], reason: str
) -> None:
    with pytest.raises(StackFailed, match=reason):
        supervisor.start(argv, env={}, cwd=supervisor.run_dir, log_path=supervisor.run_dir / "log", cpus=cpus)


def test_a_killed_supervisor_is_an_error_for_whoever_asks(supervisor: Supervisor) -> None:
    process = start(supervisor, SLEEP)
    os.kill(supervisor.pid, signal.SIGKILL)
    words = r"the supervisor of the run's processes was killed by signal 9 \(SIGKILL\), and they with it: something"
    with pytest.raises(StackFailed, match=words):
        process.wait(PATIENCE_S)
    with pytest.raises(StackFailed, match=words):
        start(supervisor, SLEEP)
    with pytest.raises(StackFailed, match=words):
        process.stop()


def test_a_folder_that_cannot_be_made_is_an_error_at_the_start(tmp_path: Path) -> None:
    words = "the supervisor of the run's processes ended with status 1, .*No such file or directory"
    with pytest.raises(StackFailed, match=words), Supervisor(tmp_path / "missing"):
        pass


def test_statuses_are_still_known_when_the_run_is_over(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        process = start(supervisor, SLEEP)
    assert process.exit_status == -signal.SIGTERM
    assert not supervisor.run_dir.exists()
