"""Does a row say of a verdict what was found, and which rows are looked at first?"""

import pytest

from perfgate.experiment import health
from perfgate.experiment.measurement import Measurement
from perfgate.record import JudgementRecord
from perfgate.record_entries import judgement_record
from perfgate.report.rows import Row, row_of, worst
from perfgate.thresholds import Limit
from perfgate.verdict import Verdict, figure, judge, smallest_failing
from tests.harness import synthetic
from tests.harness.report.conftest import APPARATUS, a_compared_judgement, a_judgement, two_arms


def changed(judgement: JudgementRecord, **changes: object) -> JudgementRecord:
    return judgement.model_copy(update=changes)


def test_a_row_has_figure_interval_limit_and_the_value_that_would_have_failed() -> None:
    measured = synthetic.measurement()
    limit = Limit("overhead_p95_ms", "a reason", "thresholds.yaml", 8, maximum=25)
    judged = judge(measured, limit, health.check(measured, APPARATUS), None)
    row = row_of(judgement_record(judged))
    assert (row.verdict, row.scenario, row.title) == (Verdict.PASS, "overhead", "gateway overhead, p95")
    assert (row.limit, row.place, row.why) == ("at most 25 ms", "thresholds.yaml:8", "a reason")
    assert row.apparatus.startswith("healthy: sent 100 % of the offered load")
    estimate, fails_from = judged.estimate, smallest_failing(judged)
    assert estimate is not None
    assert fails_from is not None
    assert (row.observed, row.value) == (figure(estimate.value, "ms"), estimate.value)
    assert row.fails_from == figure(fails_from, "ms")
    assert row.nearness == pytest.approx(estimate.value / 25)


def test_a_pass_by_a_waiver_is_told_apart_and_would_have_failed_from_its_ceiling_on() -> None:
    row, plain = (row_of(a_judgement("overhead", "overhead_p95_ms", maximum=5.0, ceiling=c)) for c in (60.0, None))
    assert (row.verdict, row.said, row.is_waived, row.limit) == (Verdict.PASS, ", waived", True, "at most 5 ms")
    assert row.reason.startswith("waived: ")
    assert float(row.fails_from.removesuffix(" ms")) > 60
    assert (plain.verdict, plain.said, plain.is_waived) == (Verdict.FAIL, "", False)


def test_a_share_of_errors_has_no_value_that_would_have_failed() -> None:
    row = row_of(a_judgement("overhead", "error_ratio", maximum=0.001))
    assert (row.fails_from, row.nearness, row.unit) == ("", 0.0, "")


def test_what_may_not_be_at_all_is_infinitely_near_once_it_is() -> None:
    judged = a_judgement("overhead", "error_ratio", synthetic.measurement(failed=20), maximum=0.0)
    assert row_of(judged).nearness == float("inf")
    assert row_of(a_judgement("overhead", "error_ratio", maximum=0.0)).nearness == 0.0


def at_least(minimum: float, metric: str, measured: Measurement | None = None) -> Row:
    judged = a_judgement("overhead", metric, measured, maximum=2.0)
    return row_of(changed(judged, limit=judged.limit.model_copy(update={"maximum": None, "minimum": minimum})))


def test_a_share_that_must_be_there_is_near_by_what_lacks_of_it() -> None:
    assert at_least(0.99, "completed_ratio").limit == "at least 99 %"
    assert at_least(0.99, "completed_ratio").nearness == 0.0
    lacking = at_least(0.9, "completed_ratio", synthetic.measurement(failed=20))
    assert lacking.value is not None
    assert lacking.nearness == pytest.approx((1 - lacking.value) / 0.1)


def test_a_minimum_of_anything_else_is_nearer_the_less_there_is() -> None:
    plenty = at_least(10.0, "overhead_p50_ms")
    assert plenty.value is not None
    assert plenty.nearness == pytest.approx(10.0 / plenty.value)


def test_a_comparison_has_both_figures_and_the_slowdown_that_would_have_failed() -> None:
    row = row_of(a_compared_judgement("cpu_per_request_ms", two_arms(1.5), floor=0.2))
    assert row.observed == "8 -> 12 ms"
    assert row.value is None
    assert float(row.fails_from.removeprefix("+").removesuffix(" %")) > 5
    assert row.nearness == pytest.approx(1.5 / 1.05, rel=0.01)


def test_a_comparison_that_no_slowdown_would_have_failed_says_so() -> None:
    assert row_of(a_compared_judgement("rss_mib", two_arms(1.2, (1.0, 1.0)))).fails_from == "no slowdown"


def test_equivalence_is_as_near_from_below_as_from_above() -> None:
    faster, slower = (
        row_of(a_compared_judgement("rss_mib", two_arms(ratio), equivalent_within=0.05)) for ratio in (0.5, 2.0)
    )
    assert faster.nearness == pytest.approx(slower.nearness, rel=0.01)


def test_a_figure_that_was_not_read_says_so() -> None:
    row = row_of(a_judgement("overhead", "overhead_p95_ms", synthetic.measurement(lag_ms=9)))
    assert (row.verdict, row.observed, row.fails_from, row.nearness) == (Verdict.INVALID, "not read", "", None)


def test_a_metric_that_this_version_does_not_know_is_shown_by_its_name() -> None:
    row = row_of(changed(a_judgement("overhead", "overhead_p95_ms"), metric="of_tomorrow_ms"))
    assert (row.title, row.fails_from) == ("of_tomorrow_ms", "")
    assert row.observed.endswith(" ms")


def test_a_limit_without_a_number_is_shown_as_such() -> None:
    judged = a_judgement("overhead", "overhead_p95_ms")
    row = row_of(changed(judged, limit=judged.limit.model_copy(update={"maximum": None})))
    assert (row.limit, row.fails_from, row.nearness) == ("not stated in one way", "", None)


def test_the_worst_are_failures_by_how_far_they_are_beyond_then_invalid_then_what_passed_narrowly() -> None:
    narrow = a_judgement("overhead", "overhead_p99_ms", maximum=15.0)
    wide = a_judgement("overhead", "overhead_p50_ms", maximum=100.0)
    far = a_judgement("latency", "latency_p95_ms", synthetic.measurement(scenario="latency", gateway_ms=90))
    less_far = a_judgement("latency", "latency_p50_ms", synthetic.measurement(scenario="latency", gateway_ms=60))
    invalid = a_judgement("resources", "cpu_per_request_ms", synthetic.measurement(lag_ms=9))
    rows = [row_of(judged) for judged in (wide, narrow, invalid, less_far, far)]
    metrics = [row.metric for row in worst(rows, 4)]
    assert metrics == ["latency_p95_ms", "latency_p50_ms", "cpu_per_request_ms", "overhead_p99_ms"]
    assert worst([], 3) == []
