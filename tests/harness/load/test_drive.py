"""Who sends when, where to and on which connection: the drive of a load against toy servers in the same process."""

import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import cycle

import pytest
import uvloop

from perfgate.load import drive as drive_module
from perfgate.load.drive import FAILURE_PAUSE_S, TooManyRequests, drive
from perfgate.load.http_client import Unreachable
from perfgate.load.job import LoadJob, Target
from perfgate.load.result import LoadResult
from perfgate.load.schedule import ClosedLoop, OpenLoop
from tests.harness.load.conftest import Close, Read, Script, Step, Toy, load_job, toy_server

pytestmark = pytest.mark.slow

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
#: The first connection of every load only proves that something listens.
PROBE: Script = []


def answering(connections: int, reply: bytes = OK) -> list[Script]:
    """Scripts of a server that answers every request, on so many connections."""
    script: list[Step] = [Read, reply]
    return [PROBE, *(cycle(script) for _ in range(connections))]


def driven(job_of: Callable[[str], LoadJob], *scripts: Script) -> tuple[LoadResult, Toy]:
    """Drive a job against a toy server of these scripts."""

    async def run() -> tuple[LoadResult, Toy]:
        async with toy_server(*scripts) as toy:
            return await quietly(job_of(url_of(toy))), toy

    return uvloop.run(run())


def quietly(job: LoadJob) -> Awaitable[LoadResult]:
    return drive(job, in_flight_cap=job.in_flight_cap, announce=lambda instant, mono_s: None)


def url_of(toy: Toy) -> str:
    return f"http://127.0.0.1:{toy.port}/x"


@pytest.mark.parametrize("users", [1, 7])
def test_a_closed_loop_never_has_more_requests_in_flight_than_users(users: int) -> None:
    """Each connection carries one request at a time, so more requests than users would need more connections."""
    result, toy = driven(lambda url: load_job(url, users=users, window_s=0.3), *answering(users + 5))
    assert toy.connections == 1 + users
    assert result.in_flight_max == users
    assert result.offered == result.sent == result.succeeded == len(toy.requests) > users
    assert result.errors == ()


def test_a_user_thinks_between_a_reply_and_the_next_request() -> None:
    """In 0.5 s, thinking 0.1 s each time, nobody gets to send more than 5 times."""
    job_of = [
        lambda url, think=think: load_job(url, users=10, think_time_s=think, window_s=0.5) for think in (0.1, 0.0)
    ]
    thoughtful, thoughtless = (driven(job, *answering(10))[0] for job in job_of)
    assert 10 <= thoughtful.sent <= 50
    assert thoughtless.sent > 50


def test_users_who_think_between_two_times_send_no_more_than_those_who_think_the_shorter() -> None:
    def sent(longest_s: float) -> int:
        job_of = lambda url: load_job(url, users=10, window_s=0.5, think_time_s=0.05, think_time_max_s=longest_s)  # noqa: E731
        return driven(job_of, *answering(10))[0].sent

    assert 10 <= sent(0.5) < sent(0.05) <= 10 * (1 + 10)


def test_users_go_on_after_replies_with_an_error_as_after_any_other() -> None:
    error = b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"
    result, _ = driven(lambda url: load_job(url, users=2, window_s=0.5), *answering(2, error))
    assert result.statuses == ((500, result.sent),)
    assert result.sent > pausing_at_most(2, 0.5)


def test_users_whose_requests_fail_at_once_pause_and_go_on() -> None:
    """Every connection after the first is closed as soon as it is accepted."""
    result, _ = driven(lambda url: load_job(url, users=2, window_s=0.5), PROBE)
    assert {error.kind for error in result.errors} <= {"connection_closed", "connection_reset"}
    assert 2 < result.sent <= pausing_at_most(2, 0.5)


def pausing_at_most(users: int, window_s: float) -> int:
    return users * (1 + round(window_s / FAILURE_PAUSE_S))


def test_a_closed_loop_reports_the_requests_of_its_window_only() -> None:
    result, toy = driven(lambda url: load_job(url, users=2, warm_up_s=0.2, window_s=0.2), *answering(2))
    assert 0 < result.sent < len(toy.requests)
    assert result.latency.count == result.succeeded == result.sent


def test_users_who_are_never_answered_leave_a_window_without_requests() -> None:
    job_of = lambda url: load_job(url, users=3, warm_up_s=0.1, window_s=0.1, tail_s=0.1)  # noqa: E731
    result, toy = driven(job_of, PROBE, *[[Read]] * 3)
    assert len(toy.requests) == 3
    assert (result.offered, result.sent, result.errors) == (0, 0, ())


def test_users_who_are_never_answered_within_the_window_are_unfinished() -> None:
    result, _ = driven(lambda url: load_job(url, users=3, window_s=0.1, tail_s=0.1), PROBE, *[[Read]] * 3)
    assert {error.kind: error.count for error in result.errors} == {"unfinished": 3}
    assert result.drained_mono_s - result.window_closed_mono_s >= 0.1


def test_a_closed_loop_that_sends_more_than_a_load_may_count_is_given_up_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drive_module, "MAX_REQUESTS", 50)
    with pytest.raises(TooManyRequests) as given_up:  # or the watchdog of the test run: the window lasts an hour
        driven(lambda url: load_job(url, users=3, window_s=3_500), *answering(3))
    assert str(given_up.value) == (
        "its users sent 50 requests before the window closed, the most that one load may count; shorten the window, or "
        "let fewer users send or think longer"
    )


@pytest.mark.parametrize("schedule", [OpenLoop(200, 0.1, 0.5), ClosedLoop(5, 0.1, 0.2)])
def test_targets_take_turns_and_each_gets_its_own_model_and_key(schedule: OpenLoop | ClosedLoop) -> None:
    async def run() -> tuple[LoadResult, list[Toy]]:
        async with AsyncExitStack() as servers:
            toys = [await servers.enter_async_context(toy_server(*answering(200))) for _ in range(3)]
            targets = tuple(Target(url_of(toy), f"model-{n}", f"sk-{n}") for n, toy in enumerate(toys))
            return await quietly(LoadJob(targets, schedule)), toys

    result, toys = uvloop.run(run())
    for number, toy in enumerate(toys):
        assert {request.partition(b"authorization: Bearer ")[2][:4] for request in toy.requests} == {b"sk-%d" % number}
        assert {json.loads(request.partition(b"\r\n\r\n")[2])["model"] for request in toy.requests} == {
            f"model-{number}"
        }
    received = [len(toy.requests) for toy in toys]
    assert max(received) - min(received) <= 1
    assert received == sorted(received, reverse=True)  # the first target is the first in turn
    assert max(result.sent_by_target) - min(result.sent_by_target) <= 1
    assert sum(result.sent_by_target) == result.sent == result.succeeded


@pytest.mark.parametrize("same_prompt", [False, True])
def test_all_requests_to_all_targets_have_one_prompt_or_all_another(same_prompt: bool) -> None:
    async def run() -> list[str]:
        async with AsyncExitStack() as servers:
            toys = [await servers.enter_async_context(toy_server(*answering(20))) for _ in range(2)]
            job = load_job(*map(url_of, toys), rate_rps=100, window_s=0.1, same_prompt=same_prompt)
            result = await quietly(job)
            assert result.succeeded == 10
            bodies = [json.loads(request.partition(b"\r\n\r\n")[2]) for toy in toys for request in toy.requests]
            return [body["messages"][0]["content"] for body in bodies]

    prompts, others = uvloop.run(run()), uvloop.run(run())
    assert len(prompts) == 10
    assert len({*prompts}) == (1 if same_prompt else 10)
    assert not {*prompts} & {*others}


def test_every_target_must_be_reachable_before_anything_is_sent() -> None:
    async def run() -> tuple[str, Toy]:
        async with toy_server() as gone:
            pass
        async with toy_server(*answering(5)) as toy:
            with pytest.raises(Unreachable) as refused:
                await quietly(load_job(url_of(toy), url_of(gone), rate_rps=50))
            assert f"no connection to 127.0.0.1:{gone.port}: " in str(refused.value)
            return str(refused.value), toy

    _, toy = uvloop.run(run())
    assert toy.requests == []


def test_connections_asked_for_are_there_before_the_load_and_are_used_in_turn() -> None:
    """At a rate that a single connection could carry."""
    result, toy = driven(lambda url: load_job(url, rate_rps=50, window_s=0.6, connections=4), *answering(30))
    assert result.succeeded == 30
    assert {1, 2, 3, 4} <= set(toy.request_connections)


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
CHUNK, DONE = b'data: {"content": "a"}\n\n', b"data: [DONE]\n\n"


def streaming(*packets: bytes) -> list[Script]:
    script: list[Step] = [Read, STREAM_HEAD, *packets, Close]
    return [PROBE, *[script] * 20]


def test_streams_are_asked_for_and_their_chunks_counted() -> None:
    job_of = lambda url: load_job(url, rate_rps=40, window_s=0.5, stream=True)  # noqa: E731
    result, toy = driven(job_of, *streaming(CHUNK, CHUNK, CHUNK + DONE))
    assert all(json.loads(request.partition(b"\r\n\r\n")[2])["stream"] is True for request in toy.requests)
    assert all(b"\r\naccept: text/event-stream\r\n" in request for request in toy.requests)
    assert (result.succeeded, result.chunks, result.streams_done) == (20, 60, 20)
    assert result.first_token.count == result.first_token_service.count == 20
    assert result.chunk_gap.count == 40
    assert result.first_token.max_us <= result.latency.max_us


def test_streams_cut_short_are_errors_and_their_chunks_are_counted_nevertheless() -> None:
    job_of = lambda url: load_job(url, rate_rps=40, window_s=0.5, stream=True)  # noqa: E731
    result, _ = driven(job_of, *streaming(CHUNK, CHUNK))
    (error,) = result.errors
    assert (error.kind, error.count) == ("stream_cut_short", 20)
    assert error.example == "the reply ended; 2 chunks had come, but no [DONE]"
    assert (result.succeeded, result.chunks, result.streams_done, result.latency.count) == (0, 40, 0, 0)


def test_a_key_that_an_error_within_a_stream_repeats_is_not_shown() -> None:
    job_of = lambda url: load_job(url, rate_rps=4, window_s=0.5, stream=True, api_key="sk-seen")  # noqa: E731
    result, _ = driven(job_of, *streaming(b'data: {"error": "bad key sk-seen"}\n\n'))
    (error,) = result.errors
    assert (error.kind, error.count, error.example) == ("stream_error", 2, '{"error": "bad key [api key]"}')


def test_whole_replies_have_no_figures_of_streams() -> None:
    result, toy = driven(lambda url: load_job(url, rate_rps=20, window_s=0.2), *answering(4))
    assert b'"stream"' not in toy.requests[0]
    assert (result.chunks, result.streams_done, result.chunk_gap.count, result.first_token.count) == (0, 0, 0, 0)
