"""Are results read as they were written, and is a folder that cannot be used said?"""

import json
from pathlib import Path

import pytest

from perfgate.errors import BadInput
from perfgate.history.measuring import HostFailed
from perfgate.history.result import Result
from perfgate.history.results_file import checked_folder, read_results, write_result
from tests.harness.history.conftest import left_out, measured


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    written: list[Result] = [measured("1.80.0", 1.1, notes=("a note",), seeds=(1, 2), runs=2), left_out("1.81.0")]
    for result in written:
        write_result(tmp_path, result)
    assert list(read_results(tmp_path).values()) == written


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert read_results(tmp_path / "nowhere") == {}


def test_a_result_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    write_result(tmp_path, left_out("1.80.0"))
    write_result(tmp_path, measured("1.80.0"))
    assert read_results(tmp_path) == {"1.80.0": measured("1.80.0")}
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["1.80.0.json"]


def test_a_version_that_is_a_path_has_a_file_of_its_own_in_the_folder(tmp_path: Path) -> None:
    for name in ("../a/v1.yaml", "../a/v2.yaml"):
        write_result(tmp_path, measured(name))
    assert set(read_results(tmp_path)) == {"../a/v1.yaml", "../a/v2.yaml"}
    assert {path.parent for path in tmp_path.rglob("*.json")} == {tmp_path / "results"}


@pytest.mark.parametrize("content", ["", "{", "{}", '{"version": "1.80.0"}', "[]"])
def test_what_is_no_result_is_said_with_its_file(tmp_path: Path, content: str) -> None:
    checked_folder(tmp_path, "--results")
    path = tmp_path / "results" / "1.80.0.json"
    path.write_text(content)
    with pytest.raises(BadInput, match=rf"^{path} is no result of this perfgate: .*; move it away$"):
        read_results(tmp_path)


def test_half_a_file_is_left_by_nobody(tmp_path: Path) -> None:
    write_result(tmp_path, measured("1.80.0"))
    json.loads((tmp_path / "results" / "1.80.0.json").read_text())
    assert not list((tmp_path / "results").glob(".*"))


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"^--results .*/file: Not a directory; name another folder$"):
        checked_folder(tmp_path / "file", "--results")
    with pytest.raises(HostFailed, match=r"1.80.0.json could not be written: Not a directory; make room"):
        write_result(tmp_path / "file", measured("1.80.0"))
