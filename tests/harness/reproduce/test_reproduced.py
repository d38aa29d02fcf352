"""Is a record read as it was written, and one that is none refused?"""

import json
from pathlib import Path

import pytest

from perfgate.errors import BadInput, StackFailed
from perfgate.reproduce.reproduced import Unanswered, path_of, read, write
from tests.harness.reproduce.conftest import a_table


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = a_table(command="perfgate reproduce", unanswered=(Unanswered("2 instances", 1, 3, "440 http_500"),))
    path = write(tmp_path / "deep", table)
    assert path == path_of(tmp_path / "deep", "instances")
    assert read(path) == table


def test_a_record_of_before_its_command_was_kept_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, a_table())
    kept = json.loads(path.read_text())
    del kept["command"], kept["unanswered"]
    path.write_text(json.dumps(kept))
    assert read(path) == a_table()


@pytest.mark.parametrize(
    ("text", "words"),
    [("no JSON", "the file: Invalid JSON"), ('{"table": "instances"}', "title: Field required; run the table again")],
)
def test_what_is_no_record_of_this_version_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(BadInput, match=f"x.json is not a record of this version of perfgate: {words}"):
        read(tmp_path / "x.json")


def test_a_record_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.json: cannot be read \(No such file or directory\)"):
        read(tmp_path / "none.json")


def test_a_disk_that_takes_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackFailed, match=r"instances\.json could not be written: "):
        write(tmp_path / "file", a_table())
