"""Is the one comment of the right pull request found, written once, and edited from then on?"""

from collections.abc import Iterator
from typing import Final

import pytest

from perfgate.errors import StackFailed
from perfgate.github.pull_requests import PAGE, Head, PullRequests
from tests.harness.github.fake_github import REPOSITORY, TOKEN, FakeGitHub, comment, pull, served

SHA: Final = "a" * 40
HEAD: Final = Head("fork", "change", SHA)
MARKER: Final = "<!-- perfgate -->"


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with served(FakeGitHub()) as served_here:
        yield served_here


def the(github: FakeGitHub, token: str = TOKEN) -> PullRequests:
    return PullRequests(github.url, REPOSITORY, token)


def test_it_is_the_open_one_whose_newest_commit_was_measured(github: FakeGitHub) -> None:
    github.pulls = [
        pull(5, "fork:other", SHA),
        pull(6, "stranger:change", SHA),
        pull(7, "fork:change", SHA),
        pull(8, "fork:change", "b" * 40),
    ]
    with the(github) as pull_requests:
        assert pull_requests.at(HEAD) == [7]


def test_once_it_has_moved_on_there_is_none(github: FakeGitHub) -> None:
    github.pulls = [pull(7, "fork:change", "b" * 40)]
    with the(github) as pull_requests:
        assert pull_requests.at(HEAD) == []


def test_a_branchs_name_is_never_part_of_the_address(github: FakeGitHub) -> None:
    with the(github) as pull_requests:
        assert pull_requests.at(Head("fork", "a&state=all#/../../x", SHA)) == []
    assert github.asked == ["GET pulls"]


def test_the_first_comment_is_written_and_then_edited_in_place(github: FakeGitHub) -> None:
    github.comments = [comment(1, "first!", "somebody"), comment(2, None)]
    with the(github) as pull_requests:
        assert pull_requests.comment(7, MARKER, f"{MARKER} one") == "wrote a comment to pull request 7"
        assert pull_requests.comment(7, MARKER, f"{MARKER} two") == "edited the comment of pull request 7"
    assert [each["body"] for each in github.comments] == ["first!", None, f"{MARKER} two"]


@pytest.mark.parametrize("by", ["somebody", None])
def test_a_comment_of_somebody_else_with_our_marker_is_left_alone(github: FakeGitHub, by: str | None) -> None:
    github.comments = [comment(1, f"{MARKER} mine", by)]
    with the(github) as pull_requests:
        pull_requests.comment(7, MARKER, f"{MARKER} ours")
    assert [each["body"] for each in github.comments] == [f"{MARKER} mine", f"{MARKER} ours"]


def test_our_comment_is_found_behind_many_others(github: FakeGitHub) -> None:
    github.comments = [comment(number, "x", "somebody") for number in range(PAGE)] + [comment(PAGE, f"{MARKER} one")]
    with the(github) as pull_requests:
        pull_requests.comment(7, MARKER, f"{MARKER} two")
    assert len(github.comments) == PAGE + 1
    assert github.comments[-1]["body"] == f"{MARKER} two"


def test_a_job_that_may_not_write_is_told_what_it_needs(github: FakeGitHub) -> None:
    github.refuses = True
    with the(github) as pull_requests, pytest.raises(StackFailed) as error:
        pull_requests.comment(7, MARKER, "text")
    assert str(error.value).startswith(f"GitHub, POST {REPOSITORY} issues/7/comments: status 403: ")
    assert "`pull-requests: write`" in str(error.value)


def test_a_github_that_is_away_is_an_error_without_the_token() -> None:
    with PullRequests("http://127.0.0.1:9", REPOSITORY, TOKEN) as pull_requests, pytest.raises(StackFailed) as error:
        pull_requests.at(HEAD)
    assert "ConnectError" in str(error.value)
    assert TOKEN not in str(error.value)
