"""Does the summary say what happened, in each case that can happen?"""

import json
from dataclasses import replace
from typing import Any

import pytest

from perfgate.load.job import LoadJob
from perfgate.load.result import ErrorCount
from perfgate.load.summary import JSON_SCHEMA_VERSION, summary_json, summary_lines, was_fit
from perfgate.load.wire import result_of_json
from perfgate.measure.histogram import Histogram
from tests.harness.load.conftest import load_job, load_result

JOB = load_job("http://h:4000/x", model="gpt", rate_rps=100, warm_up_s=2, window_s=10, api_key="sk-hidden")

STREAM_FIGURES_US = {"first_token": 15_000, "first_token_service": 14_000, "chunk_gap": 10_000}


def summary(job: LoadJob = JOB, **changes: Any) -> str:
    return "\n".join(summary_lines(job, load_result(**changes)))


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


def test_one_prompt_for_all_requests_is_said() -> None:
    job = load_job("http://h/x", model="gpt", payload_bytes=400, same_prompt=True)
    assert summary(job).startswith("http://h/x  model gpt, always the same prompt of 400 bytes\n")


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


CLOSED_JOB = load_job("http://h/x", users=20, think_time_s=0.5, window_s=10, connections=8)


def test_a_closed_loop_is_named_as_such_and_has_no_schedule_to_keep() -> None:
    lines = summary(CLOSED_JOB).splitlines()
    assert lines[1] == (
        "closed loop, 20 users, 0.5 s of think time, 8 connections in turn, window 10 s after 0 s of warm-up"
    )
    assert lines[3] == "requests         sent 1,000, completed 1,000, succeeded 1,000"
    assert lines[-1].startswith("generator        fit: closed loop, dispatch lag p99 0.1 ms, ")


def test_a_closed_loop_that_sends_late_is_said_to_be_late() -> None:
    text = summary(CLOSED_JOB, dispatch_lag=Histogram.of_us([3_000] * 1000))
    assert "generator        late: closed loop, dispatch lag p99 3 ms" in text


def test_a_closed_loop_whose_users_were_never_free_says_so() -> None:
    nothing = Histogram.of_us([])
    text = summary(CLOSED_JOB, offered=0, sent=0, latency=nothing, service_time=nothing, dispatch_lag=nothing)
    assert (
        "generator        nothing was sent within the window: every user still waited for a reply to a request of the "
        "warm-up"
    ) in text


def test_every_one_of_several_targets_has_a_line_with_its_share() -> None:
    lines = summary(load_job("http://a/x", "http://b/x"), sent_by_target=(501, 1_499)).splitlines()
    assert lines[:2] == [
        "http://a/x  model m, prompts of 16,350 bytes, sent 501",
        "http://b/x  model m, prompts of 16,350 bytes, sent 1,499",
    ]


def test_streams_show_their_chunks_first_tokens_and_gaps() -> None:
    figures = {name: Histogram.of_us([us] * 1000) for name, us in STREAM_FIGURES_US.items()}
    lines = summary(load_job("http://h/x", stream=True), chunks=19_995, streams_done=999, **figures).splitlines()
    assert lines[1] == "open loop, 100 requests/s, constant arrivals, streams, window 1 s after 0 s of warm-up"
    assert "streams          999 ended with [DONE], 19,995 chunks in all" in lines
    at = lines.index("first token           15.01     15.01     15.01     15.01")
    assert lines[at + 1] == "  since its send      14.01     14.01     14.01     14.01"
    assert lines[at + 2] == "chunk gap             10.01     10.01     10.01     10.01"


def test_streams_without_content_say_so_and_whole_replies_speak_of_no_streams() -> None:
    text = summary(load_job("http://h/x", stream=True))
    assert "first token      no figures: no chunk with content came\n" in text
    assert "chunk gap        no figures: no stream had two chunks with content\n" in text
    assert "chunk" not in summary()
    assert "first token" not in summary()


def test_the_document_holds_what_streams_came_to() -> None:
    figures = {name: Histogram.of_us([us] * 1000) for name, us in STREAM_FIGURES_US.items()}
    job = load_job("http://h/x", "http://i/x", users=3, stream=True, connections=2, api_key="sk-hidden")
    result = load_result(chunks=20_000, streams_done=1000, sent_by_target=(500, 500), **figures)
    document = summary_json(job, result, started_at="", perfgate_version="")
    assert "sk-hidden" not in json.dumps(document)
    assert document["job"]["schedule"]["users"] == 3
    assert (document["job"]["stream"], document["job"]["connections"]) == (True, 2)
    assert document["derived"]["first_token_ms"]["p50"] == result.first_token.percentile_ms(50)
    assert document["derived"]["first_token_service_ms"]["p99"] == result.first_token_service.percentile_ms(99)
    assert document["derived"]["chunk_gap_ms"]["max"] == result.chunk_gap.max_ms
    assert (document["result"]["chunks"], document["result"]["streams_done"]) == (20_000, 1000)
    assert document["result"]["sent_by_target"] == [500, 500]


def test_the_document_holds_no_headers() -> None:
    (target,) = JOB.targets
    job = replace(JOB, targets=(replace(target, headers=(("x-a", "hidden"),)),))
    document = summary_json(job, load_result(), started_at="", perfgate_version="")
    assert list(document["job"]["targets"]) == [{"url": "http://h:4000/x", "model": "gpt"}]


def test_the_document_holds_the_whole_result_what_most_readers_want_of_it_and_no_key() -> None:
    result = load_result()
    document = json.loads(
        json.dumps(summary_json(JOB, result, started_at="2030-01-01T00:00:00+00:00", perfgate_version="9.8"))
    )
    assert (document["schema"], document["schema_version"]) == ("perfgate-load", JSON_SCHEMA_VERSION)
    assert (document["started_at"], document["perfgate_version"]) == ("2030-01-01T00:00:00+00:00", "9.8")
    assert document["job"]["targets"] == [{"url": "http://h:4000/x", "model": "gpt"}]
    assert document["job"]["schedule"]["offered_rps"] == 100
    assert result_of_json(document["result"]) == result
    derived = document["derived"]
    assert derived["latency_ms"]["p50"] == result.latency.percentile_ms(50)
    assert derived["latency_ms"]["mean"] == result.latency.mean_ms()
    assert derived["service_time_ms"]["p99"] == result.service_time.percentile_ms(99)
    assert derived["dispatch_lag_ms"]["max"] == result.dispatch_lag.max_ms
    assert derived["header_overhead_ms"] is None
    assert derived["first_token_ms"] is derived["first_token_service_ms"] is derived["chunk_gap_ms"] is None
    assert derived["generator_was_fit"] is True
    assert (derived["sent_ratio"], derived["completed_ratio"], derived["error_ratio"]) == (1, 1, 0)
    assert (derived["throughput_rps"], derived["generator_cpu_ratio"]) == (100, pytest.approx(0.01))
