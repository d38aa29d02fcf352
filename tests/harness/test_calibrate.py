"""Does `perfgate calibrate` give an entry, or limits, that thresholds.yaml takes, and leave the rest of it alone?"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pytest

from perfgate import __version__, calibrate, calibration_runs
from perfgate.calibrate import entry, with_host
from perfgate.cli import main
from perfgate.errors import BadInput
from perfgate.experiment.metrics import METRICS
from perfgate.measure.host import fingerprint
from perfgate.measure.host_speed import HostSpeed
from perfgate.record import RecordFile
from perfgate.thresholds import host_class, load_thresholds
from perfgate.verdict import Reason
from tests.harness.conftest import THRESHOLDS
from tests.harness.test_limits_proposal import a_run, judged
from tests.harness.test_thresholds import HOST, WHOLE

LINE = entry("mine", HOST, 12.34)


def test_the_entry_is_this_host() -> None:
    assert LINE == (
        'mine: {cores: 2, memory_gib: 24, cpu_models: ["AMD EPYC 7763"], backend: processes, host_speed_ms: 12.3}'
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("hosts:\n  a: {}\nx: 1\n", f"hosts:\n  {LINE}\n  a: {{}}\nx: 1\n"),
        ("hosts: {}\nx: 1\n", f"hosts:\n  {LINE}\nx: 1\n"),
        ("hosts: # ours\n  a: {}\n", f"hosts: # ours\n  {LINE}\n  a: {{}}\n"),
        ("x: 1\n", f"x: 1\n\nhosts:\n  {LINE}\n"),
    ],
    ids=["below_others", "empty_braces", "comment", "no_hosts"],
)
def test_the_entry_is_added_and_all_else_stays(before: str, after: str) -> None:
    assert with_host(before, LINE) == after


def test_hosts_in_braces_are_left_to_the_user() -> None:
    with pytest.raises(BadInput, match="break it into a line a class"):
        with_host("hosts: {a: {cores: 2}}\n", LINE)


@pytest.fixture
def _three_measurements(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("thresholds.yaml").write_text(WHOLE.replace("processes}", "processes, host_speed_ms: 10.0}"))
    speeds = iter([13.0, 12.0, 20.0])
    monkeypatch.setattr(calibrate, "measured_speed", lambda _: HostSpeed(next(speeds), 1.0, 2.0, 60, 1))
    monkeypatch.setattr(calibrate, "fingerprint", lambda: HOST)


@pytest.mark.usefixtures("_three_measurements")
def test_the_median_counts_and_a_spread_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("thresholds.yaml").read_text()
    assert main(["calibrate", "--name", "mine"]) == 0
    out = capsys.readouterr().out
    assert "host_speed_ms: 13.0" in out
    assert "warning: 3 measurements gave 12.0, 13.0, 20.0 ms; the host is not idle" in out
    assert "this host takes 1.30 times as long as reference for the same work" in out
    assert "where they should differ, say max_on: {mine: …}" in out
    assert Path("thresholds.yaml").read_text() == before


@pytest.mark.usefixtures("_three_measurements")
def test_a_written_entry_makes_this_host_one_of_its_class() -> None:
    Path("thresholds.yaml").write_text(Path("thresholds.yaml").read_text().replace("AMD EPYC*", "Other*"))
    assert host_class(HOST, load_thresholds(Path("thresholds.yaml"), METRICS).hosts, "processes") is None
    assert main(["calibrate", "--name", "mine", "--write"]) == 0
    hosts = load_thresholds(Path("thresholds.yaml"), METRICS).hosts
    assert host_class(HOST, hosts, "processes") == "mine"
    assert hosts["mine"].host_speed_ms == 13.0


@pytest.mark.usefixtures("_three_measurements")
@pytest.mark.parametrize(
    ("name", "text"),
    [("reference", "has that class already; take another name"), ("a b", "must be letters, digits, - and _")],
)
def test_a_name_that_cannot_be_used_is_bad_input(name: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "--name", name]) == 4
    assert text in capsys.readouterr().err


# --- limits from runs ---

RUNS_THRESHOLDS = THRESHOLDS.replace("scenarios: [overhead]}", "scenarios: [overhead, counts]}").replace(
    "scenarios:\n",
    "  margins: {budget_minutes: 4, on_invalid: warn, scenarios: [counts]}\nhosts:\n  HOSTS\nscenarios:\n"
    "  counts:\n    load: {requests: 5}\n    rounds: {generations: 2, per_generation: 1, per_generation_max: 1}\n"
    '    limits: {error_ratio: {max: 0, why: "a reason"}}\n',
    1,
)
LIMIT = '      overhead_p95_ms: {max: 25, why: "a reason"}'
#: Ends of intervals for which 14 or 15 ms are proposed.
ENDS = [(8.0, 10.0), (8.5, 11.0), (9.0, 12.0), (8.1, 10.5), (8.9, 11.5)]


def write_thresholds(hosts: str) -> str:
    text = RUNS_THRESHOLDS.replace("HOSTS", hosts)
    Path("thresholds.yaml").write_text(text)
    return text


@dataclass
class FakeRuns:
    """What makes runs without making any: each writes the record of one, with the next ends of `ends`."""

    ends: list[tuple[float, float] | None] = field(default_factory=lambda: list(ENDS))
    commands: list[list[str]] = field(default_factory=list)
    changes: dict[str, object] = field(default_factory=dict)

    def __call__(self, command: Sequence[str]) -> int:
        if not self.ends:
            raise KeyboardInterrupt
        self.commands.append(list(command))
        options = dict(zip(command[4::2], command[5::2], strict=True))
        ends = self.ends.pop(0)
        measured = None if ends is None else (ends[0], sum(ends) / 2, ends[1])
        reason = Reason.APPARATUS if ends is None else Reason.WITHIN
        run = a_run(
            judged("overhead_p95_ms", measured, reason),
            minute=5 * (5 - len(self.ends)),
            profile=options["--profile"],
            scenarios=options["--scenarios"].split(","),
            gateway=f"litellm {options.get('--litellm', '1.106.2')}",
            host=asdict(fingerprint()),
            perfgate_version=__version__,
            thresholds_sha256=hashlib.sha256(Path(options["--thresholds"]).read_bytes()).hexdigest(),
            **self.changes,
        )
        name = run.started_utc.replace(":", "")
        RecordFile(Path(options["--record-dir"]) / f"{name}-{options['--seed']}-quick.json").write(run)
        return 0


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeRuns:
    """In a checkout whose thresholds list this host, as the class that limits were measured on."""
    monkeypatch.chdir(tmp_path)
    Path("tests/perf").mkdir(parents=True)
    write_thresholds(entry("mine", fingerprint(), 10.0))
    runs = FakeRuns()
    monkeypatch.setattr(calibration_runs, "made", runs)
    return runs


def calibrated(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    """What a command says on standard output and standard error."""
    assert main(["calibrate", *arguments]) == code
    said = capsys.readouterr()
    return said.out, said.err


NEW_LIMIT = (
    '      overhead_p95_ms: {max: 15, why: "5 runs of litellm 1.106.2 on mine, 2026-01-01: highest upper end 12 ms, '
    'false alarms < 0.1 %"}'
)


def test_the_difference_alone_is_on_standard_output_and_the_file_stays(
    fake: FakeRuns, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path("thresholds.yaml").read_text()
    out, err = calibrated(capsys, "--runs", "5")
    number = before.splitlines().index(LIMIT) + 1
    assert out.splitlines()[:3] == [
        "--- a/thresholds.yaml",
        "+++ b/thresholds.yaml",
        f"@@ -{number - 3},6 +{number - 3},6 @@",
    ]
    assert [line for line in out.splitlines()[3:] if not line.startswith(" ")] == [f"-{LIMIT}", f"+{NEW_LIMIT}"]
    assert "overhead: gateway overhead, p95: lower ends 8 to 9 ms, upper ends 10 to 12 ms in 5 runs" in err
    assert f"  change   tightened: it is further out than this host needs    thresholds.yaml:{number}" in err
    assert "together: a false alarm in any of these limits in < 0.1 % of runs at most, in < 0.1 % with the pres" in err
    assert Path("thresholds.yaml").read_text() == before


def test_a_run_is_asked_for_as_the_command_was(fake: FakeRuns, capsys: pytest.CaptureFixture[str]) -> None:
    """Of its scenarios those that have limits to propose; other options as they are."""
    calibrated(capsys, "--runs", "3", "--litellm", "1.79.3", "--record-dir", "mine", "--workers", "2", code=12)
    (command,) = fake.commands  # the fake writes the name of no worker, so it does not count
    given = dict(zip(command[4::2], command[5::2], strict=True))
    assert command[1:4] == ["-m", "pytest", "tests/perf"]
    assert given.pop("--seed").isdigit()
    assert given == {
        "--litellm": "1.79.3",
        "--workers": "2",
        "--stack": "processes",
        "--thresholds": "thresholds.yaml",
        "--record-dir": "mine",
        "--profile": "quick",
        "--scenarios": "overhead",
    }


def test_write_changes_the_file_and_a_second_time_there_is_nothing_to_change(
    fake: FakeRuns, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path("thresholds.yaml").read_text()
    out, err = calibrated(capsys, "--runs", "5", "--write")
    assert "written to thresholds.yaml" in err
    assert Path("thresholds.yaml").read_text() == before.replace(LIMIT, NEW_LIMIT)
    assert out.startswith("--- a/thresholds.yaml")
    # The same runs count: only the limit has changed.
    out, err = calibrated(capsys, "--runs", "5", "--write")
    assert out == ""
    assert "runs that are in .perfgate/calibration already and count: 5" in err
    assert "  change   kept: tight enough and quiet enough    thresholds.yaml:" in err
    assert err.endswith("thresholds.yaml stays as it is\n")
    assert len(fake.commands) == 5


def test_a_calibration_that_is_ended_goes_on_where_it_was(fake: FakeRuns, capsys: pytest.CaptureFixture[str]) -> None:
    fake.ends = [*ENDS[:2]]
    out, err = calibrated(capsys, "--runs", "5", code=2)
    assert err.endswith(
        "the runs until now are in .perfgate/calibration: the same command goes on with them\ninterrupted\n"
    )
    assert out == ""
    fake.ends = [*ENDS[2:]]
    out, err = calibrated(capsys, "--runs", "5")
    assert "runs that are in .perfgate/calibration already and count: 2" in err
    assert "run 3 of 5: pytest tests/perf " in err
    assert f"+{NEW_LIMIT}" in out.splitlines()


def test_a_run_that_was_not_fit_is_said_and_not_counted(fake: FakeRuns, capsys: pytest.CaptureFixture[str]) -> None:
    fake.ends = [*ENDS[:4], None]
    out, err = calibrated(capsys, "--runs", "5")
    assert "overhead is not counted: apparatus: what measures was not fit" in err
    assert "upper ends 10 to 12 ms in 4 runs" in err
    assert 'why: "4 runs of litellm' in out


def test_hardly_any_fit_run_is_one_clear_message(fake: FakeRuns, capsys: pytest.CaptureFixture[str]) -> None:
    fake.ends = [None, ENDS[0], ENDS[1]]
    out, err = calibrated(capsys, "--runs", "3", code=12)
    assert out == ""
    assert err.endswith(
        "error: nothing can be proposed from 3 runs:\n"
        "  overhead: gateway overhead, p95: left as it is: 2 of the runs have an interval for it, at least 3 are "
        "needed\n"
        "next: add runs with a larger --runs, on a free machine; those in .perfgate/calibration count\n"
    )


def test_on_another_class_than_limits_were_measured_on_the_number_is_its_own(
    fake: FakeRuns, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = replace(fingerprint(), cores_allowed=99)
    write_thresholds(f"{entry('reference', reference, 10.0)}\n  {entry('mine', fingerprint(), 12.0)}")
    out, err = calibrated(capsys, "--runs", "5")
    assert (
        '+      overhead_p95_ms: {max: 25, max_on: {mine: 15}, why: "a reason; 5 runs of litellm 1.106.2 on mine, '
        '2026-01-01: highest upper end 12 ms, false alarms < 0.1 %"}' in out.splitlines()
    )
    assert "(max_on mine)" in err


def test_a_file_without_hosts_has_its_limits_everywhere(fake: FakeRuns, capsys: pytest.CaptureFixture[str]) -> None:
    Path("thresholds.yaml").write_text(RUNS_THRESHOLDS.replace("hosts:\n  HOSTS\n", ""))
    out, _ = calibrated(capsys, "--runs", "5")
    assert f"+{NEW_LIMIT.replace('on mine', 'on this host')}" in out.splitlines()


@pytest.mark.parametrize("hint", ["", "; with --stack containers it is of the class big"])
def test_a_host_of_no_class_is_told_to_be_added_first(
    fake: FakeRuns, capsys: pytest.CaptureFixture[str], hint: str
) -> None:
    kind = fingerprint() if hint else replace(fingerprint(), cores_allowed=99)
    write_thresholds(entry("big", kind, 10.0, "containers"))
    _, err = calibrated(capsys, "--runs", "5", code=4)
    assert err == (
        "error: this host with processes is in no class of thresholds.yaml (hosts), so there is no place for limits of "
        "its own: add it with `perfgate calibrate --name NAME --stack processes --write`, then ask again"
        f"{hint}; nothing was started\n"
    )
    assert fake.commands == []


@pytest.mark.usefixtures("fake")
def test_a_file_that_was_changed_meanwhile_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Editor(FakeRuns):
        def __call__(self, command: Sequence[str]) -> int:
            code = super().__call__(command)
            if len(self.commands) == 5:
                path = Path("thresholds.yaml")
                path.write_text(path.read_text().replace("a reason", "another"))
            return code

    editor = Editor()
    monkeypatch.setattr(calibration_runs, "made", editor)
    out, err = calibrated(capsys, "--runs", "5", "--write", code=4)
    assert out == ""
    assert err.endswith(
        "error: thresholds.yaml was changed while runs were made: the same command proposes anew, and makes none "
        "again\n"
    )
    assert '"another"' in Path("thresholds.yaml").read_text()
    out, _ = calibrated(capsys, "--runs", "5", "--write")
    assert len(editor.commands) == 5
    assert f"+{NEW_LIMIT}" in out.splitlines()


def test_a_file_that_cannot_be_written_is_said_and_the_difference_is_there(
    fake: FakeRuns, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(".thresholds.yaml.partial").mkdir()
    out, err = calibrated(capsys, "--runs", "5", "--write", code=12)
    assert "error: thresholds.yaml could not be written: Is a directory; the difference above can be applied by" in err
    assert f"+{NEW_LIMIT}" in out.splitlines()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--runs", "2"], "--runs=2: at least 3 are needed to predict the next one from them"),
        (["--runs", "x"], "argument --runs: invalid int value: 'x'"),
        (["--runs", "3", "--name", "a"], "--name a: a class that the file is to have gets its name without --runs"),
        (["--profile", "gate"], "--profile: of the runs that limits are proposed from: add --runs K"),
        (["--record-dir", "d", "--workers", "2"], "--workers, --record-dir: of the runs that limits are proposed from"),
        (["--runs", "3", "--profile", "none"], "--profile=none: thresholds.yaml has only quick, margins"),
        (["--runs", "3", "--scenarios", "none"], "--scenarios=none: profile quick has only overhead, counts"),
        (
            ["--runs", "3", "--profile", "margins"],
            "all limits of counts are margins, counts or shares, which hold on any host: nothing to calibrate",
        ),
        (["--runs", "3", "--litellm", "x"], "'x' is not a LiteLLM release"),
        (["--runs", "3", "--thresholds", "none.yaml"], "none.yaml: there is no such file"),
    ],
)
def test_an_option_that_cannot_be_used_is_bad_input(
    fake: FakeRuns, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    _, err = calibrated(capsys, *arguments, code=4)
    assert said in err
    assert fake.commands == []


def test_a_baseline_is_none_of_its_business(
    fake: FakeRuns, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFGATE_BASELINE", "1.79.3")
    _, err = calibrated(capsys, "--runs", "3", code=4)
    assert "PERFGATE_BASELINE or PERFGATE_BASELINE_CONFIG is set, but margins need no calibration" in err


def test_without_the_suite_there_is_nothing_to_run(fake: FakeRuns, capsys: pytest.CaptureFixture[str]) -> None:
    Path("tests/perf").rmdir()
    _, err = calibrated(capsys, "--runs", "3", code=4)
    assert "there is no tests/perf in this folder, which is what is run: change into a checkout of perfgate" in err


@pytest.mark.usefixtures("_three_measurements")
def test_the_name_and_the_backend_of_an_entry_have_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("this-host: {")
    assert "backend: processes" in out


@pytest.mark.usefixtures("_three_measurements")
def test_an_entry_can_be_for_containers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "--stack", "containers"]) == 0
    assert "backend: containers" in capsys.readouterr().out
