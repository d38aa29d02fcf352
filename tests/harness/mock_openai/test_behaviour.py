"""Does a model's name state exactly the behaviour it says, and is everything else refused in words?"""

import doctest
import itertools
from fractions import Fraction
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mock_openai import behaviour as behaviour_module
from mock_openai import counts as counts_module
from mock_openai.behaviour import (
    DEFAULT_CHUNKS,
    DEFAULT_REPLY_BYTES,
    GRAMMAR,
    MAX_CHUNKS,
    MAX_DELAY_MS,
    MAX_EVERY_MS,
    MAX_EVERY_S,
    MAX_REPLY_BYTES,
    MAX_RESPONSES,
    MAX_RETRY_AFTER_S,
    Behaviour,
    Chunks,
    Close,
    DelayShape,
    ErrorRate,
    Stall,
    UnknownBehaviour,
    behaviour_of_name,
    broken_rules,
)

error_rates = st.builds(
    lambda status, millionths, retry_after_s: ErrorRate(
        status=status, rate=millionths / 1_000_000, retry_after_s=1 if status == 500 else retry_after_s
    ),
    st.sampled_from([429, 500, 503]),
    st.integers(0, 1_000_000),
    st.integers(0, MAX_RETRY_AFTER_S),
)
stalls = st.integers(2, 3_600_000).flatmap(
    lambda every_ms: st.builds(
        Stall, stall_ms=st.integers(1, min(every_ms - 1, MAX_DELAY_MS)), every_s=st.just(every_ms / 1000)
    )
)
delay_shapes = (
    st.lists(st.integers(0, MAX_DELAY_MS), min_size=4, max_size=4).map(sorted).map(lambda points: DelayShape(*points))
)
delays = st.fixed_dictionaries({"delay_ms": st.integers(0, MAX_DELAY_MS)}) | st.fixed_dictionaries(
    {"delay_shape": delay_shapes}
)
behaviours = st.builds(
    lambda delay, **rest: Behaviour(**delay, **rest),
    delays,
    stall=st.none() | stalls,
    error=st.none() | error_rates,
    reply_bytes=st.integers(0, MAX_REPLY_BYTES),
    chunks=st.none() | st.builds(Chunks, st.integers(DEFAULT_CHUNKS, MAX_CHUNKS), st.integers(0, MAX_EVERY_MS)),
    cut_after_chunks=st.none() | st.integers(1, DEFAULT_CHUNKS),
    session_delay_ms=st.integers(0, MAX_DELAY_MS),
    close=st.none() | st.builds(Close, st.sampled_from([1000, 1011, 1013, 4000]), st.integers(0, MAX_RESPONSES)),
)


def parts_of(behaviour: Behaviour) -> list[str]:
    shape = behaviour.delay_shape
    delay = f"{shape.p50_ms}:{shape.p90_ms}:{shape.p95_ms}:{shape.p99_ms}" if shape else f"{behaviour.delay_ms}"
    parts = [f"delay-{delay}ms", f"reply-{behaviour.reply_bytes}b"]
    if behaviour.chunks:
        parts.append(f"chunks-{behaviour.chunks.count}-every-{behaviour.chunks.every_ms}ms")
    if behaviour.cut_after_chunks:
        parts.append(f"cut-after-{behaviour.cut_after_chunks}-chunks")
    if behaviour.session_delay_ms:
        parts.append(f"session-delay-{behaviour.session_delay_ms}ms")
    if behaviour.close:
        parts.append(f"close-{behaviour.close.code}-after-{behaviour.close.after_responses}-responses")
    if behaviour.stall:
        parts.append(f"stall-{behaviour.stall.stall_ms}ms-every-{behaviour.stall.every_s:f}s")
    if error := behaviour.error:
        retry_after = "" if error.status == 500 else f"-retry-after-{error.retry_after_s}s"
        parts.append(f"error-{error.status}-rate-{error.rate:f}{retry_after}")
    return parts


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mock-delay-20ms", Behaviour(delay_ms=20)),
        ("mock-stall-2000ms-every-10s", Behaviour(stall=Stall(stall_ms=2000, every_s=10))),
        ("mock-stall-50ms-every-0.1s", Behaviour(stall=Stall(stall_ms=50, every_s=0.1))),
        ("mock-error-429-rate-0.5", Behaviour(error=ErrorRate(status=429, rate=0.5, retry_after_s=1))),
        (
            "mock-error-503-rate-1-retry-after-7s",
            Behaviour(error=ErrorRate(status=503, rate=1, retry_after_s=7)),
        ),
        ("mock-delay-20:50:80:200ms", Behaviour(delay_shape=DelayShape(20, 50, 80, 200))),
        ("mock-chunks-20-every-10ms", Behaviour(chunks=Chunks(count=20, every_ms=10))),
        ("mock-cut-after-5-chunks", Behaviour(cut_after_chunks=5)),
        (
            "mock-chunks-20-every-10ms+cut-after-20-chunks",
            Behaviour(chunks=Chunks(count=20, every_ms=10), cut_after_chunks=20),
        ),
        ("mock-session-delay-50ms", Behaviour(session_delay_ms=50)),
        ("mock-close-1011-after-2-responses", Behaviour(close=Close(code=1011, after_responses=2))),
        ("mock-hang", Behaviour(hang=True)),
        ("mock-reply-4096b", Behaviour(reply_bytes=4096)),
        ("mock-delay-20ms+reply-4096b", Behaviour(delay_ms=20, reply_bytes=4096)),
    ],
)
def test_a_name_states_its_behaviour(name: str, expected: Behaviour) -> None:
    assert behaviour_of_name(name) == expected


@given(behaviours, st.randoms())
def test_every_behaviour_that_answers_has_a_name_and_the_order_of_parts_does_not_matter(
    behaviour: Behaviour, random: Any
) -> None:
    parts = parts_of(behaviour)
    random.shuffle(parts)
    assert behaviour_of_name("mock-" + "+".join(parts)) == behaviour


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mock-", "'' is no part of it"),
        ("mock-bogus", "'bogus' is no part of it"),
        ("mock-delay-20", "'delay-20' is no part of it"),
        ("mock-delay--20ms", "'delay--20ms' is no part of it"),
        ("mock-delay-٢ms", "'delay-٢ms' is no part of it"),
        ("mock-delay-20ms+", "'' is no part of it"),
        ("mock-delay-20ms\n", "'delay-20ms\\n' is no part of it"),
        ("mock-delay-20ms+mock-hang", "'mock-hang' is no part of it"),
        ("mock-delay-20ms+delay-30ms", "'delay-30ms' is the second part of its kind"),
        ("mock-delay-600001ms", "delay_ms: Input should be less than or equal to 600000, got 600001"),
        ("mock-reply-1048577b", "reply_bytes: Input should be less than or equal to 1048576, got 1048577"),
        ("mock-error-418-rate-1", "status: Input should be 429, 500 or 503, got 418"),
        ("mock-error-429-rate-1.5", "rate: Input should be less than or equal to 1, got 1.5"),
        (
            "mock-error-429-rate-1-retry-after-3601s",
            "retry_after_s: Input should be less than or equal to 3600, got 3601",
        ),
        (
            "mock-error-500-rate-1-retry-after-2s",
            "retry_after_s=2 goes with status 429 or 503, a 500 has no Retry-After",
        ),
        ("mock-stall-0ms-every-1s", "stall_ms: Input should be greater than or equal to 1, got 0"),
        ("mock-stall-1ms-every-0s", "every_s: Input should be greater than 0, got 0.0"),
        ("mock-stall-1ms-every-3601s", "every_s: Input should be less than or equal to 3600, got 3601.0"),
        ("mock-stall-1000ms-every-1s", "stall_ms=1000 must be shorter than every_s=1"),
        ("mock-hang+delay-1ms", "hang never answers, so it stands alone"),
        ("mock-hang+chunks-2-every-1ms", "hang never answers, so it stands alone"),
        ("mock-hang+cut-after-1-chunks", "hang never answers, so it stands alone"),
        ("mock-delay-20:50:49:200ms", "20:50:49:200 must not fall"),
        ("mock-delay-5ms+delay-20:50:80:200ms", "delay_ms=5 and delay_shape are two delays: one of them"),
        ("mock-chunks-0-every-10ms", "count: Input should be greater than or equal to 1, got 0"),
        ("mock-chunks-1-every-60001ms", "every_ms: Input should be less than or equal to 60000, got 60001"),
        ("mock-cut-after-9-chunks", "cut_after_chunks=9 must not be more than the 8 chunks"),
        ("mock-chunks-2-every-1ms+cut-after-3-chunks", "cut_after_chunks=3 must not be more than the 2 chunks"),
        ("mock-hang+session-delay-1ms", "hang never answers, so it stands alone"),
        ("mock-session-delay-600001ms", "session_delay_ms: Input should be less than or equal to 600000, got 600001"),
        ("mock-close-1006-after-1-responses", "code=1006 is no close code that is sent: 1000 to 1003, 1007 to 1014, "),
        ("mock-close-5000-after-1-responses", "code=5000 is no close code that is sent"),
        ("mock-close-1000-after-1000001-responses", "after_responses: Input should be less than or equal to 1000000"),
        ("mock-cut-after-0-chunks", "cut_after_chunks: Input should be greater than or equal to 1, got 0"),
    ],
)
def test_a_name_that_is_no_behaviour_is_refused_with_reason_and_grammar(name: str, reason: str) -> None:
    with pytest.raises(UnknownBehaviour) as refused:
        behaviour_of_name(name)
    message = str(refused.value)
    assert message.startswith(f"model {name!r} is not a behaviour of this mock: ")
    assert reason in message
    assert message.endswith(f"The grammar is {GRAMMAR}.")


@pytest.mark.parametrize(
    "with_hang", [{"delay_ms": 1}, {"reply_bytes": 1}, {"error": ErrorRate(429, 1)}, {"stall": Stall(1, 1)}]
)
def test_a_hang_stands_alone(with_hang: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="hang never answers, so it stands alone"):
        Behaviour(hang=True, **with_hang)


def test_every_broken_rule_is_named_not_only_the_first() -> None:
    with pytest.raises(ValidationError) as refused:
        Behaviour(delay_ms=-1, reply_bytes="64")  # type: ignore[arg-type]
    assert broken_rules(refused.value) == [
        "delay_ms: Input should be greater than or equal to 0, got -1",
        "reply_bytes: Input should be a valid integer, got 64",
    ]


def test_a_value_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValidationError, match="rate"):
        ErrorRate(status=429, rate=float("nan"))


@given(st.integers(0, 1_000_000), st.integers(1, 300))
def test_of_the_first_n_requests_exactly_the_rounded_share_are_errors(millionths: int, first: int) -> None:
    error = ErrorRate(status=500, rate=millionths / 1_000_000)
    literally = int(Fraction(millionths, 1_000_000) * first + Fraction(1, 2))
    assert sum(error.hits(nth) for nth in range(1, first + 1)) == literally == error.errors_among(first)


def test_errors_are_spread_evenly() -> None:
    error = ErrorRate(status=429, rate=0.1)
    hits = [nth for nth in range(1, 101) if error.hits(nth)]
    assert {later - earlier for earlier, later in itertools.pairwise(hits)} == {10}


@given(stalls, st.floats(0, 10_000))
def test_a_reply_that_is_due_in_a_stall_leaves_at_its_end(stall: Stall, due_s: float) -> None:
    literally = due_s
    begins_s = (due_s // stall.every_s) * stall.every_s
    if begins_s >= stall.every_s and begins_s <= due_s < begins_s + stall.stall_ms / 1000:
        literally = begins_s + stall.stall_ms / 1000
    assert stall.leaves_s(due_s) == pytest.approx(literally, abs=1e-9)


@pytest.mark.parametrize(
    ("due_s", "leaves_s"),
    [(0.0, 0.0), (1.9, 1.9), (9.9, 9.9), (10.0, 12.0), (11.9, 12.0), (12.0, 12.0), (19.9, 19.9), (20.5, 22.0)],
)
def test_the_first_stall_begins_one_period_after_the_clock_starts(due_s: float, leaves_s: float) -> None:
    assert Stall(stall_ms=2000, every_s=10).leaves_s(due_s) == leaves_s


def test_limits_stated_in_messages_are_the_limits_in_force() -> None:
    assert Behaviour(delay_ms=MAX_DELAY_MS, reply_bytes=MAX_REPLY_BYTES).reply_bytes == MAX_REPLY_BYTES
    assert Stall(stall_ms=1, every_s=MAX_EVERY_S).every_s == MAX_EVERY_S
    assert Behaviour().reply_bytes == DEFAULT_REPLY_BYTES


@pytest.mark.parametrize("module", [behaviour_module, counts_module], ids=lambda module: module.__name__)
def test_the_examples_in_docstrings_are_true(module: ModuleType) -> None:
    failed, attempted = doctest.testmod(module)
    assert attempted > 0
    assert failed == 0


def literal_delay_ms(shape: DelayShape, share: float) -> Fraction:
    """Twin of `DelayShape.at`: the four straight lines written out, exactly."""
    u = Fraction(share)
    p50, p90, p95, p99 = (Fraction(value) for value in (shape.p50_ms, shape.p90_ms, shape.p95_ms, shape.p99_ms))
    if u <= Fraction(0.5):
        return p50
    if u <= Fraction(0.9):
        return p50 + (p90 - p50) * (u - Fraction(0.5)) / (Fraction(0.9) - Fraction(0.5))
    if u <= Fraction(0.95):
        return p90 + (p95 - p90) * (u - Fraction(0.9)) / (Fraction(0.95) - Fraction(0.9))
    if u <= Fraction(0.99):
        return p95 + (p99 - p95) * (u - Fraction(0.95)) / (Fraction(0.99) - Fraction(0.95))
    return p99


@given(st.lists(st.integers(0, 1_000), min_size=4, max_size=4).map(sorted), st.floats(0, 1))
def test_a_delay_between_two_percentiles_lies_on_the_line_between_them(percentiles: list[int], share: float) -> None:
    shape = DelayShape(*percentiles)
    assert shape.at(share) == pytest.approx(float(literal_delay_ms(shape, share)), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("requests", [1_000, 5_000])
def test_a_run_of_requests_has_the_percentiles_it_was_told(requests: int) -> None:
    shape = DelayShape(20, 50, 80, 200)
    delays_ms = sorted(shape.of_request(nth) for nth in range(1, requests + 1))
    for share, told_ms in [(0.5, 20), (0.9, 50), (0.95, 80), (0.99, 200)]:
        rank = round(share * requests)
        # Spread evenly, so that at most two requests in a thousand lie on the wrong side.
        assert delays_ms[rank - 1 - requests // 500] <= told_ms <= delays_ms[min(rank + requests // 500, requests - 1)]
