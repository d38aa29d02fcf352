"""Is what a gate's jobs left shown as data, in one comment, whatever is in it?"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from perfgate.cli import main
from perfgate.github import comment
from perfgate.github.comment import COMMENT_CHARS_MAX, MARKER, comment_text, last_left
from perfgate.record import Record
from tests.harness.github.fake_github import REPOSITORY, TOKEN, FakeGitHub, pull, served
from tests.harness.report.conftest import HOST, a_judgement, a_record

SHA: Final = "a" * 40
RUN: Final = "https://github.test/team/gateway/actions/runs/99"
NAME: Final = "20260101T000000Z-7-gate.json"
FAILED: Final = a_judgement("overhead", "overhead_p95_ms", maximum=5.0)


def a_run(**changes: object) -> Record:
    return a_record(**{"host": HOST, "judgements": [FAILED], "exit_code": 1, **changes})


def left(folder: Path, attempt: int, content: str | bytes | Record) -> Path:
    """Leave a record as the artifact of a job has it."""
    path = folder / f"perf-gate-{attempt}/records" / NAME
    path.parent.mkdir(parents=True)
    text = content.model_dump_json() if isinstance(content, Record) else content
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_verdict_stands_first_with_what_it_is_of(tmp_path: Path) -> None:
    left(tmp_path, 1, a_run())
    text = comment_text(last_left(tmp_path), SHA, RUN, "failure")
    lines = text.splitlines()
    assert lines[:2] == [MARKER, "## perfgate: FAIL"]
    assert lines[-1].startswith(f"[This run]({RUN}), of {SHA}, ended with failure. Both sides were measured in one job")


def test_it_says_why_the_baseline_is_that_one(tmp_path: Path) -> None:
    left(
        tmp_path,
        1,
        a_run(baseline="litellm 1.79.3", baseline_why="the base branch's, named.txt line 3 at 0123456789ab"),
    )
    text = comment_text(last_left(tmp_path), SHA, RUN, "failure")
    assert "</code> (<code>the base branch's, named.txt line 3 at 0123456789ab</code>), profile" in text


def test_the_second_runners_record_counts_and_it_says_so(tmp_path: Path) -> None:
    left(tmp_path, 1, a_run())
    left(tmp_path, 2, a_run(judgements=[a_judgement("overhead", "overhead_p95_ms")], exit_code=0))
    text = comment_text(last_left(tmp_path), SHA, RUN, "success")
    assert "## perfgate: PASS" in text
    assert "The first runner could not tell (INVALID); this is of a second one." in text


def test_a_second_runner_without_a_record_leaves_the_first(tmp_path: Path) -> None:
    left(tmp_path, 1, a_run())
    (tmp_path / "perf-gate-2").mkdir()
    found = last_left(tmp_path)
    assert found is not None
    assert found.attempt == 1


def test_without_any_record_the_log_is_named(tmp_path: Path) -> None:
    (tmp_path / "perf-gate-3/records").mkdir(parents=True)
    (tmp_path / "other/records").mkdir(parents=True)
    (tmp_path / "other/records" / NAME).write_text("{}")
    assert last_left(tmp_path) is None
    text = comment_text(None, SHA, RUN, "timed_out")
    assert f"## perfgate: no verdict\n\n<code>the run left no record</code>: [the log of the run]({RUN})" in text
    assert "ended with timed out." in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not a whole record"),
        (b"\xff\xfe", "is not a record of perfgate"),
        ('{"verdict": "PASS"}', "is not a record of perfgate"),
        ("[" * 100_000, "is not a record of perfgate"),
        (a_run().model_dump_json().replace('"seed":1', '"seed":1,"more":2'), "is not a record of schema"),
        (a_run().model_dump_json().replace('"baseline_why":""', '"baseline_why":["x"]'), "baseline_why: "),
    ],
    ids=["empty", "binary", "of another", "deep", "with more", "no text"],
)
def test_what_is_no_record_is_not_shown(tmp_path: Path, content: str | bytes, said: str) -> None:
    left(tmp_path, 1, content)
    found = last_left(tmp_path)
    assert found is not None
    assert found.record is None
    assert said in found.problem
    assert "## perfgate: no verdict" in comment_text(found, SHA, RUN, "success")


def test_a_link_is_not_followed_and_a_huge_file_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = left(tmp_path, 1, a_run())
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    found = last_left(tmp_path)
    assert found is not None
    assert (found.record, found.problem) == (None, "it is no file")
    path.unlink()
    (tmp_path / "elsewhere.json").rename(path)
    monkeypatch.setattr(comment, "RECORD_BYTES_MAX", 100)
    found = last_left(tmp_path)
    assert found is not None
    assert (found.record, found.problem) == (None, "it has more than 100 bytes")


def test_text_of_a_record_calls_nobody_and_links_nowhere(tmp_path: Path) -> None:
    evil = "@team [free](https://evil.test) <img src=x> www.evil.test"
    left(tmp_path, 1, a_run(gateway=evil, baseline=evil, baseline_why=evil, notes=[evil]))
    text = comment_text(last_left(tmp_path), SHA, RUN, "failure")
    for mark in ("@team", "https://evil", "<img", "www.evil"):
        assert mark not in text


def test_the_longest_comment_is_one_that_github_takes(tmp_path: Path) -> None:
    left(tmp_path, 2, a_run(judgements=[FAILED] * 2_000, notes=["x" * 300] * 2_000))
    text = comment_text(last_left(tmp_path), SHA, RUN, "action_required")
    assert len(text) <= COMMENT_CHARS_MAX
    assert "are left out" in text


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGitHub]:
    """With the variables that perf-comment.yml sets."""
    with served(FakeGitHub(pulls=[pull(7, "fork:change", SHA)])) as here:
        for name, value in {
            "GITHUB_API_URL": here.url,
            "GITHUB_SERVER_URL": "https://github.test",
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_TOKEN": TOKEN,
            "HEAD_SHA": SHA,
            "HEAD_OWNER": "fork",
            "HEAD_BRANCH": "change",
            "RUN_ID": "99",
            "CONCLUSION": "failure",
        }.items():
            monkeypatch.setenv(name, value)
        yield here


def test_the_command_writes_one_comment_and_edits_it(
    github: FakeGitHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left(tmp_path, 1, a_run())
    assert [main(["github", "comment", str(tmp_path)]) for _ in range(2)] == [0, 0]
    (written,) = github.comments
    assert written["body"].startswith(f"{MARKER}\n## perfgate: FAIL\n")
    assert RUN in written["body"]
    assert capsys.readouterr().out == "wrote a comment to pull request 7\nedited the comment of pull request 7\n"


@pytest.mark.parametrize(
    ("pulls", "owner", "said"),
    [
        ([], "fork", "no open pull request stands"),
        ([pull(7, "fork:change", SHA), pull(8, "fork:change", SHA)], "fork", "several pull requests stand"),
        ([pull(7, "fork:change", SHA)], "", "no open pull request stands"),
    ],
    ids=["none", "two", "the fork is gone"],
)
def test_where_it_is_not_one_pull_request_nothing_is_written(
    github: FakeGitHub,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    pulls: list[dict[str, object]],
    owner: str,
    said: str,
) -> None:
    github.pulls = pulls
    monkeypatch.setenv("HEAD_OWNER", owner)
    assert main(["github", "comment", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"nothing is written: {said} at {SHA}\n"
    assert github.comments == []


@pytest.mark.parametrize(
    ("name", "value"), [("HEAD_SHA", "main"), ("RUN_ID", "9)[x](y"), ("HEAD_OWNER", "a/b"), ("GITHUB_TOKEN", "")]
)
def test_a_variable_that_is_none_of_githubs_is_refused(
    github: FakeGitHub,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
) -> None:
    monkeypatch.setenv(name, value)
    assert main(["github", "comment", str(tmp_path)]) == 4
    assert capsys.readouterr().err.startswith(f"error: {name}: not set, or not of its form; perf-comment.yml")
    assert github.asked == []
