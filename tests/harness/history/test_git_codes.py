"""Can git take nothing for an answer that is none?"""

from collections.abc import Callable

import pytest

from perfgate.cli import main
from perfgate.exit_codes import ExitCode
from perfgate.history.git_codes import STOPS, GitCode, for_git


def raises(error: BaseException) -> Callable[[], int]:
    def step() -> int:
        raise error

    return step


@pytest.mark.parametrize("code", GitCode)
def test_an_answer_comes_through_as_it_is(code: GitCode) -> None:
    assert for_git(lambda: code) == code


@pytest.mark.parametrize("code", sorted(set(ExitCode) - {ExitCode.OK, ExitCode.FAIL}))
def test_every_error_makes_git_stop(code: ExitCode) -> None:
    """What no step returns, 0 and 1 of other commands, is left out: those two are answers here."""
    assert STOPS <= for_git(lambda: code) <= 255


def test_an_error_of_our_own_is_shown_and_makes_git_stop(capsys: pytest.CaptureFixture[str]) -> None:
    assert for_git(raises(RuntimeError("a bug"))) == STOPS + ExitCode.INTERNAL
    assert "RuntimeError: a bug" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--good", "main"),
        ("--margin", "10%"),
        ("--good", "main", "--margin", "10%", "--bogus"),
        ("--good", "main", "--margin", "10"),
        ("--good", "main", "--margin", "10%", "--metric", "speed"),
        ("--good", "main", "--margin", "10%", "--thresholds", "none.yaml"),
    ],
)
def test_a_wrong_command_line_is_no_bad_commit(options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bisect-step", *options]) == STOPS + ExitCode.BAD_INPUT
    assert capsys.readouterr().err.startswith("error: ")


def test_other_commands_end_with_their_own_codes() -> None:
    assert main(["bisect", "--bogus"]) == ExitCode.BAD_INPUT
