"""Does `perfgate doctor` end with 0 where the default profile can be measured, and say why not where it can't?"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from perfgate.cli import main
from perfgate.doctor import examination
from perfgate.doctor.finding import Finding, State
from perfgate.doctor.noise import Probe
from perfgate.exit_codes import ExitCode
from perfgate.stack.engine import EngineFacts, NoEngine
from tests.harness.doctor.conftest import TEXT
from tests.harness.test_thresholds import HOST

CHECKS = (
    "cores",
    "memory",
    "disk",
    "Docker",
    "PostgreSQL",
    "Redis",
    "Node.js",
    "Prisma engine",
    "clock",
    "variables",
    "noise",
    "host class",
)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A made-up machine of two cores, whose probe is quiet; the values can be changed."""
    found: dict[str, Any] = {"host": HOST, "probe": Probe(20, (10.0, 10.1), 0.1, 0.0)}

    def no_engine() -> EngineFacts:
        raise NoEngine("no Docker engine answers at x (refused): start one; --stack=processes needs none")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERFGATE_CACHE_DIR", str(tmp_path / "cache"))
    Path("thresholds.yaml").write_text(TEXT)
    monkeypatch.setattr(examination, "fingerprint", lambda: found["host"])
    monkeypatch.setattr(examination, "engine_facts", no_engine)
    monkeypatch.setattr(
        "perfgate.doctor.examination.psutil.virtual_memory", lambda: SimpleNamespace(available=20 * 2**30)
    )
    monkeypatch.setattr("perfgate.doctor.noise.probed", lambda cores, seconds: found["probe"])
    monkeypatch.setattr("perfgate.doctor.machine.shutil.disk_usage", lambda folder: SimpleNamespace(free=50 * 2**30))
    return found


@pytest.mark.usefixtures("machine")
def test_a_machine_that_is_fit_ends_with_0_and_shows_every_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == ExitCode.OK
    said = capsys.readouterr()
    rows = said.out.splitlines()
    for check in CHECKS:
        assert any(f" {check} " in f"{row} " for row in rows), check
    assert rows[-1].startswith("perfgate doctor: the profile quick can be measured here")
    assert rows[-1].endswith("exit code 0")
    assert said.err == "probing for noise, 20 s …\n"


def test_a_machine_that_is_too_noisy_ends_as_an_invalid_run_does(
    machine: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    machine["probe"] = Probe(20, (10.0, 10.1), 9.0, 0.0)
    assert main(["doctor"]) == ExitCode.INVALID
    assert "cannot be measured here: noise" in capsys.readouterr().out


@pytest.mark.usefixtures("machine")
def test_another_profile_may_need_more(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--profile", "all", "--probe-seconds", "0"]) == ExitCode.BAD_INPUT
    said = capsys.readouterr()
    assert "the profile all cannot be measured here: cores" in said.out
    assert "noise" not in said.out
    assert said.err == ""


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--profile", "nightly"], "error: --profile=nightly: thresholds.yaml has only quick, all\n"),
        (["--probe-seconds", "-1"], "error: --probe-seconds=-1: must be from 0 to 600\n"),
        (["--probe-seconds", "nan"], "error: --probe-seconds=nan: must be from 0 to 600\n"),
        (["--thresholds", "x.yaml"], "error: x.yaml: there is no such file; name another file with --thresholds\n"),
    ],
)
def test_what_was_asked_wrongly_is_bad_input(
    capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["doctor", *options]) == ExitCode.BAD_INPUT
    assert capsys.readouterr().err == message


def test_elsewhere_than_on_linux_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert main(["doctor"]) == ExitCode.BAD_INPUT
    assert capsys.readouterr().err.startswith("error: perfgate measures on Linux only, this is darwin")


@pytest.mark.slow
def test_on_this_machine_every_check_comes_to_something(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it finds is this machine's; a short probe of the real one."""
    monkeypatch.chdir(tmp_path)
    Path("thresholds.yaml").write_text(TEXT)
    looked: list[Finding] = []
    real = examination.Examination.findings

    def findings(self: examination.Examination, say: Any) -> list[Finding]:
        looked.extend(real(self, say))
        return looked

    monkeypatch.setattr(examination.Examination, "findings", findings)
    # This test has the lease of the host in another folder than the probe, so that the two do not wait for each other.
    code = main(["doctor", "--probe-seconds", "0.2"])
    assert [found.check for found in looked] == list(CHECKS)
    assert all(found.found for found in looked)
    blocked = [found for found in looked if found.state is State.NO]
    assert (code == ExitCode.OK) == (not blocked)
    assert capsys.readouterr().out.count("\n") >= len(CHECKS)
