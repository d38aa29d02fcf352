"""Which messages stand in a pull request, and where?"""

import pytest

from perfgate.github.annotations import annotations
from perfgate.github.workflow_commands import ANNOTATIONS_MAX
from perfgate.record import Record
from tests.harness import synthetic
from tests.harness.report.conftest import a_judgement, a_record

PASSED = a_judgement("overhead", "overhead_p95_ms")
FAILED = a_judgement("overhead", "overhead_p95_ms", maximum=5.0)
LATE = a_judgement("latency", "overhead_p50_ms", synthetic.measurement(scenario="latency", lag_ms=9))


def here(path: str) -> str | None:
    return f"of/{path}"


def nowhere(_: str) -> str | None:
    return None


def a_run(*judged: object, **changes: object) -> Record:
    return a_record(**{"judgements": list(judged), "exit_code": 1, **changes})


def test_a_run_that_passed_says_nothing() -> None:
    assert annotations(a_run(PASSED, exit_code=0), here) == []


def test_a_fail_comes_first_and_at_its_line_and_an_invalid_has_none() -> None:
    first, second = annotations(a_run(LATE, FAILED, PASSED), here)
    assert (first.title, first.file, first.line) == (
        "perfgate FAIL: overhead, gateway overhead, p95",
        "of/thresholds.yaml",
        8,
    )
    assert (second.title, second.file, second.line) == (
        "perfgate INVALID: latency, gateway overhead, p50",
        None,
        None,
    )
    assert "reproduce: pytest " in first.message
    assert "INVALID is not a pass" in second.message


def test_a_limit_of_another_repository_is_named_in_the_message() -> None:
    (found,) = annotations(a_run(FAILED), nowhere)
    assert (found.file, found.line) == (None, None)
    assert "\nlimit at thresholds.yaml:8\n" in found.message


def test_what_has_no_verdict_is_named() -> None:
    (found,) = annotations(a_run(exit_code=11), here)
    assert found.title == "perfgate INCOMPLETE"
    assert found.message.startswith("overhead did not run; what was declared and has no verdict is no pass\n")


def test_a_run_that_broke_off_says_so_before_what_it_left_open() -> None:
    found = annotations(a_run(exit_code=12), here)
    assert [each.title for each in found] == ["perfgate UNFINISHED", "perfgate INCOMPLETE"]
    assert found[0].message == "0 PASS, 0 FAIL, 0 INVALID; exit code 12: the stack failed"


@pytest.mark.parametrize("count", [ANNOTATIONS_MAX, ANNOTATIONS_MAX + 3])
def test_there_are_no_more_than_github_shows_and_it_is_said_how_many(count: int) -> None:
    found = annotations(a_run(*[FAILED] * count), here)
    assert len(found) == ANNOTATIONS_MAX
    assert (found[-1].title == "perfgate: 4 more") == (count > ANNOTATIONS_MAX)


def test_what_a_gateway_said_stays_one_line_of_the_message() -> None:
    judged = FAILED.model_copy(update={"detail": "500\n::error::mine"})
    (found,) = annotations(a_run(judged), here)
    assert "500 ::error::mine" in found.message
    assert found.command.count("\n") == 0
