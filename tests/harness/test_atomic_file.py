from pathlib import Path

import pytest

from perfgate.atomic_file import write_atomically


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_atomically(file, "one")
    write_atomically(file, "two ✓")
    assert file.read_text(encoding="utf-8") == "two ✓"
    assert list(tmp_path.iterdir()) == [file]


def test_a_replacement_that_is_refused_leaves_nothing_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_atomically(tmp_path / "taken", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
