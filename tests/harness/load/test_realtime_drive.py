"""Does a load of realtime sessions open, hold, talk and count as its job says?

Against a mock endpoint of known behaviour, both in processes of their own.
"""

from typing import Any

import pytest

from perfgate.errors import StackFailed
from perfgate.load.api import Api
from perfgate.load.job import LoadJob
from perfgate.load.result import ErrorCount, LoadResult
from perfgate.load.runner import Generator
from tests.harness.load.conftest import Mock, load_job

pytestmark = pytest.mark.slow


def session_job(mock: Mock, **fields: Any) -> LoadJob:
    """A load of sessions; an open loop unless users are given."""
    asked: dict[str, Any] = {"payload_bytes": 100, "window_s": 0.5, "rate_rps": 40} | fields
    return load_job(Api.REALTIME.below(mock.url), api=Api.REALTIME, **asked)


def only_error(result: LoadResult) -> ErrorCount:
    (error,) = result.errors
    assert error.count == result.sent > 0
    return error


@pytest.fixture
def generator(shared_generator: Generator) -> Generator:
    return shared_generator


@pytest.fixture
def fresh(mock: Mock) -> Mock:
    mock.reset()
    return mock


def test_sessions_are_held_for_the_whole_load_and_talk_again_and_again(generator: Generator, fresh: Mock) -> None:
    job = session_job(fresh, users=20, think_time_s=0.2, warm_up_s=0.5, window_s=1)
    events: list[str] = []
    result = generator.run(job, on_event=events.append)
    assert events == ["window_opened", "window_closed", "drained"]
    assert (result.errors, result.sessions_lost, result.sessions_held_min) == ((), 0, 20)
    assert result.session_opening.count == 20
    assert result.sessions_opened == 0
    assert result.sent == result.completed == result.succeeded > 20
    assert result.first_token.count == result.latency.count == result.dispatch_lag.count == result.sent
    assert (result.chunks, result.streams_done) == (8 * result.sent, result.sent)
    assert result.chunk_gap.count == 7 * result.sent
    assert result.header_missing == 0
    counts = fresh.counts()
    assert counts["received_by_path"] == {"/v1/realtime": 20}
    assert counts["replied_by_status"] == {"101": 20}
    assert counts["in_service"] == 0
    assert counts["realtime_responses"]["completed"] >= result.sent


def test_a_user_opens_another_session_after_so_many_turns(generator: Generator, fresh: Mock) -> None:
    result = generator.run(session_job(fresh, users=3, window_s=0.5, turns_per_session=2))
    counts = fresh.counts()
    assert result.errors == ()
    assert result.session_opening.count == counts["received"] > 3
    assert 0 <= 2 * counts["received"] - counts["realtime_responses"]["completed"] <= 3
    assert result.sessions_lost == 0
    assert 0 < result.sessions_opened <= counts["received"]


def test_every_request_of_an_open_loop_is_a_session_of_one_turn(generator: Generator, fresh: Mock) -> None:
    result = generator.run(session_job(fresh, rate_rps=40, warm_up_s=0.25, window_s=0.5))
    assert (result.offered, result.sent, result.succeeded, result.errors) == (20, 20, 20, ())
    assert result.session_opening.count == 30
    counts = fresh.counts()
    assert counts["received"] == counts["realtime_responses"]["completed"] == 30
    assert counts["in_service"] == 0


def test_opening_first_delta_and_end_are_timed_apart(generator: Generator, fresh: Mock) -> None:
    """The request of an open loop opens its session first, so its latency has all of it."""
    model = "mock-session-delay-20ms+delay-30ms+chunks-3-every-10ms"
    result = generator.run(session_job(fresh, model=model, rate_rps=20))
    assert result.session_opening.values_us[0] >= 20_000
    assert result.first_token.values_us[0] >= 50_000
    assert result.latency.values_us[0] >= 70_000
    assert result.chunk_gap.count == 2 * result.sent
    assert result.chunk_gap.percentile_ms(50) == pytest.approx(10, rel=0.5)


@pytest.mark.parametrize(
    ("model", "kind", "example"),
    [
        (
            "mock-error-500-rate-1",
            "response_failed",
            "a response with status failed: {'type': 'failed', 'error': {'type'",
        ),
        (
            "mock-close-1013-after-0-responses",
            "session_closed",
            "the server closed the session with code 1013 (The mock",
        ),
        ("mock-cut-after-1-chunks", "connection_closed", "the server closed the connection without a close frame"),
        ("mock-dealy-1ms", "session_error", '{"type":"error"'),
    ],
)
def test_what_goes_wrong_in_a_session_is_an_error_of_its_kind(
    generator: Generator, fresh: Mock, model: str, kind: str, example: str
) -> None:
    error = only_error(generator.run(session_job(fresh, model=model)))
    assert error.kind == kind
    assert error.example.startswith(example)


def test_a_handshake_that_is_refused_is_an_error_with_status_and_words(generator: Generator, fresh: Mock) -> None:
    job = load_job(f"{fresh.base_url}/v1/elsewhere", api=Api.REALTIME, rate_rps=20, window_s=0.5, payload_bytes=100)
    error = only_error(generator.run(job))
    assert error.kind == "handshake_refused"
    assert error.example.startswith("HTTP 404: ")


def test_a_response_that_never_comes_is_unfinished_and_its_session_is_closed(generator: Generator, fresh: Mock) -> None:
    result = generator.run(session_job(fresh, model="mock-hang", rate_rps=20, tail_s=0.2))
    assert only_error(result).kind == "unfinished"
    assert result.latency.count == result.sent
    assert fresh.counts()["in_service"] == 0


def test_a_session_that_is_never_created_is_unfinished_too(generator: Generator, fresh: Mock) -> None:
    result = generator.run(session_job(fresh, model="mock-session-delay-600000ms", rate_rps=20, tail_s=0.2))
    assert only_error(result).kind == "unfinished"
    assert result.session_opening.count == 0


def test_a_session_that_is_lost_between_turns_is_counted_and_opened_again(generator: Generator, fresh: Mock) -> None:
    job = session_job(fresh, model="mock-close-1001-after-1-responses", users=4, think_time_s=0.1, warm_up_s=0.2)
    result = generator.run(job)
    assert result.errors == ()
    assert result.sessions_lost >= 4
    assert result.session_opening.count > 4
    assert result.sessions_held_min < 4


def test_users_beyond_the_cap_are_counted_as_its_errors(generator: Generator, fresh: Mock) -> None:
    result = generator.run(session_job(fresh, model="mock-hang", rate_rps=20, in_flight_cap=3, tail_s=0.2))
    assert {error.kind: error.count for error in result.errors} == {"in_flight_cap": 7, "unfinished": 3}


def test_a_target_where_nothing_listens_is_said_so(generator: Generator) -> None:
    with pytest.raises(StackFailed, match=r"cannot be loaded: no connection to 127\.0\.0\.1:9"):
        generator.run(load_job("http://127.0.0.1:9/v1/realtime", api=Api.REALTIME))


def test_an_answer_that_repeats_the_key_is_shown_without_it(generator: Generator, fresh: Mock) -> None:
    job = session_job(fresh, model="mock-dealy-sk-secret", api_key="sk-secret", rate_rps=20)
    assert "sk-secret" not in only_error(generator.run(job)).example
