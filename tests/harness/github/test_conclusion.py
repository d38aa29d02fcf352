"""Does a gate that may have been tried twice end green for a PASS, and for nothing else?"""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from perfgate.exit_codes import ExitCode
from perfgate.github.conclusion import CODES, Attempt, concluded
from perfgate.report.outcome import Outcome
from tests.harness.conftest import ROOT
from tests.harness.github.conftest import action_command, action_environ, an_action

SKIPPED: Final = Attempt("skipped", "", "")
REASON: Final = "1 PASS, 0 FAIL, 0 INVALID; exit code 0: no limit failed"


def attempt(verdict: str, result: str = "success") -> Attempt:
    return Attempt(result, verdict, REASON)


@pytest.mark.parametrize(
    ("first", "again", "verdict", "code"),
    [
        (attempt("PASS"), SKIPPED, "PASS", 0),
        (attempt("INVALID"), attempt("PASS"), "PASS", 0),
        (attempt("FAIL"), SKIPPED, "FAIL", 1),
        (attempt("INVALID"), attempt("FAIL"), "FAIL", 1),
        (attempt("INVALID"), attempt("INVALID"), "INVALID", 10),
        (attempt("INVALID"), SKIPPED, "INVALID", 10),
        (attempt("INCOMPLETE"), SKIPPED, "INCOMPLETE", 11),
        (attempt("UNFINISHED", "failure"), SKIPPED, "UNFINISHED", 12),
        (attempt("INVALID"), attempt("", "failure"), "UNFINISHED", 12),
        (attempt("", "failure"), SKIPPED, "UNFINISHED", 12),
        (attempt("", "cancelled"), SKIPPED, "UNFINISHED", 12),
        (SKIPPED, SKIPPED, "UNFINISHED", 12),
        (attempt("PASS", "failure"), SKIPPED, "UNFINISHED", 12),
        (attempt("pass"), SKIPPED, "UNFINISHED", 12),
        (Attempt("", "", ""), Attempt("", "", ""), "UNFINISHED", 12),
    ],
)
def test_the_last_attempt_counts_and_only_a_pass_is_green(
    first: Attempt, again: Attempt, verdict: str, code: int
) -> None:
    found = concluded(first, again)
    assert (found.verdict, found.code) == (verdict, code)


def test_every_word_for_a_run_has_a_code_and_only_pass_has_0() -> None:
    assert set(CODES) == {str(outcome) for outcome in Outcome}
    assert [word for word, code in CODES.items() if code is ExitCode.OK] == ["PASS"]


def test_an_invalid_says_how_often_it_was_tried_and_what_to_do() -> None:
    twice = concluded(attempt("INVALID"), attempt("INVALID")).text
    assert twice.startswith(f"it could not be judged, on two runners, one after the other: {REASON}. That is no pass")
    assert "docs/troubleshooting-invalid.md" in twice
    assert "and it was not tried again" in concluded(attempt("INVALID"), SKIPPED).text


def test_a_verdict_of_the_second_runner_says_so() -> None:
    text = concluded(attempt("INVALID"), attempt("FAIL")).text
    assert text == f"{REASON} (the first runner could not tell: INVALID)"


def test_a_job_without_a_verdict_is_named() -> None:
    text = concluded(attempt("INVALID"), Attempt("cancelled", "", "")).text
    assert text == "the gate has no verdict: its job ended with cancelled; its log says why."


def run_as_the_action_does(tmp_path: Path, **inputs: str) -> tuple[subprocess.CompletedProcess[str], str, str]:
    """With a Python that finds no installed package; what it wrote for GitHub."""
    action = an_action(ROOT / ".github/actions/conclude/action.yml")
    # -S: the site, and with it everything that is installed, is left out.
    python = tmp_path / "python3"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    environ = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "GITHUB_ACTION_PATH": str(ROOT / ".github/actions/conclude"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        **action_environ("conclude", {name.replace("_", "-"): text for name, text in inputs.items()}, action),
    }
    command = action_command("conclude", action)
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
    return done, (tmp_path / "output").read_text(), (tmp_path / "summary").read_text()


def test_the_action_ends_a_gate_that_passed_with_success_and_needs_nothing_installed(tmp_path: Path) -> None:
    done, output, summary = run_as_the_action_does(
        tmp_path, result="success", verdict="PASS", reason=REASON, again_result="skipped"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"perf-gate: PASS: {REASON}\n"
    assert output == "verdict=PASS\n"
    assert summary == f"## perf-gate: PASS\n\n`{REASON}`\n"


def test_the_action_ends_an_invalid_with_a_failure_and_a_reason_that_adds_no_markup(tmp_path: Path) -> None:
    done, output, summary = run_as_the_action_does(
        tmp_path,
        result="success",
        verdict="INVALID",
        reason="`<b>` said",
        again_result="success",
        again_verdict="INVALID",
        again_reason="`<b>` said again",
    )
    assert done.returncode == 10
    assert done.stdout.startswith("::error title=perf-gate INVALID::it could not be judged, on two runners")
    assert output == "verdict=INVALID\n"
    assert summary.count("`") == 2
    assert "'<b>' said again" in summary
