"""Does the summary say what happened, in each case that can happen?"""

import json
from typing import Any

import pytest

from perfgate.load.result import ErrorCount
from perfgate.load.summary import JSON_SCHEMA_VERSION, summary_json, summary_lines, was_fit
from perfgate.load.wire import result_of_json
from perfgate.measure.histogram import Histogram
from tests.harness.load.conftest import load_job, load_result

JOB = load_job("http://h:4000/x", model="gpt", rate_rps=100, warm_up_s=2, window_s=10, api_key="sk-hidden")


def summary(**changes: Any) -> str:
    return "\n".join(summary_lines(JOB, load_result(**changes)))


def test_a_healthy_load_reads_like_this() -> None:
    assert summary().splitlines() == [
        "http://h:4000/x  model gpt, prompts of 16,350 bytes",
        "open loop, 100 requests/s, constant arrivals, window 10 s after 2 s of warm-up",
        "",
        "requests         offered 1,000, sent 1,000, completed 1,000, succeeded 1,000",
        "throughput       100 succeeded/s over 10 s, at most 3 in flight (cap 10,000)",
        "errors           none",
        "",
        "milliseconds            p50       p95       p99       max",
        "latency                8.00     15.01     15.01     30.02",
        "service time           7.00      7.00      7.00      7.00",
        "dispatch lag           0.10      0.10      0.10      0.10",
        "",
        (
            "generator        fit: sent 100 % of its schedule, dispatch lag p99 0.1 ms, 0.1 ms of CPU a request, "
            "1 % of one core"
        ),
    ]


def test_errors_are_listed_by_kind_with_an_example_on_one_line() -> None:
    errors = (ErrorCount("http_429", 30, "HTTP 429: {\n  slow\n}"), ErrorCount("unfinished", 2, "x" * 500))
    lines = summary(errors=errors, succeeded=968).splitlines()
    at = lines.index("errors           32 of 1,000 sent (3.2 %)")
    assert lines[at + 1] == "  http_429                    30  HTTP 429: { slow }"
    assert lines[at + 2] == "  unfinished                   2  " + "x" * 120


@pytest.mark.parametrize(("missing", "note"), [(0, ""), (3, "  (missing in 3 replies)")])
def test_the_header_overhead_stands_there_when_there_is_any(missing: int, note: str) -> None:
    text = summary(header_overhead=Histogram.of_us([2_000] * 997), header_missing=missing)
    assert f"header overhead        2.00      2.00      2.00      2.00{note}\n" in text


@pytest.mark.parametrize(("sent", "fit"), [(979, False), (980, True), (1000, True)])
def test_a_generator_that_sent_less_than_98_percent_was_not_fit(sent: int, fit: bool) -> None:
    assert was_fit(load_result(sent=sent)) == fit
    text = summary(sent=sent)
    assert ("generator        fit: " in text) == fit
    assert ("generator        INVALID: apparatus: sent 97.9 % of its schedule" in text) != fit
    assert ("at least 98 % are needed: lower --rate, or give it a core of its own with --cpus" in text) != fit


@pytest.mark.parametrize(("lag_us", "late"), [(1_990, False), (2_100, True)])
def test_a_generator_that_was_late_is_said_to_be(lag_us: int, late: bool) -> None:
    text = summary(dispatch_lag=Histogram.of_us([lag_us] * 1000))
    assert ("generator        late: sent 100 % of its schedule, dispatch lag p99 2.1 ms" in text) == late
    assert ("latency includes that lag, which should be under 2 ms: give it a core" in text) == late


def test_a_load_that_sent_nothing_still_has_a_summary() -> None:
    nothing = Histogram.of_us([])
    text = summary(
        sent=0, completed=0, succeeded=0, statuses=(), latency=nothing, service_time=nothing, dispatch_lag=nothing
    )
    assert "latency          no figures: nothing succeeded" in text
    assert "dispatch lag     no figures: nothing was sent" in text
    assert "INVALID: apparatus: sent 0 % of its schedule; was it suspended?" in text


def test_the_document_holds_the_whole_result_what_most_readers_want_of_it_and_no_key() -> None:
    result = load_result()
    document = json.loads(
        json.dumps(summary_json(JOB, result, started_at="2030-01-01T00:00:00+00:00", perfgate_version="9.8"))
    )
    assert (document["schema"], document["schema_version"]) == ("perfgate-load", JSON_SCHEMA_VERSION)
    assert (document["started_at"], document["perfgate_version"]) == ("2030-01-01T00:00:00+00:00", "9.8")
    assert document["job"]["target"] == {"url": "http://h:4000/x", "model": "gpt"}
    assert document["job"]["schedule"]["offered_rps"] == 100
    assert result_of_json(document["result"]) == result
    derived = document["derived"]
    assert derived["latency_ms"]["p50"] == result.latency.percentile_ms(50)
    assert derived["latency_ms"]["mean"] == result.latency.mean_ms()
    assert derived["service_time_ms"]["p99"] == result.service_time.percentile_ms(99)
    assert derived["dispatch_lag_ms"]["max"] == result.dispatch_lag.max_ms
    assert derived["header_overhead_ms"] is None
    assert derived["generator_was_fit"] is True
    assert (derived["sent_ratio"], derived["completed_ratio"], derived["error_ratio"]) == (1, 1, 0)
    assert (derived["throughput_rps"], derived["generator_cpu_ratio"]) == (100, pytest.approx(0.01))
