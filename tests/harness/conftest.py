"""The harness' own tests among runs that measure: they go on only while nobody measures on this host.

Whole tests are held back, with the fixtures of their modules, before anything of theirs has a deadline.
Besides, what whole pytest runs need that judge made-up figures (synthetic.py), so that nothing is started.
"""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

import pytest
from hypothesis import settings

from perfgate.lease import VARIABLE, Lease
from perfgate.plugin import ProgressLine
from perfgate.record import Record, read
from perfgate.settings import OPTIONS
from tests.harness.forked_runs import ForkedRuns
from tests.harness.litellm_repository import LiteLLMRepository

# A time limit for each example would let a busy machine decide.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# A shell that starts this in the background has Ctrl-C ignored, and nohup a hang-up; so would have every process that a
# test means to end by it. With a handler of our own they start with the system's.
for _signal, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, _handler)

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
XDIST_VARIABLES: Final = ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID")
#: Where one of these is set, pytest's short summary repeats whole messages.
CI_VARIABLES: Final = ("CI", "BUILD_NUMBER")


THRESHOLDS: Final = """\
profiles:
  quick: {budget_minutes: 4, on_invalid: warn, scenarios: [overhead]}
scenarios:
  overhead:
    load: {offered_rps: 50, warm_up_s: 1, window_s: 4}
    rounds: {generations: 2, per_generation: 4, per_generation_max: 6}
    limits:
      overhead_p95_ms: {max: 25, why: "a reason"}
apparatus:
  {dispatch_lag_p99_ms: 2, sent_ratio_min: 0.98, generator_cpu_ratio_max: 0.8, direct_p95_above_mock_delay_ms: 5}
"""
#: Judges a measurement that is made up with these arguments.
TEST_FILE: Final = """\
import pytest
from tests.harness.synthetic import measurement
pytestmark = pytest.mark.scenario("overhead")

def test_overhead(limits):
    limits.check("overhead_p95_ms", measurement(%s))
"""
#: Measures, so that it needs a bench.
MEASURING: Final = """
    import pytest
    pytestmark = pytest.mark.scenario("overhead")
    def test_it(stack, rounds, limits):
        limits.check("overhead_p95_ms", rounds.run(stack.arms("direct", "gateway")))
"""
#: Far longer than anything here takes; only a test that fails waits for so long.
PATIENCE_S: Final = 120.0
#: Until a process that was asked something has done it; `eventually`.
EVENTUALLY_S: Final = 60.0
PLUGIN: Final = ("-p", "perfgate.plugin", "-p", "no:cacheprovider")


def make_project(pytester: pytest.Pytester, thresholds: str = THRESHOLDS, **files: str) -> None:
    """A folder with thresholds, and with test files by name."""
    pytester.makepyfile(**files)
    pytester.makeini(f"[pytest]\npythonpath = {ROOT}\nmarkers =\n  scenario(name): x\n")
    (pytester.path / "thresholds.yaml").write_text(thresholds)


def run_judging(
    pytester: pytest.Pytester, arguments: str, *options: str, thresholds: str = THRESHOLDS
) -> pytest.RunResult:
    """A whole run of TEST_FILE with arguments for `measurement`."""
    make_project(pytester, thresholds, test_overhead=TEST_FILE % arguments)
    return pytester.runpytest_subprocess(*PLUGIN, *options)


def the_record(pytester: pytest.Pytester) -> Record:
    """The one that a run has written."""
    (path,) = (pytester.path / ".perfgate/records").glob("*.json")
    return read(path)


@contextmanager
def a_run(folder: Path, *arguments: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """A pytest run in a folder, whose output is read as it comes; ended with the context."""
    command = [sys.executable, "-m", "pytest", *PLUGIN, *arguments]
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, **environ}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        # Whatever goes wrong, neither it nor the test hangs.
        watchdog = threading.Timer(PATIENCE_S, run.kill)
        watchdog.start()
        try:
            yield run
        finally:
            watchdog.cancel()
            run.kill()


def read_until(run: subprocess.Popen[str], text: str) -> str:
    """The first line of a run that holds the text."""
    assert run.stdout is not None
    seen = []
    for line in run.stdout:
        if text in line:
            return line
        seen.append(line)
    raise AssertionError(f"the run ended without {text!r}:\n{''.join(seen)}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Hold a shared lease around a test's fixtures, call and teardown; perf tests take theirs themselves."""
    if not item.path.is_relative_to(HERE):
        return (yield)
    with Lease.of_user(os.environ).shared(f"testing {item.nodeid}", ProgressLine(item.config).say):
        return (yield)


@pytest.fixture(scope="session")
def forked_runs() -> Iterator[ForkedRuns]:
    """Starts whole runs of pytest and of perfgate that do not wait for their imports."""
    with ForkedRuns() as runs:
        yield runs


@dataclass(frozen=True, slots=True)
class _Forked:
    """What `Pytester.run` does with a process that it has started."""

    runs: ForkedRuns
    command: Sequence[str]
    stdout: TextIO
    stderr: TextIO
    stdin: None = None

    def wait(self) -> int:
        """As `subprocess.Popen.wait`."""
        program, module, *arguments = self.command
        assert (program, module) == (sys.executable, "-mpytest")
        folder = Path.cwd()
        search_path = filter(None, [str(folder), os.environ.get("PYTHONPATH")])
        return self.runs.run(
            "pytest",
            arguments,
            folder=folder,
            environ={**os.environ, "PYTHONPATH": os.pathsep.join(search_path)},
            stdout=Path(self.stdout.name),
            stderr=Path(self.stderr.name),
        )


@pytest.fixture
def pytester(pytester: pytest.Pytester, forked_runs: ForkedRuns, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """As pytest's own; what `runpytest_subprocess` starts is forked."""

    def popen(command: Sequence[str], stdout: TextIO, stderr: TextIO, **_: Any) -> _Forked:
        return _Forked(forked_runs, command, stdout, stderr)

    monkeypatch.setattr(pytester, "popen", popen)
    return pytester


@pytest.fixture(scope="session")
def _lease_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One name after the other, for a folder that is made by whoever needs it.

    Thousands of folders of `mktemp` would have each of them look through all before it.
    """
    return (tmp_path_factory.getbasetemp() / "leases" / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _apart_from_this_run(monkeypatch: pytest.MonkeyPatch, _lease_folders: Iterator[Path]) -> None:
    """What a test starts knows nothing of the run that it is part of.

    Its lease is its own, or it would wait for this test, which waits for it. Options of this run are not meant for it,
    and pytest-benchmark takes an inherited PYTEST_XDIST_WORKER for a reason not to measure.
    """
    for name in (*(option.variable for option in OPTIONS), *XDIST_VARIABLES, *CI_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    # Whole runs that a test starts are the same on hosts with and without an engine.
    monkeypatch.setenv("PERFGATE_STACK", "processes")
    monkeypatch.setenv(VARIABLE, str(next(_lease_folders)))


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Asks again and again, each time by a real request, until it is so."""

    def wait(is_so: Callable[[], bool]) -> None:
        deadline_mono_s = time.monotonic() + EVENTUALLY_S
        while not is_so():
            assert time.monotonic() < deadline_mono_s, "it never came to be so"
            time.sleep(0.01)  # what is waited for needs the core, too

    return wait


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LiteLLMRepository:
    """One that the settings of whoever runs the tests cannot touch."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return LiteLLMRepository(tmp_path / "litellm-repository")
