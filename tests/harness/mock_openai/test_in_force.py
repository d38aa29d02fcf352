"""Does each request meet the behaviour, the clock and the counter that are its own?"""

import pytest

from mock_openai.behaviour import Behaviour, ErrorRate, Stall, UnknownBehaviour
from mock_openai.in_force import MAX_NAMES, BehavioursInForce

SLOW = Behaviour(delay_ms=20)
HALF = Behaviour(error=ErrorRate(status=429, rate=0.5))
STALLS = Behaviour(stall=Stall(stall_ms=2000, every_s=10))


def leaves(in_force: BehavioursInForce, model: str, arrived_mono_s: float) -> float | None:
    return in_force.of(model, arrived_mono_s).rule(arrived_mono_s).leaves_mono_s


def errors(in_force: BehavioursInForce, model: str, requests: int) -> list[bool]:
    return [in_force.of(model, 0).rule(0).is_error for _ in range(requests)]


def test_an_admin_call_for_the_model_goes_before_its_name_and_the_name_before_the_default() -> None:
    in_force = BehavioursInForce(Behaviour(reply_bytes=1), 0)
    in_force.set(Behaviour(reply_bytes=2), None, 0)
    in_force.set(Behaviour(reply_bytes=3), "mock-reply-4b", 0)
    asked = ("plain", "mock-reply-5b", "mock-reply-4b")
    assert [in_force.of(model, 0).behaviour.reply_bytes for model in asked] == [2, 5, 3]


def test_an_admin_call_goes_before_a_name_that_was_in_use() -> None:
    in_force = BehavioursInForce(Behaviour(), 0)
    assert in_force.of("mock-reply-4b", 0).behaviour.reply_bytes == 4
    in_force.set(SLOW, "mock-reply-4b", 0)
    assert in_force.of("mock-reply-4b", 0).behaviour == SLOW


def test_a_name_states_its_whole_behaviour_and_takes_nothing_from_the_default() -> None:
    in_force = BehavioursInForce(SLOW, 0)
    assert in_force.of("mock-reply-5b", 0).behaviour == Behaviour(reply_bytes=5)


def test_an_admin_call_makes_a_name_valid_that_is_not() -> None:
    in_force = BehavioursInForce(Behaviour(), 0)
    in_force.set(SLOW, "mock-bogus", 0)
    assert in_force.of("mock-bogus", 0).behaviour == SLOW
    with pytest.raises(UnknownBehaviour, match="'bogos' is no part of it"):
        in_force.of("mock-bogos", 0)


def test_a_delay_counts_from_the_arrival() -> None:
    in_force = BehavioursInForce(SLOW, 0)
    assert leaves(in_force, "plain", 100) == 100.02


def test_the_clock_of_a_named_stall_starts_at_the_first_request_of_that_name() -> None:
    in_force = BehavioursInForce(Behaviour(), 0)
    name = "mock-stall-2000ms-every-10s"
    assert [leaves(in_force, name, arrived) for arrived in (105, 114, 115, 116, 118)] == [105, 114, 117, 117, 118]


def test_the_clock_of_a_stall_set_by_an_admin_call_starts_at_the_call() -> None:
    in_force = BehavioursInForce(Behaviour(), 0)
    in_force.set(STALLS, None, 100)
    assert [leaves(in_force, "plain", arrived) for arrived in (105, 110, 111.5)] == [105, 112, 112]


def test_a_request_in_service_when_a_stall_begins_waits_for_its_end() -> None:
    in_force = BehavioursInForce(Behaviour(delay_ms=500, stall=STALLS.stall), 100)
    assert leaves(in_force, "plain", 109.75) == 112


def test_a_stall_of_one_model_leaves_the_others_alone() -> None:
    in_force = BehavioursInForce(Behaviour(), 0)
    in_force.set(STALLS, "stalls", 0)
    assert leaves(in_force, "stalls", 11) == 12
    assert leaves(in_force, "plain", 11) == 11


def test_every_name_and_every_admin_call_counts_its_own_requests() -> None:
    in_force = BehavioursInForce(HALF, 0)
    in_force.set(HALF, "own", 0)
    assert errors(in_force, "plain", 1) == [True]
    assert errors(in_force, "mock-error-429-rate-0.5", 2) == [True, False]
    assert errors(in_force, "own", 2) == [True, False]
    assert errors(in_force, "another plain one", 2) == [False, True], "models with the default share its count"


def test_a_hang_never_leaves() -> None:
    in_force = BehavioursInForce(Behaviour(), 0)
    assert leaves(in_force, "mock-hang", 5) is None


def test_a_reset_forgets_admin_calls_clocks_and_counts_and_restores_the_default_of_the_start() -> None:
    in_force = BehavioursInForce(HALF, 0)
    in_force.set(SLOW, None, 0)
    in_force.set(SLOW, "own", 0)
    assert errors(in_force, "mock-error-429-rate-0.5", 1) == [True]
    in_force.reset(50)
    assert in_force.default == HALF
    assert in_force.by_admin == {}
    assert errors(in_force, "own", 2) == [True, False]
    assert errors(in_force, "mock-error-429-rate-0.5", 1) == [True], "counted from the first again"


@pytest.mark.slow
def test_names_without_end_do_not_fill_the_memory_the_oldest_goes() -> None:
    in_force = BehavioursInForce(Behaviour(), 0)
    oldest = in_force.of("mock-delay-0ms", 0)
    second = in_force.of("mock-delay-1ms", 0)
    for delay_ms in range(2, MAX_NAMES + 1):
        in_force.of(f"mock-delay-{delay_ms}ms", 0)
    assert in_force.of("mock-delay-1ms", 0) is second
    assert in_force.of("mock-delay-0ms", 0) is not oldest
