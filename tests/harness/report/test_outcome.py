"""Is a run that failed, broke off or left something open ever called a PASS?"""

import pytest

from perfgate.exit_codes import ExitCode
from perfgate.record import JudgementRecord
from perfgate.report.outcome import Outcome, summed_up
from tests.harness import synthetic
from tests.harness.report.conftest import a_judgement, a_record

PASSED = a_judgement("overhead", "overhead_p95_ms")
FAILED = a_judgement("overhead", "overhead_p95_ms", maximum=5.0)
INVALID = a_judgement("overhead", "overhead_p95_ms", synthetic.measurement(lag_ms=9))


@pytest.mark.parametrize(
    ("judgements", "exit_code", "outcome"),
    [
        ([PASSED], 0, Outcome.PASS),
        ([INVALID], 0, Outcome.INVALID),
        ([INVALID], 10, Outcome.INVALID),
        ([FAILED], 1, Outcome.FAIL),
        ([FAILED], None, Outcome.FAIL),
        ([FAILED], 12, Outcome.FAIL),
        ([PASSED], 1, Outcome.FAIL),
        ([PASSED], None, Outcome.UNFINISHED),
        ([PASSED], 2, Outcome.UNFINISHED),
        ([PASSED], 3, Outcome.UNFINISHED),
        ([PASSED], 4, Outcome.UNFINISHED),
        ([INVALID], 12, Outcome.UNFINISHED),
        ([], 11, Outcome.INCOMPLETE),
        ([], 0, Outcome.INCOMPLETE),
    ],
)
def test_a_run_is_called_by_the_worst_that_happened(
    judgements: list[JudgementRecord], exit_code: int | None, outcome: Outcome
) -> None:
    assert summed_up(a_record(judgements=judgements, exit_code=exit_code)).outcome is outcome


def test_a_metric_without_a_verdict_makes_it_incomplete_though_all_others_pass() -> None:
    limits = {"overhead": ["overhead_p95_ms", "error_ratio"]}
    summing = summed_up(a_record(limits=limits, judgements=[PASSED], exit_code=0))
    assert summing.outcome is Outcome.INCOMPLETE
    assert summing.open_questions == ("overhead has no verdict on error_ratio",)


def test_a_run_that_declares_and_judges_nothing_is_no_pass() -> None:
    assert summed_up(a_record(limits={}, exit_code=0)).outcome is Outcome.INCOMPLETE


def test_verdicts_are_counted_and_the_end_is_told() -> None:
    summing = summed_up(a_record(judgements=[PASSED, PASSED, INVALID], exit_code=10))
    assert summing.counts == "2 PASS, 0 FAIL, 1 INVALID"
    assert summing.ended == "exit code 10: something could not be judged"


def test_what_passed_by_a_waiver_is_counted_apart() -> None:
    waived = a_judgement("overhead", "overhead_p95_ms", maximum=5.0, ceiling=60.0)
    assert summed_up(a_record(judgements=[PASSED, waived], exit_code=0)).counts == (
        "2 PASS (1 of them waived), 0 FAIL, 0 INVALID"
    )


@pytest.mark.parametrize(
    ("exit_code", "words"), [(None, "no exit code: it is still running, or was killed"), (77, "exit code 77")]
)
def test_an_end_that_is_not_in_the_table_is_told_too(exit_code: int | None, words: str) -> None:
    assert summed_up(a_record(exit_code=exit_code)).ended == words


def test_every_exit_code_but_those_of_verdicts_keeps_a_run_from_a_pass() -> None:
    passed = {
        code for code in ExitCode if summed_up(a_record(judgements=[PASSED], exit_code=code)).outcome is Outcome.PASS
    }
    assert passed == {ExitCode.OK, ExitCode.INVALID, ExitCode.INCOMPLETE}
