"""Does GitHub get what is said in its own form, and only that?"""

from pathlib import Path

import pytest

from perfgate.github.workflow_commands import (
    Annotation,
    append_outputs,
    append_summary,
    commands_stopped,
)


def test_a_message_with_its_place_is_one_line_in_which_nothing_ends_early() -> None:
    said = Annotation("error", "FAIL: p95, slow", "by 5 %\nsecond::line\r", "a,b:c.yaml", 8)
    assert said.command == ("::error file=a%2Cb%3Ac.yaml,line=8,title=FAIL%3A p95%2C slow::by 5 %25%0Asecond::line%0D")


def test_a_message_without_a_place_has_none() -> None:
    assert Annotation("warning", "INVALID", "it could not tell").command == "::warning title=INVALID::it could not tell"


def test_outputs_are_added_to_those_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "output"
    path.write_text("earlier=1\n")
    append_outputs({"GITHUB_OUTPUT": str(path)}, {"verdict": "PASS", "record": "/a b/c.json"})
    assert path.read_text() == "earlier=1\nverdict=PASS\nrecord=/a b/c.json\n"


@pytest.mark.parametrize("text", ["PASS\nverdict=FAIL", "PASS\rverdict=FAIL"])
def test_an_output_cannot_set_another(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="an output is one line"):
        append_outputs({"GITHUB_OUTPUT": str(tmp_path / "output")}, {"first": "1", "reason": text})
    assert not (tmp_path / "output").exists()


def test_away_from_github_nothing_is_written() -> None:
    append_outputs({}, {"verdict": "PASS"})
    append_summary({}, "## PASS\n")


def test_a_summary_is_appended(tmp_path: Path) -> None:
    for text in ("first\n", "second\n"):
        append_summary({"GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}, text)
    assert (tmp_path / "summary").read_text() == "first\nsecond\n"


def test_on_github_commands_are_stopped_by_a_word_that_nobody_can_guess(capsys: pytest.CaptureFixture[str]) -> None:
    tokens = set()
    for _ in range(2):
        with commands_stopped({"GITHUB_ACTIONS": "true"}):
            print("::error::of a gateway")
        first, inside, last = capsys.readouterr().out.splitlines()
        token = first.removeprefix("::stop-commands::")
        assert (inside, last) == ("::error::of a gateway", f"::{token}::")
        tokens.add(token)
    assert len(tokens) == 2
    assert min(map(len, tokens)) >= 32


def test_commands_go_on_after_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), commands_stopped({"GITHUB_ACTIONS": "true"}):
        raise KeyError
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_elsewhere_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with commands_stopped({}):
        pass
    assert capsys.readouterr().out == ""
