"""Do raw slots come to the right counts, kinds and histograms?"""

from array import array

import numpy as np
import pytest

from perfgate.load.recording import Course, Recording
from perfgate.load.result import ErrorCount, Failure
from perfgate.measure.histogram import Histogram

MS_NS = 1_000_000
COURSE = Course(
    window_opened_mono_ns=1_000 * MS_NS,
    window_closed_mono_ns=1_600 * MS_NS,
    drained_mono_ns=2_000 * MS_NS,
    generator_cpu_s=0.25,
    in_flight_max=4,
    in_flight_cap=7,
    unfinished_example="too late",
)


def recording_of(requests: int, *, window_begins: int = 0, targets: int = 1, streams: bool = False) -> Recording:
    """Request i is due at 1,000 + 100 i ms."""
    intended_mono_ns = np.arange(1_000, 1_000 + 100 * requests, 100, dtype=np.int64) * MS_NS
    opens_mono_ns = (1_000 + 100 * window_begins) * MS_NS
    return Recording(intended_mono_ns, opens_mono_ns, targets=targets, streams=streams)


def test_durations_are_counted_from_where_they_should_be() -> None:
    recording = recording_of(2)
    for request, lag_ms, took_ms in [(0, 1, 20), (1, 3, 40)]:
        dispatched_ns = (1_000 + 100 * request + lag_ms) * MS_NS
        recording.dispatched_mono_ns[request] = dispatched_ns
        recording.replied(request, dispatched_ns + took_ms * MS_NS, 200, None, 50, b"")
    result = recording.result(COURSE)
    assert result.latency == Histogram.of_us([21_000, 43_000])
    assert result.service_time == Histogram.of_us([20_000, 40_000])
    assert result.dispatch_lag == Histogram.of_us([1_000, 3_000])
    assert (result.offered, result.sent, result.completed, result.succeeded) == (2, 2, 2, 2)
    assert result.reply_bytes == 100
    assert result.errors == ()


def test_every_kind_of_end_is_counted_once_with_its_first_example() -> None:
    recording = recording_of(9)
    for request in range(8):  # the ninth is never sent
        recording.dispatched_mono_ns[request] = (1_000 + 100 * request) * MS_NS
    recording.replied(0, 1_500 * MS_NS, 204, None, 0, b"")
    recording.replied(1, 1_500 * MS_NS, 429, None, 9, b"slow down")
    recording.replied(2, 1_500 * MS_NS, 429, None, 9, b"I said so")
    recording.replied(3, 1_500 * MS_NS, 302, None, 0, b"")
    recording.failed(4, Failure.CONNECT_REFUSED, "first")
    recording.failed(5, Failure.CONNECT_REFUSED, "second")
    recording.failed(6, Failure.IN_FLIGHT_CAP, "full")
    result = recording.result(COURSE)
    assert result.errors == (
        ErrorCount("connect_refused", 2, "first"),
        ErrorCount("http_429", 2, "HTTP 429: slow down"),
        ErrorCount("http_302", 1, "HTTP 302: "),
        ErrorCount("in_flight_cap", 1, "full"),
        ErrorCount("unfinished", 1, "too late"),
    )
    assert (result.offered, result.sent, result.completed, result.succeeded) == (9, 8, 4, 1)
    assert result.statuses == ((204, 1), (302, 1), (429, 2))
    assert result.dispatch_lag.count == 8
    # The success of 500 ms, and the unfinished request 7, which waited from 1,700 to 2,000 ms.
    assert result.latency == Histogram.of_us([500_000, 300_000])
    assert result.reply_bytes == 0


def test_the_warm_up_is_in_no_figure() -> None:
    recording = recording_of(3, window_begins=2)
    for request in range(3):
        recording.dispatched_mono_ns[request] = (1_000 + 100 * request) * MS_NS
    recording.replied(0, 5_000 * MS_NS, 500, b"3", 10, b"warm")
    recording.failed(1, Failure.BAD_REPLY, "warm")
    recording.replied(2, 1_210 * MS_NS, 200, b"1.5", 10, b"")
    result = recording.result(COURSE)
    assert (result.offered, result.sent, result.completed, result.errors) == (1, 1, 1, ())
    assert result.latency == Histogram.of_us([10_000])
    assert result.header_overhead == Histogram.of_us([1_500])
    assert result.reply_bytes == 10


@pytest.mark.parametrize("header", [None, b"", b"None", b"nan", b"inf", b"-1", b"1e300"])
def test_an_overhead_header_that_is_no_duration_counts_as_missing(header: bytes | None) -> None:
    recording = recording_of(3)
    for request, value in enumerate([b"1.25", header, b"0"]):
        recording.dispatched_mono_ns[request] = COURSE.window_opened_mono_ns
        recording.replied(request, COURSE.window_closed_mono_ns, 200, value, 0, b"")
    result = recording.result(COURSE)
    assert result.header_missing == 1
    assert result.header_overhead == Histogram.of_us([1_250, 0])


def test_replies_that_failed_count_neither_as_with_nor_without_the_header() -> None:
    recording = recording_of(2)
    for request, header in enumerate([b"1", None]):
        recording.dispatched_mono_ns[request] = COURSE.window_opened_mono_ns
        recording.replied(request, COURSE.window_closed_mono_ns, 500, header, 0, b"")
    result = recording.result(COURSE)
    assert (result.header_overhead.count, result.header_missing) == (0, 0)


def test_a_closed_loops_requests_are_added_one_by_one_and_come_to_the_same() -> None:
    known, grown = recording_of(5, window_begins=2), recording_of(0, window_begins=2)
    assert [grown.add((1_000 + 100 * request) * MS_NS) for request in range(5)] == [0, 1, 2, 3, 4]
    for recording in (known, grown):
        for request in range(5):
            recording.dispatched_mono_ns[request] = (1_001 + 100 * request) * MS_NS
        recording.replied(1, 1_600 * MS_NS, 200, None, 10, b"")
        recording.replied(2, 1_600 * MS_NS, 200, b"1", 10, b"")
        recording.failed(3, Failure.BAD_REPLY, "garbled")
    assert grown.result(COURSE) == known.result(COURSE)
    assert grown.result(COURSE).offered == 3


def test_a_closed_loop_without_a_request_in_its_window_offered_and_sent_none() -> None:
    recording = recording_of(0, window_begins=2)
    recording.dispatched_mono_ns[recording.add(1_100 * MS_NS)] = 1_100 * MS_NS
    result = recording.result(COURSE)
    assert (result.offered, result.sent, result.sent_ratio, result.error_ratio) == (0, 0, 1.0, 1.0)
    assert result.sent_by_target == (0,)


def test_targets_take_turns_by_request_number() -> None:
    recording = recording_of(9, window_begins=1, targets=3)
    for request in range(8):  # the last is never sent
        recording.dispatched_mono_ns[request] = (1_000 + 100 * request) * MS_NS
    assert recording.result(COURSE).sent_by_target == (2, 3, 2)


def test_first_tokens_are_counted_from_intended_start_and_from_send_of_successes_and_unfinished() -> None:
    recording = recording_of(6, streams=True)
    for request in range(6):
        recording.dispatched_mono_ns[request] = (1_002 + 100 * request) * MS_NS
    for request in (0, 1, 2):
        recording.first_token(request, (1_012 + 100 * request) * MS_NS)
    recording.replied(0, 1_900 * MS_NS, 200, None, 0, b"")
    recording.failed(1, Failure.STREAM_CUT_SHORT, "cut")  # 2 is unfinished after its first token, 3 before it
    recording.replied(4, 1_900 * MS_NS, 200, None, 0, b"")  # without any content
    recording.replied(5, 1_900 * MS_NS, 429, None, 0, b"")
    result = recording.result(COURSE)
    assert result.first_token == Histogram.of_us([12_000, 12_000, 700_000])
    assert result.first_token_service == Histogram.of_us([10_000, 10_000, 698_000])


def test_whole_replies_have_no_first_token_even_when_unfinished() -> None:
    recording = recording_of(1)
    recording.dispatched_mono_ns[0] = 1_000 * MS_NS
    assert recording.result(COURSE).first_token == Histogram.of_us([])


def test_what_came_of_streams_is_added_up_without_the_warm_up() -> None:
    recording = recording_of(3, window_begins=1, streams=True)
    recording.streamed(0, 9, True, array("I", [7]))
    recording.streamed(1, 5, False, array("I", [10_000, 11_000]))
    recording.streamed(2, 3, True, array("I", [12_000]))
    result = recording.result(COURSE)
    assert (result.chunks, result.streams_done) == (8, 1)
    assert result.chunk_gap == Histogram.of_us([10_000, 11_000, 12_000])


def test_the_course_of_the_load_is_passed_on() -> None:
    result = recording_of(1).result(COURSE)
    assert (result.window_opened_mono_s, result.window_closed_mono_s, result.drained_mono_s) == (1.0, 1.6, 2.0)
    assert (result.generator_cpu_s, result.in_flight_max, result.in_flight_cap) == (0.25, 4, 7)
    assert (result.sent, result.latency.count, result.sent_ratio, result.error_ratio) == (0, 0, 0.0, 1.0)
