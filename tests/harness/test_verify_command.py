"""Does `perfgate verify` say that a bundle is whole, or which file was altered and how, and end with the right code?"""

from pathlib import Path

import pytest

from perfgate.cli import main
from perfgate.exit_codes import ExitCode
from perfgate.report.sign_off import REPORT, THRESHOLDS
from perfgate.sign_off_command import signed_off
from tests.harness.recorded_runs import TWO_SCENARIOS, a_finished_run

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def a_run() -> Path:
    return a_finished_run(Path.cwd(), thresholds=TWO_SCENARIOS)


def verified(capsys: pytest.CaptureFixture[str], bundle: str | Path, code: int = 0) -> str:
    """What it says; errors where it ends with 4."""
    assert main(["verify", str(bundle)]) == code
    said = capsys.readouterr()
    return said.err if code == ExitCode.BAD_INPUT else said.out


@pytest.mark.parametrize("name", ["sign-off", "sign-off.tar"])
def test_a_bundle_as_it_was_made_is_verified(capsys: pytest.CaptureFixture[str], name: str) -> None:
    signed_off([a_run()], Path(name))
    assert verified(capsys, name) == (
        "verified: litellm 1.106.2, profile release: 3 limits PASS, judged again from 32 windows; 5 files have their "
        "sums\n"
    )


def test_an_altered_bundle_is_not_verified_and_the_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    signed_off([a_run()], Path("sign-off"))
    file = Path("sign-off") / THRESHOLDS
    file.write_text(file.read_text().replace("max: 25", "max: 99", 1))
    first, second, last = verified(capsys, "sign-off", code=13).splitlines()
    assert first == "NOT VERIFIED: sign-off"
    assert second.startswith("  thresholds.yaml: it was altered: line 9 is ")
    assert last.startswith("next: do not release by it; ")


def test_one_byte_of_the_report_is_enough_for_it_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    signed_off([a_run()], Path("sign-off"))
    file = Path("sign-off") / REPORT
    content = file.read_bytes()
    file.write_bytes(content.replace(b"Latency by percentile", b"latency by percentile", 1))
    assert file.read_bytes() != content
    first, second, _ = verified(capsys, "sign-off", code=13).splitlines()
    assert (first, second.partition(" line ")[0]) == ("NOT VERIFIED: sign-off", "  report.html: it was altered:")


def test_a_record_in_it_that_was_cut_short_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    signed_off([a_run()], Path("sign-off"))
    (record,) = Path("sign-off/records").iterdir()
    record.write_bytes(record.read_bytes()[:5000])
    said = verified(capsys, "sign-off", code=13)
    assert f"  records/{record.name}: is not a whole record: it ends after 5,000 bytes" in said


def test_what_is_no_bundle_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    run = a_run()
    assert "nowhere: cannot be read" in verified(capsys, "nowhere", code=4)
    assert "is neither the folder nor the whole .tar of a bundle" in verified(capsys, run, code=4)
    assert verified(capsys, "records", code=4) == (
        "error: records is no sign-off bundle: it has neither SHA256SUMS nor sign-off.json; `perfgate signoff` makes "
        "bundles\n"
    )
