"""`perfgate bisect-step`: is a working tree judged as it is, and is nothing blamed on it that is the host's?

The repository is real, and the measuring a stand-in that reads the truth from its files (stepping.py).
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from perfgate.cli import main
from perfgate.errors import BadInput, StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.history.bisection import LOOKS
from perfgate.history.commits import name_of
from perfgate.history.git_codes import STOPS, GitCode
from perfgate.history.measuring import Unfit
from perfgate.history.results_file import read_results
from tests.harness.history.conftest import ROOT, put_in_place
from tests.harness.history.stepping import AT_THE_LIMIT, DOES_NOT_BUILD, DOES_NOT_START, TreeHost, tree_host
from tests.harness.litellm_repository import LiteLLMRepository

pytestmark = pytest.mark.slow

Step = Callable[..., int]


@pytest.fixture
def trees(tmp_path: Path, repository: LiteLLMRepository, monkeypatch: pytest.MonkeyPatch) -> TreeHost:
    host = tree_host(tmp_path / "log")
    put_in_place(host, monkeypatch)
    return host


@pytest.fixture
def step(repository: LiteLLMRepository, trees: TreeHost, monkeypatch: pytest.MonkeyPatch) -> Step:
    """Judges the current folder's working tree, as git has it judged."""
    monkeypatch.chdir(repository.folder)

    def judged(*more: str) -> int:
        good = ("--good", repository.first, "--margin", "10%", "--thresholds", str(ROOT / "thresholds.yaml"))
        return main(["bisect-step", *good, *more])

    return judged


def results(repository: LiteLLMRepository, host: TreeHost) -> set[str]:
    return set(read_results(host.cache.folder / "bisect-steps" / name_of(repository.first)))


@pytest.mark.parametrize(("truth", "code", "word"), [("1.0", GitCode.GOOD, "good"), ("1.3", GitCode.BAD, "bad")])
def test_a_working_tree_is_good_or_bad_and_how_sure_that_is(
    repository: LiteLLMRepository,
    step: Step,
    trees: TreeHost,
    truth: str,
    code: GitCode,
    word: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, commit = repository.change([truth])
    before = repository.state()
    assert step() == code
    printed = capsys.readouterr().out
    assert printed.startswith(f"{name_of(commit)} is {word}: CPU per request ")
    assert printed.endswith(
        f", bad is more than +10.0 % against {name_of(repository.first)}; sure by at least 99.5 %\n"
    )
    assert repository.state() == before
    assert results(repository, trees) == {name_of(commit)}
    # The same again is known.
    assert step() == code
    assert trees.asked == [name_of(commit)]


def test_changes_that_are_in_no_commit_are_measured_and_said(
    repository: LiteLLMRepository, step: Step, trees: TreeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    _, commit = repository.change(["1.3"])
    assert step() == GitCode.BAD
    repository.write("litellm/cost", "1.0\n")
    assert step() == GitCode.GOOD
    assert "+ changes) is measured as it is, with its changes" in capsys.readouterr().err
    assert len(results(repository, trees)) == 2
    repository.write("litellm/cost", "1.3\nagain\n")
    assert step() == GitCode.BAD
    assert len(set(trees.asked)) == 3
    assert all(name.startswith(name_of(commit)) for name in trees.asked)


def test_one_at_the_limit_cannot_be_told_and_is_measured_no_further(
    repository: LiteLLMRepository, step: Step, trees: TreeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.change([AT_THE_LIMIT])
    assert step() == GitCode.UNTESTABLE
    assert " is undecided: CPU per request +10.0 % (" in capsys.readouterr().out
    assert step() == GitCode.UNTESTABLE
    assert len(trees.asked) == LOOKS, "the good one was not asked, and no look is taken twice"


def test_one_that_does_not_build_is_left_aside(
    repository: LiteLLMRepository, step: Step, trees: TreeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.change([DOES_NOT_BUILD])
    assert step() == GitCode.UNTESTABLE
    assert "cannot be installed: its source does not build" in capsys.readouterr().out
    repository.write("pyproject.toml", "[project")
    assert step() == GitCode.UNTESTABLE
    assert "its pyproject.toml cannot be read" in capsys.readouterr().out
    assert trees.asked == []


def test_one_that_does_not_start_is_left_aside_where_the_good_one_does(
    repository: LiteLLMRepository, step: Step, trees: TreeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.change([DOES_NOT_START])
    assert step() == GitCode.UNTESTABLE
    said = capsys.readouterr()
    assert said.out.strip().endswith(" died")
    assert f"whether litellm git {repository.first[:7]} comes up here is tried now" in said.err
    assert trees.asked == ["the anchor"]
    assert results(repository, trees) == set()


def test_where_the_good_one_does_not_start_either_git_is_stopped(
    repository: LiteLLMRepository, step: Step, trees: TreeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.change([DOES_NOT_START])
    trees.anchor_errors = [StackFailed("the mock endpoint died")]
    assert step() == STOPS + ExitCode.STACK_FAILED
    assert capsys.readouterr().err.endswith("error: the mock endpoint died\n")


def test_an_unfit_host_cannot_tell(repository: LiteLLMRepository, step: Step, trees: TreeHost) -> None:
    _, commit = repository.change(["1.0"])
    trees.errors = {name_of(commit): Unfit("apparatus: late")}
    assert step() == GitCode.UNTESTABLE
    assert trees.asked == [name_of(commit)] * LOOKS


@pytest.mark.parametrize("error", [BadInput("it does not build"), StackFailed("no network")])
def test_a_good_one_that_cannot_be_installed_stops_git(
    repository: LiteLLMRepository, step: Step, trees: TreeHost, error: BadInput | StackFailed
) -> None:
    repository.change(["1.0"])
    trees.cache.errors = {repository.first: error}
    assert step() == STOPS + error.exit_code
    assert trees.asked == []


def test_a_result_that_cannot_be_written_stops_git(
    repository: LiteLLMRepository, step: Step, trees: TreeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.change(["1.0"])

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert step() == STOPS + ExitCode.STACK_FAILED


def test_ended_by_ctrl_c_it_stops_git(repository: LiteLLMRepository, step: Step, trees: TreeHost) -> None:
    _, commit = repository.change(["1.0"])
    trees.errors = {name_of(commit): KeyboardInterrupt()}
    assert step() == STOPS + ExitCode.INTERRUPTED


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--good", "v9"), "error: --good v9: "),
        (("--good", ""), "has no such commit, branch or tag"),
        (("--checkout", "litellm"), "is not the top of a git checkout"),
        (("--checkout", "/nowhere"), "error: --checkout /nowhere: there is no folder /nowhere"),
        (("--results", "litellm/results"), "error: --results litellm/results is in the checkout "),
        (("--generations", "1"), "error: --generations 1 must be at least 2"),
    ],
)
def test_bad_input_stops_git(
    repository: LiteLLMRepository,
    step: Step,
    trees: TreeHost,
    options: tuple[str, ...],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    repository.change(["1.0"])
    assert step(*options) == STOPS + ExitCode.BAD_INPUT
    assert complaint in capsys.readouterr().err
    assert trees.asked == trees.cache.installed == []


def test_without_git_it_stops(
    repository: LiteLLMRepository, step: Step, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert step() == STOPS + ExitCode.BAD_INPUT
