"""Do exactly the runs count that are alike, and is only what lacks made, and ended in order?"""

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from perfgate import __version__
from perfgate.calibration_runs import Found, found_in, runs_of
from perfgate.errors import BadInput, StackFailed
from perfgate.measure.host import fingerprint
from perfgate.record import Record, RecordFile, ServiceRecord
from perfgate.record_entries import measurement_record
from perfgate.run import Asked
from perfgate.settings import settings_of
from tests.harness import synthetic
from tests.harness.conftest import PATIENCE_S, ROOT, THRESHOLDS, read_until
from tests.harness.test_limits_proposal import P50, a_run, judged

FOLDER = Path("records")


@pytest.fixture(autouse=True)
def _in_a_folder_with_thresholds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("thresholds.yaml").write_text(THRESHOLDS)


def asked_for(**options: str) -> Asked:
    texts = {"perfgate_record_dir": str(FOLDER)} | {f"perfgate_{name}": text for name, text in options.items()}
    return Asked.checked(settings_of(texts.get, os.environ), {})


def a_whole_run(**changes: Any) -> Record:
    """As a run that is asked for by `asked_for()` leaves it."""
    fields: dict[str, Any] = {
        "gateway": "litellm 1.106.2",
        "host": asdict(fingerprint()),
        "perfgate_version": __version__,
        "thresholds_sha256": hashlib.sha256(Path("thresholds.yaml").read_bytes()).hexdigest(),
    }
    return a_run(judged(P50, (8, 9, 10)), **{**fields, **changes})


def keep(name: str, **changes: Any) -> None:
    RecordFile(FOLDER / f"{name}-quick.json").write(a_whole_run(**changes))


@dataclass
class FakeRuns:
    """Makes runs as `made` does, but at once: each leaves a record and a code."""

    codes: list[int] = field(default_factory=list)
    changes: dict[str, Any] = field(default_factory=dict)
    commands: list[list[str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def make(self, command: Sequence[str]) -> int:
        self.commands.append(list(command))
        code = self.codes.pop(0) if self.codes else 0
        if code >= 0:
            keep(f"new{len(list(FOLDER.glob('*.json'))) + 1}", **{"exit_code": code, **self.changes})
        return code

    def runs(self, count: int, asked: Asked | None = None) -> tuple[Record, ...]:
        return runs_of(asked or asked_for(), count, ["tests/perf", "-x"], self.said.append, self.make)


# --- which runs count ---


def test_so_many_runs_are_made_each_with_a_seed_of_its_own() -> None:
    fake = FakeRuns(codes=[0, 1, 10])
    assert [run.exit_code for run in fake.runs(3)] == [0, 1, 10]
    assert all(
        command[:6] == [sys.executable, "-m", "pytest", "tests/perf", "-x", "--seed"] for command in fake.commands
    )
    assert len({command[6] for command in fake.commands}) == 3
    assert [said.partition(" --seed")[0] for said in fake.said] == [
        f"run {number} of 3: pytest tests/perf -x" for number in (1, 2, 3)
    ]


def test_runs_that_are_there_count_and_only_the_others_are_made() -> None:
    keep("b", started_utc="2026-01-01T21:00:00+00:00", seed=2)
    keep("c", started_utc="2026-01-01T20:00:00+00:00", seed=1)
    fake = FakeRuns(changes={"started_utc": "2026-01-02T00:00:00+00:00", "seed": 3})
    assert [run.seed for run in fake.runs(3)] == [1, 2, 3]
    assert len(fake.commands) == 1
    assert fake.said[0] == "runs that are in records already and count: 2"
    again = FakeRuns()
    assert len(again.runs(2)) == 3, "more than asked for: all of them count"
    assert again.commands == []


def test_what_else_lies_there_is_no_run() -> None:
    FOLDER.mkdir()
    (FOLDER / "noise.json").write_text("{}")
    (FOLDER / "notes.txt").write_text("x")
    assert found_in(FOLDER, asked_for()) == Found((), ())


def with_deps(deps: str) -> dict[str, Any]:
    gateway = synthetic.GATEWAY.gateway
    assert gateway is not None
    spec = replace(gateway, deps=deps)  # type: ignore[arg-type]
    arms = (synthetic.DIRECT, replace(synthetic.GATEWAY, gateway=spec))
    return {"measurements": [measurement_record(replace(synthetic.measurement(rounds=1), arms=arms))]}


def of_source(**facts: Any) -> dict[str, Any]:
    source = {"words": "litellm 1.106.2", "commit": None, "is_dirty": None, "content": None, **facts}
    return {"services": [ServiceRecord(name="x", facts={"source": source}), ServiceRecord(name="mock", facts={})]}


def host_with(**facts: Any) -> dict[str, Any]:
    return {"host": {**asdict(fingerprint()), **facts}}


CONTAINERS = {"why": "", "engine": None, "images": "official", "prisma_engine": "native", "backend": "containers"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"finished_utc": None}, "it broke off"),
        ({"exit_code": 2}, "it broke off"),
        ({"exit_code": None}, "it broke off"),
        ({"incomplete": ["latency did not run"]}, "it broke off"),
        ({"gateway": "litellm 1.79.3"}, "gateway litellm 1.79.3, not litellm 1.106.2"),
        (with_deps("today"), "dependencies today, not of-its-time"),
        ({"profile": "gate"}, "profile gate, not quick"),
        ({"scenarios": ["overhead", "latency"]}, "scenarios overhead, latency, not overhead"),
        ({"stack": CONTAINERS}, "backend containers, not processes"),
        ({"stack": CONTAINERS | {"backend": "processes", "images": "built"}}, "images built, not official"),
        (
            {"stack": CONTAINERS | {"backend": "processes", "prisma_engine": "wasm"}},
            "prisma_engine wasm, not native",
        ),
        ({"perfgate_version": "0.0.1"}, f"perfgate 0.0.1, not {__version__}"),
        (host_with(cpu_model="Other"), "host's cpu_model Other, not "),
        (host_with(kernel="1.0"), "host's kernel 1.0, not "),
        (of_source(content="abc"), "the source of its gateway was another one"),
        ({"thresholds_sha256": "0" * 64}, "thresholds.yaml has changed since, and there is no copy of it as it was"),
    ],
)
def test_a_run_that_is_not_alike_does_not_count_and_the_reason_is_said(changes: dict[str, Any], reason: str) -> None:
    keep("a", **changes)
    found = found_in(FOLDER, asked_for())
    assert found.runs == ()
    (said,) = found.others
    assert said.startswith(f"not counted: records/a-quick.json: {reason}")


@pytest.mark.parametrize(
    "changes",
    [{}, host_with(load_1m=9.0, cpu_pressure_avg10_percent=None), with_deps("of-its-time"), of_source(), {"seed": 99}],
    ids=["same", "another load on the host", "same dependencies", "same source", "another seed"],
)
def test_a_run_that_is_alike_counts(changes: dict[str, Any]) -> None:
    keep("a", **changes)
    assert len(found_in(FOLDER, asked_for()).runs) == 1


def test_a_file_that_is_no_record_is_said_to_be_none() -> None:
    FOLDER.mkdir()
    (FOLDER / "a.json").write_text("no")
    (said,) = found_in(FOLDER, asked_for()).others
    assert said.startswith("not counted: records/a.json is not a record of perfgate: it is not JSON: ")


CHANGED_LOAD = "load or rounds of overhead have changed in thresholds.yaml since"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("max: 25", "max: 9", None),
        ("a reason", "another", None),
        ("budget_minutes: 4", "budget_minutes: 9", None),
        ("offered_rps: 50", "offered_rps: 40", CHANGED_LOAD),
        ("per_generation_max: 6", "per_generation_max: 8", CHANGED_LOAD),
        ("sent_ratio_min: 0.98", "sent_ratio_min: 0.9", "the apparatus' limits of thresholds.yaml have changed since"),
    ],
)
def test_runs_count_as_long_as_what_is_measured_has_not_changed(old: str, new: str, reason: str | None) -> None:
    """The copy that stands beside them says how it was."""
    FakeRuns().runs(1)
    text = Path("thresholds.yaml").read_text()
    Path("thresholds.yaml").write_text(text.replace(old, new))
    found = found_in(FOLDER, asked_for())
    assert found.others == (() if reason is None else (f"not counted: records/new1-quick.json: {reason}",))
    assert len(found.runs) == (1 if reason is None else 0)


def test_a_copy_that_cannot_be_read_any_more_is_as_good_as_none() -> None:
    FakeRuns().runs(1)
    (copy,) = FOLDER.glob("thresholds-*.yaml")
    copy.write_text("of: another version")
    Path("thresholds.yaml").write_text(THRESHOLDS.replace("max: 25", "max: 9"))
    (said,) = found_in(FOLDER, asked_for()).others
    assert "there is no copy of it as it was" in said


# --- runs that do not end well ---


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        (
            3,
            StackFailed,
            "run 2 of 3 ended with code 3 (an error inside pytest or perfgate); what it said stands above",
        ),
        (4, BadInput, "run 2 of 3 ended with code 4 (bad input); "),
        (5, StackFailed, r"run 2 of 3 ended with code 5 (unknown); "),
        (11, StackFailed, "run 2 of 3 ended with code 11 (incomplete); "),
        (12, StackFailed, "run 2 of 3 ended with code 12 (the stack failed); "),
        (-9, StackFailed, "run 2 of 3 ended with code -9 (killed by a signal); "),
    ],
)
def test_a_run_that_breaks_off_ends_it_and_the_others_are_kept(code: int, error: type[Exception], said: str) -> None:
    fake = FakeRuns(codes=[0, code])
    with pytest.raises(error) as caught:
        fake.runs(3)
    assert str(caught.value).startswith(said)
    assert str(caught.value).endswith("kept in records: the same command goes on with them once that is mended")
    again = FakeRuns()
    assert len(again.runs(2)) == 2
    assert "runs that are in records already and count: 1" in again.said


def test_a_run_that_somebody_else_interrupts_is_an_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt):
        FakeRuns(codes=[2]).runs(1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"host": {}}, "not counted: records/new2-quick.json: host's "),
        (None, "there is none"),
    ],
)
def test_a_run_that_leaves_no_record_that_counts_is_not_made_for_ever(
    changes: dict[str, Any] | None, reason: str
) -> None:
    keep("old", exit_code=2)
    fake = FakeRuns(changes=changes or {})
    if changes is None:
        fake.make = lambda command: 0  # type: ignore[method-assign]
    with pytest.raises(StackFailed) as caught:
        fake.runs(3)
    assert str(caught.value).startswith(f"run 1 of 3 left no record that counts in records: {reason}")
    assert "old" not in str(caught.value)


def test_a_folder_that_cannot_be_used_is_bad_input() -> None:
    FOLDER.write_text("a file")
    with pytest.raises(BadInput, match="--record-dir records: no record can be written there"):
        FakeRuns().runs(3)


def test_no_password_is_shown() -> None:
    asked = asked_for(postgres_url="postgresql://me:secret@127.0.0.1:1/db")
    fake = FakeRuns()
    runs_of(
        asked, 1, ["tests/perf", "--postgres-url", "postgresql://me:secret@127.0.0.1:1/db"], fake.said.append, fake.make
    )
    assert "secret" in " ".join(fake.commands[0])
    assert "secret" not in " ".join(fake.said)


# --- one run, live ---

#: Runs a program by `made`, and says what came of it.
MAKER = """
    import signal, sys
    from perfgate.calibration_runs import made
    {before}
    try:
        print("code", made([sys.executable, "-c", {program!r}]), flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    print("then", signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, flush=True)
"""
#: Ends in order when it is told once, and says so.
ENDS_IN_ORDER = """
import signal, sys
def end(*_):
    print("ended in order", flush=True)
    sys.exit(2)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, lambda *_: print("told twice", flush=True))
print("up", flush=True)
while True:
    signal.pause()
"""
DEAF = """
import signal
signal.signal(signal.SIGTERM, lambda *_: print("deaf", flush=True))
print("up", flush=True)
while True:
    signal.pause()
"""


Runs = dict["subprocess.Popen[str]", list[psutil.Process]]


@pytest.fixture
def runs() -> Iterator[Runs]:
    """Processes that make a run, and what each has started; gone with the test, whatever becomes of it."""
    started: Runs = {}
    yield started
    for run, children in started.items():
        end_all(run, children)
        run.wait()


def end_all(run: "subprocess.Popen[str]", children: list[psutil.Process]) -> None:
    """What it has started too, which else would keep what is read from open, also once the run itself is gone."""
    for process in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    run.kill()


def begun(runs: Runs, program: str, before: str = "") -> "subprocess.Popen[str]":
    """A process that makes one run of a program, in a group of its own as a shell's foreground job is."""
    run = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(MAKER).format(program=program, before=before)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    runs[run] = []
    read_until(run, "up")
    runs[run] += psutil.Process(run.pid).children()
    return run


def rest_of(run: "subprocess.Popen[str]", runs: Runs) -> list[str]:
    assert run.stdout is not None
    watchdog = threading.Timer(PATIENCE_S, end_all, [run, runs[run]])
    watchdog.start()
    try:
        return run.stdout.read().splitlines()
    finally:
        watchdog.cancel()


@pytest.mark.slow
def test_a_runs_code_comes_back_and_what_it_prints_goes_to_standard_error() -> None:
    program = "import sys; print('out', sys.stdin.read()); sys.exit(10)"
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MAKER).format(program=program, before="")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (run.stdout, run.stderr) == ("code 10\nthen True\n", "out \n")


def ctrl_c(pid: int) -> None:
    os.killpg(pid, signal.SIGINT)


def told_by(number: signal.Signals) -> Callable[[int], None]:
    return lambda pid: os.kill(pid, number)


@pytest.mark.slow
@pytest.mark.parametrize(
    "tell",
    [ctrl_c, told_by(signal.SIGINT), told_by(signal.SIGTERM), told_by(signal.SIGHUP)],
    ids=["Ctrl-C", "SIGINT", "SIGTERM", "SIGHUP"],
)
def test_a_run_is_told_once_to_end_in_order_and_waited_for(tell: Callable[[int], None], runs: Runs) -> None:
    run = begun(runs, ENDS_IN_ORDER)
    tell(run.pid)
    assert rest_of(run, runs) == ["ended in order", "interrupted", "then True"]


@pytest.mark.slow
def test_a_second_ctrl_c_does_not_wait(runs: Runs) -> None:
    run = begun(runs, DEAF)
    ctrl_c(run.pid)
    read_until(run, "deaf")
    ctrl_c(run.pid)
    assert rest_of(run, runs) == ["interrupted", "then True"]


@pytest.mark.slow
def test_who_has_signals_ignored_goes_on(runs: Runs) -> None:
    """As nohup does, and a shell for what runs in the background."""
    run = begun(runs, ENDS_IN_ORDER, before="signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    os.kill(run.pid, signal.SIGHUP)
    (child,) = psutil.Process(run.pid).children()
    child.terminate()
    assert rest_of(run, runs) == ["ended in order", "code 2", "then True"]
