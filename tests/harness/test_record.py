from pathlib import Path

import pytest

from perfgate.errors import BadInput, StackFailed
from perfgate.record import Record, RecordFile, json_schema, read


def a_record(seed: int = 1) -> Record:
    return Record(
        perfgate_version="0",
        started_utc="2026-01-01T00:00:00+00:00",
        command=["pytest"],
        seed=seed,
        profile="quick",
        scenarios=["overhead"],
        on_invalid="warn",
        thresholds_path="thresholds.yaml",
        thresholds_sha256="0",
        host={},
        host_class=None,
        affinity={},
    )


def test_what_was_written_is_read(tmp_path: Path) -> None:
    RecordFile(tmp_path / "deep/r.json").write(a_record(5))
    assert read(tmp_path / "deep/r.json") == a_record(5)
    assert '"seed"' in json_schema()


def test_a_write_that_fails_keeps_what_was_there(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "r.json")
    file.write(a_record(1))
    (tmp_path / ".r.json.partial").mkdir()  # the temporary file cannot be opened: as on a disk that is full
    with pytest.raises(StackFailed, match="what was measured before is in"):
        file.write(a_record(2))
    assert read(tmp_path / "r.json").seed == 1


def test_a_folder_that_cannot_be_made_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="no record can be written there"):
        RecordFile(tmp_path / "file/r.json")


@pytest.mark.parametrize(("text", "said"), [("{}", "perfgate_version"), ("no", "is not a record")])
def test_a_file_that_is_no_record_says_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(BadInput, match=said):
        read(tmp_path / "r.json")
