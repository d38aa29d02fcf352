"""Does `perfgate calibrate` give an entry that thresholds.yaml takes, and leave the rest of the file alone?"""

from pathlib import Path

import pytest

from perfgate import calibrate
from perfgate.calibrate import entry, with_host
from perfgate.cli import main
from perfgate.errors import BadInput
from perfgate.experiment.metrics import METRICS
from perfgate.measure.host_speed import HostSpeed
from perfgate.thresholds import host_class, load_thresholds
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
