"""Does the generator send its schedule exactly, and time what it sends from the intended start?

Against a mock endpoint of known behaviour, both in processes of their own.
"""

import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from perfgate.load.api import Api
from perfgate.load.drive import SEND_GRACE_S
from perfgate.load.job import LoadJob
from perfgate.load.result import ErrorCount, LoadResult
from perfgate.load.runner import Generator
from perfgate.load.schedule import Arrivals
from tests.harness.load.conftest import Mock, load_job

pytestmark = pytest.mark.slow


@pytest.fixture
def generator(shared_generator: Generator) -> Generator:
    return shared_generator


def stopping(generator: Generator, *, for_s: float) -> Callable[[str], None]:
    """Suspends the generator from the window's opening on."""

    def on_event(event: str) -> None:
        if event == "window_opened":
            os.kill(generator.pid, signal.SIGSTOP)
            time.sleep(for_s)
            os.kill(generator.pid, signal.SIGCONT)

    return on_event


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
def test_every_request_arrives_exactly_once(generator: Generator, mock: Mock, arrivals: Arrivals) -> None:
    mock.record_ids()
    result = generator.run(load_job(mock.url, rate_rps=500, warm_up_s=0.5, window_s=1.5, arrivals=arrivals))
    ids = mock.recorded_ids()
    assert len(set(ids)) == len(ids) == 1000
    assert (result.offered, result.sent, result.completed, result.succeeded) == (750, 750, 750, 750)
    assert result.errors == ()
    assert result.statuses == ((200, 750),)
    assert result.latency.count == result.service_time.count == result.dispatch_lag.count == 750
    assert result.header_missing == 750
    assert result.reply_bytes > 750 * 100


@pytest.mark.parametrize("api", [Api.EMBEDDINGS, Api.RESPONSES, Api.MESSAGES, Api.MODELS])
def test_every_endpoint_is_asked_as_its_clients_would(generator: Generator, mock: Mock, api: Api) -> None:
    job = load_job(mock.url, rate_rps=100, warm_up_s=0, window_s=0.5)
    targets = tuple(replace(target, url=api.below(target.url)) for target in job.targets)
    result = generator.run(replace(job, targets=targets, api=api, payload_bytes=500))
    assert (result.sent, result.succeeded, result.errors) == (50, 50, ())
    assert result.reply_bytes > 50 * 100


def test_a_fixed_delay_is_in_every_service_time(generator: Generator, mock: Mock) -> None:
    result = generator.run(load_job(mock.url, model="mock-delay-20ms", rate_rps=100))
    assert result.service_time.values_us[0] >= 20_000
    assert result.latency.percentile_ms(50) >= 20
    assert result.in_flight_max >= 2  # 100 a second for 20 ms each


def test_a_stalled_endpoint_shows_up_in_the_p99_of_latency_and_not_in_the_p50(generator: Generator, mock: Mock) -> None:
    """The requests due within the stall are sent on time nevertheless, which a closed loop would leave out."""
    result = generator.run(load_job(mock.url, model="mock-stall-2000ms-every-3s", rate_rps=100, window_s=5))
    assert result.sent == result.succeeded == 500
    assert result.latency.percentile_ms(99) >= 1_800
    assert result.latency.percentile_ms(50) < 1_000
    assert result.in_flight_max >= 100
    # The endpoint's fault is in the service time too.
    assert result.service_time.percentile_ms(99) >= 1_800


def test_a_stalled_generator_shows_up_in_latency_and_lag_and_not_in_service_time(
    generator: Generator, mock: Mock
) -> None:
    """The generator's fault is told apart: a clock started at the send would have hidden it."""
    job = load_job(mock.url, rate_rps=100, window_s=6)
    result = generator.run(job, on_event=stopping(generator, for_s=2))
    assert result.sent == result.succeeded == 600
    assert result.latency.percentile_ms(99) >= 1_800
    assert result.dispatch_lag.percentile_ms(99) >= 1_800
    assert result.latency.percentile_ms(50) < 1_000
    assert result.service_time.percentile_ms(99) < 1_000


def test_a_generator_that_cannot_keep_up_leaves_requests_unsent_and_ends_in_time(
    generator: Generator, mock: Mock
) -> None:
    result = generator.run(load_job(mock.url, rate_rps=400_000, window_s=0.25))
    assert result.offered == 100_000
    assert result.sent_ratio < 0.98
    assert sum(error.count for error in result.errors) + result.succeeded == result.sent
    assert result.drained_mono_s - result.window_closed_mono_s < 10


def test_a_generator_suspended_at_the_end_of_its_window_does_not_catch_up(generator: Generator, mock: Mock) -> None:
    job = load_job(mock.url, rate_rps=1000, window_s=0.5)
    result = generator.run(job, on_event=stopping(generator, for_s=0.6 + SEND_GRACE_S))
    assert result.offered == 500
    # One burst may go out in the turn of the event loop that finds the window over, no more.
    assert result.sent_ratio < 0.98


def test_requests_without_a_reply_count_as_unfinished_with_the_time_they_waited(
    generator: Generator, mock: Mock
) -> None:
    result = generator.run(load_job(mock.url, model="mock-hang", rate_rps=50, tail_s=0.3))
    assert result.errors == (ErrorCount("unfinished", 50, "no whole reply by 0.3 s after the window's end"),)
    assert (result.sent, result.completed, result.statuses) == (50, 0, ())
    assert result.latency.count == result.service_time.count == 50
    # The first was due 1.3 s before the tail's end, the last 0.32 s.
    assert result.latency.max_ms >= 1_290
    assert result.latency.values_us[0] >= 310_000
    assert result.drained_mono_s - result.window_closed_mono_s >= 0.3


def test_the_drain_ends_with_the_last_reply_of_the_window_and_not_with_the_tail(
    generator: Generator, mock: Mock
) -> None:
    result = generator.run(load_job(mock.url, model="mock-delay-100ms", window_s=0.5, tail_s=60))
    assert result.succeeded == 50
    assert 0 < result.drained_mono_s - result.window_closed_mono_s < 30


def test_beyond_the_in_flight_cap_requests_count_as_sent_and_failed(generator: Generator, mock: Mock) -> None:
    mock.record_ids()
    result = generator.run(load_job(mock.url, model="mock-hang", rate_rps=50, tail_s=0.1, in_flight_cap=5))
    assert {error.kind: error.count for error in result.errors} == {"in_flight_cap": 45, "unfinished": 5}
    assert result.errors[0].example == "5 requests were in flight already"
    assert (result.offered, result.sent, result.dispatch_lag.count) == (50, 50, 50)
    assert result.in_flight_max == result.in_flight_cap == 5
    assert len(mock.recorded_ids()) == 5


def test_an_endpoint_killed_in_mid_load_is_counted_and_the_load_goes_on(
    generator: Generator, mortal_mock: Mock
) -> None:
    def kill(event: str) -> None:
        if event == "window_opened":
            mortal_mock.process.kill()

    result = generator.run(load_job(mortal_mock.url, rate_rps=200, warm_up_s=0.3), on_event=kill)
    assert result.offered == result.sent == 200
    kinds = {error.kind: error.count for error in result.errors}
    assert kinds["connect_refused"] > 0
    assert set(kinds) <= {"connect_refused", "connection_closed", "connection_reset", "kept_alive_closed"}
    assert result.succeeded + sum(kinds.values()) == 200


def test_in_a_closed_loop_every_request_arrives_exactly_once(generator: Generator, mock: Mock) -> None:
    mock.record_ids()
    result = generator.run(load_job(mock.url, model="mock-delay-5ms", users=6, window_s=1))
    ids = mock.recorded_ids()
    assert len(set(ids)) == len(ids) == result.offered == result.sent == result.succeeded
    assert result.in_flight_max == 6
    assert result.errors == ()
    assert 6 < result.sent <= 6 * 200  # nobody can have more than 200 replies of 5 ms in a second
    assert result.service_time.values_us[0] >= 5_000


def test_a_generator_that_stalls_under_thinking_users_shows_up_in_latency_and_lag(
    generator: Generator, mock: Mock
) -> None:
    """Users whose next request fell due within the stall were not sent when they should have been."""
    job = load_job(mock.url, users=50, think_time_s=0.1, window_s=3)
    result = generator.run(job, on_event=stopping(generator, for_s=1.5))
    assert result.offered == result.sent == result.succeeded
    assert result.dispatch_lag.max_ms >= 1_300
    assert result.latency.max_ms >= 1_300
    assert result.sent <= 50 * (1 + 30)


def test_two_endpoints_get_their_shares_of_an_open_loop_exactly(
    generator: Generator, mock: Mock, mortal_mock: Mock
) -> None:
    before = mock.received()
    result = generator.run(load_job(mock.url, mortal_mock.url, rate_rps=200))
    assert result.sent_by_target == (100, 100)
    assert (mock.received() - before, mortal_mock.received()) == (100, 100)


STREAMING = "mock-delay-20ms+chunks-20-every-10ms"


@pytest.mark.parametrize("users", [None, 5])
def test_every_chunk_of_a_stream_is_counted_and_timed(generator: Generator, mock: Mock, users: int | None) -> None:
    """20 chunks with content, 10 ms apart from 20 ms on; those of the role and of the finish come with others."""
    result = generator.run(load_job(mock.url, model=STREAMING, rate_rps=50, users=users, stream=True))
    streams = result.sent
    assert result.errors == ()
    assert result.offered == streams == result.succeeded == result.streams_done
    assert result.chunks == 22 * streams
    assert result.chunk_gap.count == 19 * streams
    assert result.first_token.count == result.first_token_service.count == result.latency.count == streams
    assert result.first_token_service.values_us[0] >= 20_000
    assert result.service_time.values_us[0] >= 20_000 + 190_000
    # 20 of 210 ms, if nothing is in the way.
    assert result.first_token_service.mean_ms() < result.service_time.mean_ms() / 2
    # The gaps of a stream are together the time from its first chunk to its last, with which it all but ends.
    gaps_ms = 19 * result.chunk_gap.mean_ms()
    assert 0.8 < gaps_ms / (result.service_time.mean_ms() - result.first_token_service.mean_ms()) < 1.01


def test_a_stream_cut_short_by_the_endpoint_is_no_success(generator: Generator, mock: Mock) -> None:
    model = f"{STREAMING}+cut-after-5-chunks"
    result = generator.run(load_job(mock.url, model=model, rate_rps=40, window_s=0.5, stream=True))
    (error,) = result.errors
    assert (error.kind, error.count) == ("stream_cut_short", 20)
    assert re.search(r"; 6 chunks had come, but no \[DONE\]$", error.example)
    assert (result.succeeded, result.completed, result.streams_done, result.chunks) == (0, 0, 0, 6 * 20)


def test_streams_without_a_first_token_count_with_the_time_they_waited(generator: Generator, mock: Mock) -> None:
    result = generator.run(load_job(mock.url, model="mock-hang", rate_rps=20, window_s=0.5, tail_s=0.3, stream=True))
    assert {error.kind: error.count for error in result.errors} == {"unfinished": 10}
    assert result.first_token == result.latency
    assert result.first_token.values_us[0] >= 300_000


@pytest.mark.parametrize("status", [429, 500])
def test_errors_of_the_endpoint_are_counted_by_status_with_what_it_said(
    generator: Generator, mock: Mock, status: int
) -> None:
    result = generator.run(load_job(mock.url, model=f"mock-error-{status}-rate-0.25", rate_rps=200))
    (error,) = result.errors
    assert error.kind == f"http_{status}"
    assert error.example.startswith(f"HTTP {status}: {{")
    assert error.count == pytest.approx(50, abs=2)
    assert result.statuses == ((200, 200 - error.count), (status, error.count))
    assert result.latency.count == result.succeeded == 200 - error.count
    assert result.error_ratio == pytest.approx(error.count / 200)


def test_one_generator_runs_several_jobs_and_tells_the_instants_of_each(generator: Generator, mock: Mock) -> None:
    for payload_bytes, rate_rps in [(40, 100), (5_000, 200)]:
        events: list[str] = []
        job = load_job(mock.url, rate_rps=rate_rps, window_s=0.5, payload_bytes=payload_bytes)
        result = generator.run(job, on_event=events.append)
        assert events == ["window_opened", "window_closed", "drained"]
        assert result.succeeded == rate_rps * 0.5
        assert result.window_closed_mono_s - result.window_opened_mono_s == pytest.approx(0.5)
        assert result.window_closed_mono_s <= result.drained_mono_s <= time.monotonic()
        assert 0 < result.generator_cpu_s < 10


def test_the_generator_runs_on_the_cores_it_is_given_and_gets_all_back_without(
    generator: Generator, mock: Mock
) -> None:
    all_cpus = os.sched_getaffinity(0)
    first = min(all_cpus)
    seen: list[set[int]] = []

    def look(event: str) -> None:
        seen.append(os.sched_getaffinity(generator.pid))

    jobs: list[LoadJob] = [load_job(mock.url, window_s=0.1, cpus=cpus) for cpus in ((first,), ())]
    results: list[LoadResult] = [generator.run(job, on_event=look) for job in jobs]
    assert [result.succeeded for result in results] == [10, 10]
    assert seen == [{first}] * 3 + [all_cpus] * 3
