"""Do single requests become the same kind of measurement as a load, and are failures counted and not timed?"""

import pytest

from perfgate.experiment.single_requests import Caller, Sent, measurement_of_pairs
from perfgate.load.job import Target
from tests.harness.load.conftest import Mock
from tests.harness.load.conftest import mock as mock  # the fixture
from tests.harness.synthetic import DIRECT, GATEWAY


def sent(took_ms: float, status: int = 200, error: str = "", overhead_ms: float | None = 3.0) -> Sent:
    return Sent(10.0, 10.0 + took_ms / 1000, 0.001, status, error, overhead_ms, 400)


def test_the_overhead_is_the_benchmarks_time_minus_the_direct_one() -> None:
    measured = measurement_of_pairs(
        "single_request", (DIRECT, GATEWAY), [sent(2.0)] * 100, [sent(99.0)] * 100, [0.009] * 100, 25
    )
    estimate = measured.overhead_ms(50)
    assert estimate.value == pytest.approx(7.0, abs=0.05)
    assert (estimate.rounds, estimate.generations, estimate.requests) == (4, 1, 100)


def test_what_fills_no_round_is_not_used() -> None:
    measured = measurement_of_pairs("s", (DIRECT, GATEWAY), [sent(2.0)] * 59, [sent(9.0)] * 59, [0.009] * 59, 25)
    assert measured.requests("gateway") == 50


def test_failures_are_counted_by_kind_and_not_timed() -> None:
    through = [sent(9.0)] * 8 + [sent(900.0, 500, "HTTP 500: boom")] + [sent(900.0, 0, "ReadError: gone")]
    measured = measurement_of_pairs("s", (DIRECT, GATEWAY), [sent(1.0)] * 10, through, [0.009] * 8 + [0.9] * 2, 10)
    (window,) = measured.of_arm("gateway")
    assert [(error.kind, error.count, error.example) for error in window.load.errors] == [
        ("http_500", 1, "HTTP 500: boom"),
        ("no_reply", 1, "ReadError: gone"),
    ]
    assert (window.load.completed, window.load.succeeded, window.load.latency.count) == (9, 8, 8)


def test_replies_without_the_overhead_header_are_counted() -> None:
    through = [sent(9.0), sent(9.0, overhead_ms=None)]
    measured = measurement_of_pairs("s", (DIRECT, GATEWAY), [sent(1.0)] * 2, through, [0.009] * 2, 2)
    (window,) = measured.of_arm("gateway")
    assert (window.load.header_missing, window.load.header_overhead.count) == (1, 1)


@pytest.mark.parametrize(
    ("direct", "times", "text"),
    [(3, 4, "direct=3, through=4, through_s=4: must be as many"), (4, 4, "4 pairs are less than requests_per_round=5")],
)
def test_pairs_that_do_not_match_are_refused(direct: int, times: int, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        measurement_of_pairs("s", (DIRECT, GATEWAY), [sent(1.0)] * direct, [sent(9.0)] * 4, [0.009] * times, 5)


@pytest.mark.slow
def test_a_caller_sends_each_request_once_and_remembers_what_came(mock: Mock) -> None:
    mock.record_ids()
    with Caller(Target(mock.url, "m")) as send:
        for _ in range(3):
            send()
    assert len(set(mock.recorded_ids())) == 3
    assert [(one.status, one.error) for one in send.sent] == [(200, "")] * 3


@pytest.mark.slow
def test_a_caller_remembers_an_error_reply_and_goes_on(mock: Mock) -> None:
    with Caller(Target(mock.url, "mock-error-500-rate-1"), payload_bytes=100) as send:
        send()
        send()
    assert [one.status for one in send.sent] == [500, 500]
    assert send.sent[0].error.startswith("HTTP 500: ")


def test_a_caller_remembers_that_nobody_listens() -> None:
    with Caller(Target("http://127.0.0.1:9/v1/chat/completions", "m")) as send:
        send()
    assert send.sent[0].status == 0
    assert send.sent[0].error.startswith("ConnectError: ")


def test_a_caller_says_what_its_target_is_to_be_told() -> None:
    with Caller(Target("http://h/", "m", "sk-7", headers=(("x-a", "1"),))) as send:
        said = send._client.headers
    assert (said["x-a"], said["authorization"], said["content-type"]) == ("1", "Bearer sk-7", "application/json")
