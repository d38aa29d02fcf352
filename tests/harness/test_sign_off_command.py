"""Does `perfgate signoff` write a bundle, or say what blocks or refuses it, and end with the right code?"""

import json
from pathlib import Path
from typing import Any

import pytest

from perfgate import sign_off_command
from perfgate.cli import main
from perfgate.exit_codes import ExitCode
from perfgate.report.bundle import SUMS, read_bundle
from perfgate.report.sign_off import DOCUMENT, RATES, REPORT, THRESHOLDS, Block
from perfgate.sign_off_command import DEFAULT_RATES, SignedOff
from tests.harness.recorded_runs import TWO_SCENARIOS, a_finished_run, alone, overhead, rates_of, rewritten
from tests.harness.synthetic import measurement

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def a_run(*measured: Any, **options: Any) -> Path:
    """The record of a run of the two scenarios, or of those named."""
    return a_finished_run(Path.cwd(), measured or None, thresholds=TWO_SCENARIOS, **options)


def halves() -> tuple[Path, Path]:
    """The records of two runs that are the whole profile together."""
    return a_run(scenarios="overhead", name="a"), a_run(scenarios="alone", name="b")


def signed(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 0) -> str:
    """What `perfgate signoff` says; errors where it ends with 4."""
    assert main(["signoff", *map(str, arguments)]) == code
    said = capsys.readouterr()
    return said.err if code == ExitCode.BAD_INPUT else said.out


# --- signed off ---


def test_one_run_of_the_whole_profile_is_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    said = signed(capsys, a_run())
    assert said == "bundle: sign-off, the page to sign is sign-off.md in it; `perfgate verify sign-off` checks it\n"
    assert {path.name for path in Path("sign-off").iterdir()} == {
        SUMS,
        THRESHOLDS,
        DOCUMENT,
        REPORT,
        "sign-off.json",
        "records",
    }


def test_several_runs_are_one_tar(capsys: pytest.CaptureFixture[str]) -> None:
    signed(capsys, *halves(), "--output", "of/litellm.tar")
    assert Path("of/litellm.tar").is_file()
    assert sorted(name for name in read_bundle(Path("of/litellm.tar")) if "records" in name) == [
        "records/01-a-release.json",
        "records/02-b-release.json",
    ]


def test_rates_of_this_host_are_taken_where_they_lie_and_others_left(capsys: pytest.CaptureFixture[str]) -> None:
    run = a_run()
    DEFAULT_RATES.parent.mkdir(parents=True)
    host = json.loads(run.read_text())["host"]
    DEFAULT_RATES.write_bytes(rates_of(host))
    signed(capsys, run, "--output", "mine")
    assert (Path("mine") / RATES).read_bytes() == DEFAULT_RATES.read_bytes()
    DEFAULT_RATES.write_bytes(rates_of({**host, "cores_allowed": 4096}))
    signed(capsys, run, "--output", "theirs")
    DEFAULT_RATES.write_text("no rates")
    signed(capsys, run, "--output", "nobodys")
    assert not (Path("theirs") / RATES).exists()
    assert not (Path("nobodys") / RATES).exists()


def test_rates_that_are_asked_for_have_to_be_there_and_of_this_host(capsys: pytest.CaptureFixture[str]) -> None:
    run = a_run()
    said = signed(capsys, run, "--selftest", "nowhere.json", code=4)
    assert said == "error: --selftest nowhere.json: cannot be read (No such file or directory)\n"
    Path("other.json").write_bytes(rates_of({"cpu_model": "abacus"}))
    said = signed(capsys, run, "--selftest", "other.json", code=4)
    assert "its rates are of another host than these runs; leave it out" in said
    Path("no.json").write_text("no")
    assert "no.json does not hold the rates of a selftest" in signed(capsys, run, "--selftest", "no.json", code=4)
    assert not Path("sign-off").exists()


# --- blocked ---


def test_what_blocks_it_is_named_and_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    run = a_run(overhead(90.0), alone())
    assert signed(capsys, run, code=1).splitlines() == [
        "NO SIGN-OFF, nothing was written:",
        f"  overhead.overhead_p95_ms is FAIL: the interval is beyond the limit ({run})",
        "next: mend what is named, run it again with --profile release, and sign off by the new record",
    ]
    assert not Path("sign-off").exists()


def test_a_missing_scenario_blocks_with_11_and_an_invalid_with_10(capsys: pytest.CaptureFixture[str]) -> None:
    first, _ = halves()
    assert "\n  alone did not run\n" in signed(capsys, first, code=11)
    invalid = a_run(measurement(lag_ms=9), alone(), name="c", on_invalid="warn")
    assert "overhead.overhead_p95_ms is INVALID: apparatus: " in signed(capsys, invalid, code=10)


def test_a_verdict_that_is_not_that_of_its_windows_blocks_with_13(capsys: pytest.CaptureFixture[str]) -> None:
    def forged(data: Any) -> None:
        data["judgements"][0]["verdict"], data["exit_code"] = "PASS", 0

    run = rewritten(a_run(overhead(90.0), alone()), forged)
    said = signed(capsys, run, code=13)
    assert "overhead.overhead_p95_ms: verdict is recorded as PASS, by the raw windows it is FAIL" in said


@pytest.mark.parametrize(
    ("codes", "may_be_invalid", "code"),
    [
        ([ExitCode.INVALID], False, ExitCode.INVALID),
        ([ExitCode.INVALID], True, ExitCode.OK),
        ([ExitCode.INVALID, ExitCode.INCOMPLETE], True, ExitCode.INCOMPLETE),
        ([ExitCode.INCOMPLETE, ExitCode.FAIL], False, ExitCode.FAIL),
        ([], False, ExitCode.OK),
    ],
)
def test_the_worst_of_all_that_blocks_is_the_code(codes: list[ExitCode], may_be_invalid: bool, code: ExitCode) -> None:
    done = SignedOff(None, tuple(Block("x", "r", code) for code in codes))
    assert done.exit_code(may_be_invalid=may_be_invalid) is code


# --- refused ---


def test_mixed_versions_are_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = halves()
    rewritten(second, lambda data: data.update(gateway="litellm 1.79.3", perfgate_version="9"))
    assert signed(capsys, first, second, code=4).splitlines() == [
        "error: these records are not of one sign-off, nothing was written:",
        f"  perfgate is 0.1.0 in {first}, 9 in {second}",
        f"  the gateway is litellm 1.106.2 in {first}, litellm 1.79.3 in {second}",
        "next: name the records of one version, all made alike",
    ]


def test_a_run_of_another_profile_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    quick = a_run(overhead(), profile="quick")
    assert f"{quick} is of the profile quick" in signed(capsys, quick, code=4)


def test_a_record_that_was_cut_short_or_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    run = a_run()
    Path("cut.json").write_bytes(run.read_bytes()[:1000])
    assert signed(capsys, run, "cut.json", code=4) == (
        "error: cut.json is not a whole record: it ends after 1,000 bytes, in the middle; take another copy of it\n"
    )
    Path("other.json").write_text('{"metrics": {}}')
    assert "other.json is not a record of perfgate: it is JSON of something" in signed(capsys, "other.json", code=4)
    assert "nowhere.json: cannot be read" in signed(capsys, "nowhere.json", code=4)


def test_a_bundle_is_never_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    run = a_run()
    signed(capsys, run)
    before = read_bundle(Path("sign-off"))
    assert "sign-off is there already: name another --output" in signed(capsys, run, code=4)
    assert read_bundle(Path("sign-off")) == before


def test_a_bundle_that_is_there_is_said_before_anything_is_judged(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_off_command, "untrue", lambda kept: pytest.fail("it was judged"))
    Path("sign-off").mkdir()
    signed(capsys, a_run(), code=4)
