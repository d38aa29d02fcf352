"""Is py-spy started, ended and read as it should be, and is it said what is wrong when it cannot be?

A program of a few lines stands in for py-spy; the real one is asked at the end, on a toy that burns CPU.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psutil
import pytest

from perfgate.errors import BadInput, StackFailed
from perfgate.stack.supervision import Process, Supervisor
from perfgate.why import profiler as profiler_module
from perfgate.why.folded import merged, own, threads_of, with_callees
from perfgate.why.profiler import Profiler, PtraceRefused, Recording, program_path
from tests.harness.stack.conftest import PATIENCE_S, eventually, pids_with_argument

pytestmark = pytest.mark.slow

#: Says and does what py-spy does; what goes wrong is put in its place.
PY_SPY: Final = """#!{python}
import signal, sys, time
words, how = sys.argv, "{how}"
output, pid = words[words.index("--output") + 1], words[words.index("--pid") + 1]
if how == "refused":
    sys.exit("Error: Failed to open process\\nReason: Permission denied (os error 13)")
if how == "broken":
    sys.exit("Error: No python processes found")
def end(*_):
    if how == "writes nothing":
        sys.exit(3)
    with open(output, "w") as file:
        file.write("main (app.py);p" + pid + " (app.py) 3\\n")
    print("\\npy-spy> Stopped sampling because Control-C pressed", flush=True)
    print("py-spy> Wrote raw flamegraph data to '" + output + "'. Samples: 3 Errors: 2", flush=True)
    sys.exit(0)
signal.signal(signal.SIGINT, end)
print("py-spy> Sampling process 200 times a second. Press Control-C to exit.", flush=True)
if how == "late":
    for seconds in ("1.50", "2.25", "1.75"):
        print("py-spy> " + seconds + "s behind in sampling, results may be inaccurate. Try reducing the sampling rate")
    sys.stdout.flush()
if how == "ends":
    sys.exit(0)
time.sleep(9999)
"""
#: Works in `hot` for as long as it lives, which `main` calls; a second thread has nothing to do.
BURNS: Final = """
import threading, time
def hot():
    while True:
        pass
def main():
    hot()
def idle():
    time.sleep(9999)
threading.Thread(target=idle, daemon=True).start()
print("up", flush=True)
main()
"""
#: Has a process recorded, says so, and waits.
RECORDS: Final = """
import sys
from pathlib import Path
from perfgate.stack.supervision import Supervisor
from perfgate.why.profiler import Profiler
folder, program = sys.argv[1:]
with Supervisor(Path(folder)) as supervisor:
    with Profiler(supervisor, Path(program)).recording([1, 2]):
        print("recording", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """One whose run folder is within the test's."""
    with Supervisor(tmp_path) as supervisor:
        yield supervisor


@pytest.fixture
def py_spy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes the program."""

    def make(how: str = "") -> Path:
        path = tmp_path_factory.mktemp("bin") / "py-spy"
        path.write_text(PY_SPY.format(python=sys.executable, how=how))
        path.chmod(0o700)
        return path

    return make


def children(supervisor: Supervisor) -> list[psutil.Process]:
    return psutil.Process(supervisor.pid).children()


def test_each_process_is_sampled_by_one_of_its_own_until_the_context_ends(
    supervisor: Supervisor, py_spy: Callable[[str], Path]
) -> None:
    with Profiler(supervisor, py_spy("")).recording([11, 12]) as recording:
        commands = [child.cmdline() for child in children(supervisor)]
        assert sorted(command[command.index("--pid") + 1] for command in commands) == ["11", "12"]
        with pytest.raises(ValueError, match="before its context has ended"):
            _ = recording.recorded
    assert children(supervisor) == []
    recorded = recording.recorded
    assert sorted(recorded.folded.splitlines()) == ["main (app.py);p11 (app.py) 3", "main (app.py);p12 (app.py) 3"]
    assert (recorded.errors, recorded.behind_s) == (4, 0.0)
    assert [path.name for path in supervisor.run_dir.glob("py-spy*")] == [], "a run has many windows"


def test_what_is_asked_of_it_stands_on_its_command_line(supervisor: Supervisor) -> None:
    words = Profiler(supervisor, Path("/bin/py-spy"), rate_hz=99).argv(7, Path("/run/out"))
    assert words[:2] == ["/bin/py-spy", "record"]
    for option, value in (("--pid", "7"), ("--output", "/run/out"), ("--format", "raw"), ("--rate", "99")):
        assert words[words.index(option) + 1] == value
    assert {"--nolineno", "--full-filenames", "--threads", "--nonblocking"} <= set(words)
    assert not {"--idle", "--native", "--gil", "--subprocesses"} & set(words)
    with pytest.raises(ValueError, match="rate_hz=0 must be at least 1"):
        Profiler(supervisor, Path("/bin/py-spy"), rate_hz=0)


def test_it_keeps_to_its_cores(supervisor: Supervisor, py_spy: Callable[[str], Path]) -> None:
    core = min(os.sched_getaffinity(0))
    with Profiler(supervisor, py_spy(""), cpus=[core]).recording([11]):
        (child,) = children(supervisor)
        assert os.sched_getaffinity(child.pid) == {core}


def test_by_how_much_it_was_late_at_the_most_is_known(supervisor: Supervisor, py_spy: Callable[[str], Path]) -> None:
    with Profiler(supervisor, py_spy("late")).recording([11]) as recording:
        pass
    assert recording.recorded.behind_s == 2.25


@pytest.mark.parametrize("at", ["check", "recording"])
def test_where_ptrace_is_refused_it_is_said_with_what_helps(
    at: str, supervisor: Supervisor, py_spy: Callable[[str], Path]
) -> None:
    profiler = Profiler(supervisor, py_spy("refused"))

    def record() -> None:
        with profiler.recording([11]):
            pytest.fail("it was not refused")

    with pytest.raises(PtraceRefused) as refused:
        {"check": profiler.check, "recording": record}[at]()
    said = str(refused.value)
    for words in ("as root", "sysctl kernel.yama.ptrace_scope=0", "--cap-add SYS_PTRACE"):
        assert words in said
    assert "py-spy says  Error: Failed to open process Reason: Permission denied (os error 13)" in said
    assert children(supervisor) == []


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ("broken", "process 11, ended before its first sample\n  py-spy says  Error: No python processes found"),
        ("writes nothing", "process 11, ended with status 3 and wrote nothing"),
    ],
)
def test_what_else_goes_wrong_is_an_error_with_its_last_words(
    how: str, complaint: str, supervisor: Supervisor, py_spy: Callable[[str], Path]
) -> None:
    with pytest.raises(StackFailed) as failed, Profiler(supervisor, py_spy(how)).recording([11]):
        pass
    assert complaint in str(failed.value)
    assert children(supervisor) == []


def test_one_that_ends_by_itself_is_noticed(supervisor: Supervisor, py_spy: Callable[[str], Path]) -> None:
    recording = Profiler(supervisor, py_spy("ends")).recording([11])
    with pytest.raises(StackFailed, match="process 11, ended by itself"), recording:
        assert eventually(lambda: not children(supervisor))


def test_one_that_never_samples_is_given_up(
    supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiler_module, "ATTACH_DEADLINE_S", 0.2)
    program = tmp_path_factory.mktemp("bin") / "py-spy"
    program.write_text("#!/bin/sh\nexec sleep 9999\n")
    program.chmod(0o700)
    recording = Profiler(supervisor, program).recording([11])
    with pytest.raises(StackFailed, match=r"has taken no sample after 0\.2 s\n  py-spy says  nothing"), recording:
        pytest.fail("it took a sample")
    assert children(supervisor) == []


def test_an_error_meanwhile_ends_it_and_is_the_one_that_is_told(
    supervisor: Supervisor, py_spy: Callable[[str], Path]
) -> None:
    kept: list[Recording] = []

    def interrupted() -> None:
        with Profiler(supervisor, py_spy("")).recording([11]) as recording:
            kept.append(recording)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert children(supervisor) == []
    with pytest.raises(ValueError, match="an error ended it"):
        _ = kept[0].recorded


def test_a_check_that_succeeds_leaves_nothing_running(supervisor: Supervisor, py_spy: Callable[[str], Path]) -> None:
    Profiler(supervisor, py_spy("")).check()
    assert children(supervisor) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_profiler_outlives_the_run(number: signal.Signals, tmp_path: Path, py_spy: Callable[[str], Path]) -> None:
    argv = [sys.executable, "-c", RECORDS, str(tmp_path), str(py_spy(""))]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, process_group=0
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"recording\n"
        # The run, its supervisor and two profilers.
        assert len(pids_with_argument(str(tmp_path))) == 4
        run.send_signal(number)
        run.wait(PATIENCE_S)
        assert eventually(lambda: not pids_with_argument(str(tmp_path)) and not list(tmp_path.iterdir()))


def test_where_it_is_not_installed_it_is_said_how_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("perfgate.why.profiler.sysconfig.get_path", lambda name: str(tmp_path))
    with pytest.raises(BadInput, match=r"py-spy is not installed beside perfgate, in .*: `make venv` here"):
        program_path()
    (tmp_path / "py-spy").write_text("#!/bin/sh\n")
    (tmp_path / "py-spy").chmod(0o700)
    assert program_path() == tmp_path / "py-spy"


def burns(process: Process, seconds: float) -> bool:
    """Whether it still uses CPU, so much more."""
    used_s = psutil.Process(process.pid).cpu_times().user
    return eventually(lambda: psutil.Process(process.pid).cpu_times().user > used_s + seconds)


class TestRealPySpy:
    """On a process that a supervisor started; needs a kernel that lets us trace it."""

    @pytest.fixture
    def burner(self, supervisor: Supervisor) -> Process:
        """BURNS, which burns."""
        log_path = supervisor.run_dir / "log"
        argv = [sys.executable, "-c", BURNS]
        burner = supervisor.start(argv, env={}, cwd=supervisor.run_dir, log_path=log_path)
        assert eventually(lambda: "up" in log_path.read_text())
        return burner

    def profiler(self, supervisor: Supervisor) -> Profiler:
        profiler = Profiler(supervisor, program_path())
        try:
            profiler.check()
        except PtraceRefused as refused:
            pytest.skip(f"not run: {refused}")
        return profiler

    def test_a_process_goes_on_when_its_profiler_is_killed(self, supervisor: Supervisor, burner: Process) -> None:
        def kill_the_profiler() -> None:
            for child in children(supervisor):
                if child.pid != burner.pid:
                    child.kill()

        with pytest.raises(StackFailed), self.profiler(supervisor).recording([burner.pid]):
            kill_the_profiler()
        assert burns(burner, 0.1)

    def test_it_finds_the_function_that_burns(self, supervisor: Supervisor, burner: Process) -> None:
        with self.profiler(supervisor).recording([burner.pid]) as recording:
            assert burns(burner, 0.5)
        recorded = recording.recorded
        stacks = merged(threads_of(recorded.folded).values())
        own_samples = {function.name: samples for function, samples in own(stacks).items()}
        in_samples = {function.name: samples for function, samples in with_callees(stacks).items()}
        assert own_samples["hot"] >= 20, "of a hundred in half a second"
        assert own_samples["hot"] > 0.8 * sum(stacks.values())
        assert in_samples["main"] >= own_samples["hot"] * 0.9
        assert "idle" not in in_samples
        # Its first thread has all the CPU, and the samples are told to be that one's.
        assert recorded.thread_cpu_s[burner.pid] > 0.8 * sum(recorded.thread_cpu_s.values()) > 0
        assert burner.pid in threads_of(recorded.folded)
        assert burns(burner, 0.1), "it goes on when its profiler ends"
