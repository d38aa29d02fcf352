"""Are failed replies kept, and not too many of them?"""

from dataclasses import replace
from pathlib import Path

from perfgate.experiment.measurement import Window
from perfgate.failed_replies import KEPT_MAX, FailedRepliesFile
from perfgate.load.result import FailedReply
from tests.harness.synthetic import load_result, window


def failing(replies: int) -> Window:
    load = replace(load_result(1.0), failed_replies=tuple(FailedReply("http_500", f"no. {n}") for n in range(replies)))
    return window("gateway", load, generation=1, number=3)


def test_windows_without_failures_leave_no_file(tmp_path: Path) -> None:
    FailedRepliesFile(tmp_path / "f.txt").keep([failing(0)])
    assert list(tmp_path.iterdir()) == []


def test_each_is_told_with_its_window(tmp_path: Path) -> None:
    kept = FailedRepliesFile(tmp_path / "f.txt")
    kept.keep([failing(1)])
    kept.keep([failing(2)])
    one = "gateway, generation 1, round 3: http_500\nno. 0\n\n"
    assert kept.path.read_text() == one + one + one.replace("no. 0", "no. 1")


def test_of_many_the_first_are_kept(tmp_path: Path) -> None:
    kept = FailedRepliesFile(tmp_path / "f.txt")
    for _ in range(3):
        kept.keep([failing(KEPT_MAX // 2 + 7)])
    assert kept.path.read_text().count("http_500") == KEPT_MAX


def test_a_folder_that_cannot_be_written_to_is_no_reason_to_fail(tmp_path: Path) -> None:
    FailedRepliesFile(tmp_path / "missing" / "f.txt").keep([failing(1)])
    assert list(tmp_path.iterdir()) == []
