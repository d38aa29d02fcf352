"""Every verdict and reason, on measurements whose truth is known."""

import dataclasses

import pytest

from perfgate.experiment import health
from perfgate.experiment.measurement import Estimate, Measurement
from perfgate.host_limits import HostStanding
from perfgate.load.schedule import ClosedLoop
from perfgate.thresholds import Apparatus, Limit
from perfgate.verdict import (
    Judgement,
    Reason,
    Surroundings,
    Verdict,
    explain,
    figure,
    headline,
    interval_words,
    judge,
    not_measured,
    shown_only,
    smallest_failing,
)
from tests.harness.synthetic import load_result, measurement, window

APPARATUS = Apparatus(
    dispatch_lag_p99_ms=2.0, sent_ratio_min=0.98, generator_cpu_ratio_max=0.8, direct_p95_above_mock_delay_ms=5.0
)
AROUND = Surroundings("2 cores", "litellm 1.106.2", "pytest tests/perf --seed 7", "record.json")


def limit(metric: str, **ends: float) -> Limit:
    maximum, minimum = ends.get("max"), ends.get("min")
    return Limit(metric, "a reason", "thresholds.yaml", 41, maximum=maximum, minimum=minimum)


def judged(measured: Measurement, of: Limit) -> Judgement:
    return judge(measured, of, health.check(measured, APPARATUS), limit("error_ratio", max=0.001))


def test_a_figure_well_under_its_limit_passes() -> None:
    result = judged(measurement(gateway_ms=12), limit("overhead_p95_ms", max=25))
    assert (result.verdict, result.reason) == (Verdict.PASS, Reason.WITHIN)


def test_a_limit_lowered_below_the_figure_fails_and_says_both() -> None:
    result = judged(measurement(gateway_ms=12), limit("overhead_p95_ms", max=5))
    text = "\n".join(explain(result, AROUND))
    assert result.verdict is Verdict.FAIL
    assert text.startswith("FAIL  overhead: gateway overhead, p95: 11.9 ms (95 % interval")
    assert "at most 5 ms    thresholds.yaml:41 overhead.overhead_p95_ms" in text
    assert "8 rounds in 2 generations, 1,600 requests an arm" in text
    assert "reproduce  pytest tests/perf --seed 7" in text
    assert text.endswith("next       `perfgate report record.json` draws what was measured")


def test_a_limit_within_the_interval_is_undecided_not_passed() -> None:
    measured = measurement(gateway_ms=12)
    value = measured.overhead_ms(95).value
    result = judged(measured, limit("overhead_p95_ms", max=value))
    assert (result.verdict, result.reason) == (Verdict.INVALID, Reason.UNDECIDED)
    assert result.is_open
    assert "next       run it longer (a profile with a larger budget_minutes); " in "\n".join(explain(result, AROUND))


def test_a_generator_that_sent_too_little_is_invalid_even_where_the_figure_would_fail() -> None:
    result = judged(measurement(gateway_ms=500, sent=150), limit("overhead_p95_ms", max=5))
    assert (result.verdict, result.reason) == (Verdict.INVALID, Reason.APPARATUS)
    assert "of the offered load" in result.detail


def test_a_generator_that_sent_late_is_invalid_and_names_likely_causes() -> None:
    result = judged(measurement(lag_ms=9), limit("overhead_p95_ms", max=25))
    text = "\n".join(explain(result, AROUND))
    assert result.reason is Reason.APPARATUS
    assert "dispatch lag p99 9" in text
    assert "1. another process takes the generator's core" in text


def test_a_gateway_that_drowns_fails_although_the_generator_was_late() -> None:
    drowned = measurement(lag_ms=9, failed=150)
    assert judged(drowned, limit("error_ratio", max=0.001)).verdict is Verdict.FAIL
    assert judged(drowned, limit("overhead_p95_ms", max=25)).reason is Reason.ERRORS


def test_a_slow_mock_is_the_apparatus_fault() -> None:
    assert judged(measurement(direct_ms=40), limit("overhead_p95_ms", max=25)).reason is Reason.APPARATUS


def test_a_gateway_that_is_slow_is_not_the_apparatus_fault() -> None:
    assert judged(measurement(gateway_ms=900), limit("overhead_p95_ms", max=25)).reason is Reason.BEYOND


def test_errors_come_before_any_latency() -> None:
    result = judged(measurement(gateway_ms=1, failed=40), limit("overhead_p95_ms", max=25))
    assert (result.verdict, result.reason, result.estimate) == (Verdict.FAIL, Reason.ERRORS, None)
    assert "http_500 (500 boom)" in "\n".join(explain(result, AROUND))


def test_the_error_ratio_itself_fails_with_its_figure() -> None:
    result = judged(measurement(failed=40), limit("error_ratio", max=0.001))
    assert headline(result).startswith("FAIL  overhead: requests that failed: 20 %")


def test_one_bad_request_in_many_does_not_fail() -> None:
    measured = measurement(requests=1000)
    first = next(w for w in measured.windows if w.arm == "gateway")
    bad = dataclasses.replace(first, load=dataclasses.replace(first.load, succeeded=first.load.succeeded - 1))
    windows = tuple(bad if window is first else window for window in measured.windows)
    result = judged(dataclasses.replace(measured, windows=windows), limit("error_ratio", max=0.001))
    assert result.verdict is Verdict.PASS


def test_a_tail_of_too_few_requests_is_not_judged() -> None:
    result = judged(measurement(requests=20), limit("overhead_p99_ms", max=25))
    assert result.reason is Reason.TOO_FEW_REQUESTS
    assert result.detail == "160 requests, at least 1,000 are needed"


def test_cpu_that_was_not_measured_is_invalid_not_zero() -> None:
    measured = measurement()
    windows = tuple(dataclasses.replace(window, gateway=None) for window in measured.windows)
    result = judged(dataclasses.replace(measured, windows=windows), limit("cpu_per_request_ms", max=25))
    assert result.reason is Reason.UNMEASURABLE


@pytest.mark.parametrize(("metric", "value"), [("cpu_per_request_ms", 8.0), ("rss_growth_mib_per_1000_requests", 5.0)])
def test_resources_read_as_they_were_made(metric: str, value: float) -> None:
    result = judged(measurement(cpu_ms=8, growth_bytes=1024 * 1024), limit(metric, max=100))
    assert result.estimate is not None
    assert result.estimate.value == pytest.approx(value)


def test_more_looks_widen_the_interval() -> None:
    once = measurement()
    often = dataclasses.replace(once, looks=10)
    assert often.confidence == pytest.approx(0.995)
    assert often.overhead_ms(95).high >= once.overhead_ms(95).high


def test_the_smallest_failing_value_lies_above_the_limit() -> None:
    result = judged(measurement(), limit("overhead_p95_ms", max=25))
    smallest = smallest_failing(result)
    assert smallest is not None
    assert smallest > 25


ELSEWHERE = HostStanding(None, has_classes=True, reference="reference", speed_index=1.3)


def test_on_another_host_the_scaled_limit_is_judged_and_both_numbers_are_shown() -> None:
    measured = measurement(gateway_ms=12)
    of = limit("overhead_p95_ms", max=10)
    assert judged(measured, of).verdict is Verdict.FAIL
    scaled = judge(measured, of, health.check(measured, APPARATUS), None, ELSEWHERE)
    text = "\n".join(explain(scaled, AROUND))
    assert scaled.verdict is Verdict.PASS
    assert "limit      at most 13 ms (10 scaled ×1.30, this host is not in thresholds.yaml; `perfgate" in text


def test_a_host_that_is_too_different_is_invalid_with_its_own_reason() -> None:
    measured = measurement(gateway_ms=12)
    too_slow = dataclasses.replace(ELSEWHERE, speed_index=3.0)
    result = judge(measured, limit("overhead_p95_ms", max=10), health.check(measured, APPARATUS), None, too_slow)
    assert (result.verdict, result.reason) == (Verdict.INVALID, Reason.NOT_FOR_THIS_HOST)
    assert headline(result) == "INVALID  overhead: gateway overhead, p95: limits not for this host"
    assert "takes 3.00 times as long as reference" in result.detail


def test_errors_are_judged_on_every_host() -> None:
    measured = measurement(failed=20)
    too_slow = dataclasses.replace(ELSEWHERE, speed_index=3.0)
    result = judge(measured, limit("error_ratio", max=0.001), health.check(measured, APPARATUS), None, too_slow)
    assert result.verdict is Verdict.FAIL


def test_a_window_without_a_request_is_invalid_and_never_a_pass() -> None:
    windows = (window("direct", load_result(1.0)), window("gateway", load_result(1.0, requests=0)))
    measured = dataclasses.replace(measurement(), schedule=ClosedLoop(50, warm_up_s=1, window_s=4), windows=windows)
    result = judged(measured, limit("error_ratio", max=0.001))
    assert (result.verdict, result.reason) == (Verdict.INVALID, Reason.NOT_MEASURED)
    assert "every user then still waits" in result.detail


def test_what_cannot_be_measured_is_invalid_and_no_reason_for_more_rounds() -> None:
    windows = (window("direct", load_result(1.0)), window("gateway", load_result(9.0)))
    result = judged(dataclasses.replace(measurement(), windows=windows), limit("cpu_per_request_ms", max=30))
    assert (result.verdict, result.reason) == (Verdict.INVALID, Reason.UNMEASURABLE)
    assert not result.is_open
    assert headline(result) == "INVALID  overhead: CPU per request: cannot be measured here"


def test_what_was_never_sent_is_invalid_and_says_why() -> None:
    result = not_measured("single_request", limit("overhead_p50_ms", max=10), "run without -n")
    text = "\n".join(explain(result, AROUND))
    assert (result.verdict, result.reason) == (Verdict.INVALID, Reason.NOT_MEASURED)
    assert "because    run without -n" in text


def test_a_figure_that_a_small_host_cannot_be_held_to_is_shown_and_invalid() -> None:
    failed = judged(measurement(gateway_ms=90), limit("overhead_p95_ms", max=25))
    result = shown_only(failed, "it takes four cores, and there is one")
    text = "\n".join(explain(result, AROUND))
    assert (failed.verdict, result.verdict) == (Verdict.FAIL, Verdict.INVALID)
    assert not result.is_open
    assert headline(result) == headline(failed).replace("FAIL", "INVALID")
    assert "because    it takes four cores, and there is one" in text
    assert "80 % power" not in text
    assert "next       run it on a host with more cores; " in text


def test_what_was_not_read_at_all_keeps_its_own_reason() -> None:
    unfit = judged(measurement(lag_ms=9), limit("overhead_p95_ms", max=25))
    assert shown_only(unfit, "too few cores") is unfit


def test_the_smallest_failing_value_follows_the_intervals_confidence() -> None:
    """At 95 % it is the limit plus the half-width times 1 + 0.8416 / 1.96; a wider interval says more error a width."""
    result = judged(measurement(gateway_ms=12), limit("overhead_p95_ms", max=25))
    assert result.estimate is not None
    half = result.estimate.value - result.estimate.low
    assert smallest_failing(result) == pytest.approx(25 + half * (1 + 0.8416 / 1.9600), rel=1e-4)
    wider = dataclasses.replace(result, estimate=dataclasses.replace(result.estimate, confidence=0.99))
    assert smallest_failing(wider) == pytest.approx(25 + half * (1 + 0.8416 / 2.5758), rel=1e-4)


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.0123, "", "1.23 %"),
        (0.99973, "", "100 %"),
        (3.456, "", "346 %"),
        (12.345, "", "1,234 %"),
        (0.5, "ms", "0.5 ms"),
        (1170.9, "requests/s", "1,171 requests/s"),
    ],
)
def test_figures_have_three_digits_and_no_powers_of_ten(value: float, unit: str, words: str) -> None:
    assert figure(value, unit) == words


def test_the_ends_of_an_interval_have_no_powers_of_ten() -> None:
    ends = Estimate("x", "", 3.4, 3.1, 12.6, 0.95, rounds=4, generations=2, requests=100)
    assert interval_words(ends) == "95 % interval 310 to 1,260 %"
