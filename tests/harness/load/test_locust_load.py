"""Do a Locust worker's users send when they are meant to, what nobody else sends, and is all of it counted?"""

import json
from dataclasses import replace

import pytest

from perfgate.load.drive import FAILURE_PAUSE_S, SEND_GRACE_S, TooManyRequests
from perfgate.load.locust_load import KEPT_BODY_CHARS, EndlessLoad, Sending, WindowLoad
from perfgate.load.locust_share import Share
from perfgate.load.merging import FAILED_REPLIES_MAX
from perfgate.load.result import ErrorCount, FailedReply, Failure
from perfgate.measure.histogram import Histogram
from tests.harness.load.conftest import load_job

MS_NS = 1_000_000
#: When every load below begins.
BEGINS_MS = 5_000


class Clock:
    """A clock that stands until it is set, in ms."""

    def __init__(self) -> None:
        self.ms = float(BEGINS_MS)

    def __call__(self) -> int:
        return round(self.ms * MS_NS)


def begun(clock: Clock, *, worker: int = 0, workers: int = 1, targets: int = 1, **job: object) -> WindowLoad:
    """A share of a load that begins at `BEGINS_MS`; its window opens 100 ms later and closes after another second."""
    urls = [f"http://h:1/v1/{target}" for target in range(targets)]
    asked = load_job(*urls, **{"users": 4, "warm_up_s": 0.1, "window_s": 1, "tail_s": 2, **job})  # type: ignore[arg-type]
    load = WindowLoad(Share(1, asked, b"00000000-0000-0000-0000-", worker, workers), clock)
    load.begin(BEGINS_MS * MS_NS)
    return load


def sent(load: WindowLoad, due_ms: float) -> Sending:
    """The request of a user who was already counted as waiting for that moment."""
    sending = load.sending(round(due_ms * MS_NS))
    assert sending is not None
    return sending


def first_dues_ms(load: WindowLoad, users: int) -> list[float]:
    return [load.first_due_mono_ns() / MS_NS - BEGINS_MS for _ in range(users)]


def test_users_of_all_workers_begin_as_those_of_one_generator_would() -> None:
    loads = [begun(Clock(), worker=worker, workers=2, users=4, think_time_s=0.4) for worker in (0, 1)]
    assert sorted(due_ms for load in loads for due_ms in first_dues_ms(load, 2)) == [0, 100, 200, 300]


def test_a_worker_that_is_given_a_user_more_than_its_share_has_it_begin_like_another() -> None:
    assert first_dues_ms(begun(Clock(), worker=1, workers=2, think_time_s=0.4), 3) == [100, 300, 100]


def test_what_a_gateway_has_to_be_told_by_headers_is_in_every_request() -> None:
    """Portkey's says nothing of where the endpoint is without them."""
    asked = load_job("http://h:1/v1", users=1)
    (target,) = asked.targets
    told = replace(asked, targets=(replace(target, headers=(("x-portkey-provider", "openai"),)),))
    load = WindowLoad(Share(1, told, b"00000000-0000-0000-0000-", 0, 1), Clock())
    load.begin(BEGINS_MS * MS_NS)
    (due_ms,) = first_dues_ms(load, 1)
    headers = sent(load, BEGINS_MS + due_ms).headers
    assert headers["x-portkey-provider"] == "openai"
    assert headers["Content-Type"] == "application/json"


def test_users_who_are_spawned_one_by_one_send_at_once() -> None:
    clock = Clock()
    load = begun(clock, spawn_per_s=100)
    clock.ms = BEGINS_MS - 20  # a user of another worker's clock
    assert load.first_due_mono_ns() == BEGINS_MS * MS_NS
    clock.ms = BEGINS_MS + 40
    assert load.first_due_mono_ns() == clock()


def test_requests_of_the_warm_up_are_sent_and_not_counted() -> None:
    clock = Clock()
    load = begun(clock)
    due_ns = load.first_due_mono_ns()
    sending = sent(load, due_ns / MS_NS)
    clock.ms += 150
    load.replied(sending, clock(), 200, None, b"ok")
    result = load.result(load.closes_mono_ns, 0.1)
    assert (result.offered, result.sent, result.succeeded, result.in_flight_max) == (0, 0, 0, 0)


def test_latency_begins_when_a_request_was_meant_to_start_and_service_time_when_it_was_sent() -> None:
    clock = Clock()
    load = begun(clock, think_time_s=0.05)
    load.first_due_mono_ns()
    due_ms = BEGINS_MS + 200
    clock.ms = due_ms + 3
    sending = sent(load, due_ms)
    clock.ms += 20
    again_ns = load.replied(sending, clock(), 200, b"2.5", b"x" * 50)
    assert again_ns == clock() + 50 * MS_NS
    clock.ms = again_ns / MS_NS + 1
    load.replied(sent(load, again_ns / MS_NS), clock() + 10 * MS_NS, 200, None, b"x" * 50)
    result = load.result(load.closes_mono_ns, 0.25)
    assert result.latency == Histogram.of_us([23_000, 11_000])
    assert result.service_time == Histogram.of_us([20_000, 10_000])
    assert result.dispatch_lag == Histogram.of_us([3_000, 1_000])
    assert result.header_overhead == Histogram.of_us([2_500])
    assert (result.header_missing, result.reply_bytes, result.generator_cpu_s) == (1, 100, 0.25)


def test_think_times_are_drawn_between_their_bounds_and_not_all_alike() -> None:
    clock = Clock()
    load = begun(clock, think_time_s=0.05, think_time_max_s=0.09)
    thought_ms = set()
    for _ in range(50):
        load.first_due_mono_ns()
        sending = sent(load, BEGINS_MS + 200)
        thought_ms.add((load.replied(sending, clock(), 200, None, b"") - clock()) / MS_NS)
    assert min(thought_ms) >= 50
    assert max(thought_ms) <= 90
    assert len(thought_ms) > 40


def test_the_load_is_settled_when_nobody_waits_and_every_request_of_the_window_is_answered() -> None:
    clock = Clock()
    load = begun(clock)
    assert load.is_settled, "nobody has come"
    load.first_due_mono_ns()
    assert not load.is_settled, "a user waits"
    sending = sent(load, BEGINS_MS + 200)
    assert not load.is_settled, "its request is not answered"
    clock.ms = BEGINS_MS + 1_300
    again_ns = load.replied(sending, clock(), 200, None, b"")
    assert load.is_over_at(again_ns)
    assert load.sending(again_ns) is None
    assert load.is_settled
    assert load.drained_mono_ns == clock()


def test_a_reply_to_a_request_of_the_warm_up_is_not_waited_for() -> None:
    load = begun(Clock())
    sent(load, load.first_due_mono_ns() / MS_NS)
    assert load.is_settled
    assert load.drained_mono_ns == load.closes_mono_ns


def test_what_is_not_answered_by_the_end_of_the_tail_is_unfinished() -> None:
    load = begun(Clock())
    load.first_due_mono_ns()
    sent(load, BEGINS_MS + 1_000)
    assert load.drained_mono_ns == load.tail_ends_mono_ns == (BEGINS_MS + 3_100) * MS_NS
    result = load.result(load.drained_mono_ns, 0)
    assert result.errors == (ErrorCount("unfinished", 1, "no whole reply by 2 s after the window's end"),)
    assert result.latency == Histogram.of_us([2_100_000])


def test_a_user_whose_time_is_long_past_sends_no_more_and_is_not_waited_for() -> None:
    clock = Clock()
    load = begun(clock)
    load.first_due_mono_ns()
    clock.ms = BEGINS_MS + 1_100 + SEND_GRACE_S * 1000 + 1
    assert load.sending((BEGINS_MS + 1_050) * MS_NS) is None
    assert load.is_settled
    assert load.result(load.closes_mono_ns, 0).offered == 0


def test_a_user_who_meets_a_failure_pauses() -> None:
    clock = Clock()
    load = begun(clock)
    load.first_due_mono_ns()
    clock.ms = BEGINS_MS + 200
    sending = sent(load, BEGINS_MS + 200)
    clock.ms += 1
    again_ns = load.failed(sending, Failure.CONNECT_REFUSED, "nobody there")
    assert again_ns == sending.dispatched_mono_ns + round(FAILURE_PAUSE_S * 1e9)
    assert load.result(load.closes_mono_ns, 0).errors == (ErrorCount("connect_refused", 1, "nobody there"),)


def test_a_user_who_pauses_beyond_the_windows_end_is_not_waited_for() -> None:
    clock = Clock()
    load = begun(clock)
    load.first_due_mono_ns()
    clock.ms = BEGINS_MS + 1_050
    again_ns = load.failed(sent(load, BEGINS_MS + 1_050), Failure.CONNECT_REFUSED, "")
    assert load.is_over_at(again_ns)
    assert load.is_settled


def test_targets_take_turns_and_each_gets_its_own_path() -> None:
    load = begun(Clock(), targets=2)
    for _ in range(5):
        load.first_due_mono_ns()
    paths = [sent(load, BEGINS_MS + 200 + number).path for number in range(5)]
    assert paths == ["/v1/0", "/v1/1", "/v1/0", "/v1/1", "/v1/0"]
    assert load.result(load.closes_mono_ns, 0).sent_by_target == (3, 2)


def test_no_prompt_of_any_worker_is_sent_twice() -> None:
    prompts = []
    for worker in (0, 1):
        load = begun(Clock(), worker=worker, workers=2)
        for due_ms in (0, 0, 200, 201):  # warm-up requests, too
            load.first_due_mono_ns()
            prompts.append(json.loads(sent(load, BEGINS_MS + due_ms).body)["messages"][0]["content"][:36])
    assert len(set(prompts)) == 8
    assert {prompt[:24] for prompt in prompts} == {"00000000-0000-0000-0000-"}


def test_the_same_prompt_is_the_same_of_all_workers() -> None:
    bodies = set()
    for worker in (0, 1):
        load = begun(Clock(), worker=worker, workers=2, same_prompt=True)
        load.first_due_mono_ns()
        bodies.add(sent(load, BEGINS_MS + 200).body)
    assert len(bodies) == 1


def test_the_body_is_that_of_the_published_load() -> None:
    load = begun(Clock(), model="gpt")
    load.first_due_mono_ns()
    body = json.loads(sent(load, BEGINS_MS + 200).body)
    assert (body["model"], body["user"]) == ("gpt", "my-new-end-user-1")
    assert len(body["messages"][0]["content"]) == 16_350


def test_the_key_is_sent_and_shown_nowhere() -> None:
    load = begun(Clock(), api_key="sk-secret")
    for _ in range(2):
        load.first_due_mono_ns()
    refused, broken = sent(load, BEGINS_MS + 200), sent(load, BEGINS_MS + 201)
    assert refused.headers["Authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in repr(refused)
    load.replied(refused, BEGINS_MS * MS_NS, 401, None, b"no such key: sk-secret")
    load.failed(broken, Failure.BAD_REPLY, "it said sk-secret")
    result = load.result(load.closes_mono_ns, 0)
    assert {error.example for error in result.errors} == {
        "HTTP 401: no such key: [api key]",
        "it said [api key]",
    }
    assert result.failed_replies == (FailedReply("http_401", "no such key: [api key]"),)


def test_of_failed_replies_some_are_kept_and_of_these_not_all() -> None:
    load = begun(Clock())
    for number in range(FAILED_REPLIES_MAX + 5):
        load.first_due_mono_ns()
        load.replied(sent(load, BEGINS_MS + 200 + number), BEGINS_MS * MS_NS, 500, None, "é".encode() * 10_000)
    result = load.result(load.closes_mono_ns, 0)
    assert result.errors[0].count == FAILED_REPLIES_MAX + 5
    assert result.failed_replies == (FailedReply("http_500", "é" * KEPT_BODY_CHARS),) * FAILED_REPLIES_MAX


def test_users_who_send_more_than_may_be_counted_spoil_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfgate.load.locust_load.MAX_REQUESTS", 2)
    load = begun(Clock())
    for number in range(2):
        load.first_due_mono_ns()
        load.replied(sent(load, BEGINS_MS + 200 + number), BEGINS_MS * MS_NS, 200, None, b"")
    assert load.sending((BEGINS_MS + 300) * MS_NS) is None
    with pytest.raises(TooManyRequests, match="one Locust worker sent 2 requests before the window closed"):
        load.result(load.closes_mono_ns, 0)


class TestByHand:
    def test_what_has_ended_is_told_once(self) -> None:
        clock = Clock()
        load = EndlessLoad(load_job("http://h/x", users=1, think_time_s=0.5, think_time_max_s=1), clock)
        due_ns = load.first_due_mono_ns()
        first, open_still = load.sending(due_ns), load.sending(due_ns)
        assert first is not None
        assert open_still is not None
        clock.ms += 30
        again_ns = load.replied(first, clock(), 200, b"4", b"ok")
        assert 500 * MS_NS <= again_ns - clock() <= 1_000 * MS_NS
        assert not load.is_over_at(again_ns)
        told = load.taken(cpu_s=1.5)
        assert (told.sent, told.succeeded, told.generator_cpu_s) == (1, 1, 1.5)
        assert told.latency == Histogram.of_us([30_000])
        assert told.header_overhead == Histogram.of_us([4_000])
        clock.ms += 30
        load.replied(open_still, clock(), 503, None, b"full")
        told = load.taken(cpu_s=1.75)
        assert (told.sent, told.succeeded, told.generator_cpu_s) == (1, 0, 0.25)
        assert told.failed_replies == (FailedReply("http_503", "full"),)
        assert load.taken(cpu_s=2).failed_replies == ()

    def test_two_processes_send_different_prompts(self) -> None:
        loads = [EndlessLoad(load_job("http://h/x", users=1)) for _ in range(2)]
        sendings = [load.sending(0) for load in loads]
        assert len({sending.body for sending in sendings if sending is not None}) == 2
