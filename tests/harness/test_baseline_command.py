"""Is the record that is committed small, whole, and one that figures can be held against?"""

from pathlib import Path
from typing import Any

import pytest

from perfgate import record
from perfgate.cli import main
from perfgate.exit_codes import ExitCode
from tests.harness import synthetic
from tests.harness.report.conftest import a_judgement, a_measurement, a_record

SPEED = record.HostSpeedRecord(median_ms=10, p10_ms=9, p90_ms=12, pieces=60, work_version=1)


def written(folder: Path, **changes: Any) -> Path:
    """The record of a whole run on a listed host."""
    fields: dict[str, Any] = {
        "finished_utc": "2026-01-01T10:06:00+00:00",
        "host_class": "reference",
        "host_speed": SPEED,
        "measurements": [a_measurement()],
        "judgements": [a_judgement("overhead", "overhead_p95_ms")],
    }
    record.RecordFile(folder / "run.json").write(a_record(**{**fields, **changes}))
    return folder / "run.json"


def test_it_has_everything_but_the_windows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, target = written(tmp_path), tmp_path / "docs/baseline.json"
    assert main(["baseline", str(run), "--write", str(target)]) == ExitCode.OK
    assert capsys.readouterr().out.startswith(f"{target} written; commit it, and name it in thresholds.yaml")
    whole, small = record.read(run), record.read(target)
    assert small.measurements[0].windows == []
    assert small.measurements[0].schedule == whole.measurements[0].schedule
    assert (small.judgements, small.host_speed, small.host_class) == (whole.judgements, SPEED, "reference")
    assert target.stat().st_size < run.stat().st_size / 2


def test_it_is_printed_where_no_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["baseline", str(written(tmp_path))]) == ExitCode.OK
    assert record.Record.model_validate_json(capsys.readouterr().out).host_class == "reference"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"finished_utc": None}, "the run was not made to its end"),
        ({"incomplete": ["overhead did not run"]}, "the run was not made to its end"),
        (
            {"host_class": None},
            "its host is of no class in thresholds.yaml; list it by `perfgate calibrate --write`, and run again",
        ),
        ({"host_speed": None}, "the host's speed was not measured"),
        (
            {"judgements": [a_judgement("overhead", "overhead_p95_ms", synthetic.measurement(lag_ms=9))]},
            "it has no figure that could be judged",
        ),
        ({"judgements": []}, "it has no figure that could be judged"),
    ],
)
def test_what_nothing_can_be_held_against_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], why: str
) -> None:
    run = written(tmp_path, **changes)
    assert main(["baseline", str(run), "--write", str(tmp_path / "b.json")]) == ExitCode.BAD_INPUT
    assert capsys.readouterr().err == f"error: {run}: nothing can be held against this record: {why}\n"
    assert not (tmp_path / "b.json").exists()


def test_a_file_that_is_no_record_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text("{}")
    assert main(["baseline", str(tmp_path / "x.json")]) == ExitCode.BAD_INPUT
    assert "x.json is not a record of perfgate: it is JSON of something else" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_to_ends_with_12(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    run = written(tmp_path)
    monkeypatch.setattr("perfgate.baseline_command.write_atomically", full)
    assert main(["baseline", str(run), "--write", str(tmp_path / "b.json")]) == ExitCode.STACK_FAILED
    assert "b.json could not be written: No space left on device; name another file" in capsys.readouterr().err
