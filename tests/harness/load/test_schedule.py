"""Does a schedule mean as many requests as it says, in order, and the same ones for the same seed?"""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from perfgate.load.schedule import MAX_DURATION_S, MAX_REQUESTS, ClosedLoop, OpenLoop

rates = st.floats(0.1, 5_000)
seconds = st.floats(0, 20)
arrivals = st.sampled_from(["constant", "poisson"])


@given(rates, seconds, seconds, arrivals, st.integers(0, 2**32))
def test_starts_ascend_and_the_window_holds_what_is_offered(
    rate_rps: float, warm_up_s: float, window_s: float, kind: Any, seed: int
) -> None:
    assume(rate_rps * window_s >= 1)
    schedule = OpenLoop(rate_rps, warm_up_s, window_s, 0, kind)
    starts_ns = schedule.intended_starts_ns(seed)
    assert (np.diff(starts_ns) >= 0).all()
    assert starts_ns[0] >= 0
    assert starts_ns[-1] <= (warm_up_s + window_s) * 1e9
    assert int((starts_ns >= schedule.window_opens_ns).sum()) == schedule.offered_in_window
    assert schedule.offered_in_window == round(rate_rps * window_s)
    assert len(starts_ns) == round(rate_rps * warm_up_s) + schedule.offered_in_window


def test_constant_arrivals_are_evenly_spaced_and_know_no_seed() -> None:
    schedule = OpenLoop(offered_rps=100, warm_up_s=1, window_s=2)
    assert set(np.diff(schedule.intended_starts_ns(1)).tolist()) <= {9_999_999, 10_000_000, 10_000_001}
    assert (schedule.intended_starts_ns(1) == schedule.intended_starts_ns(2)).all()


def test_poisson_gaps_follow_the_seed_and_scatter_as_exponential_ones_do() -> None:
    schedule = OpenLoop(offered_rps=1000, warm_up_s=0, window_s=20, arrivals="poisson")
    assert (schedule.intended_starts_ns(5) == schedule.intended_starts_ns(5)).all()
    assert (schedule.intended_starts_ns(5) != schedule.intended_starts_ns(6)).any()
    gaps_ns = np.diff(schedule.intended_starts_ns(5))
    # An exponential distribution's deviation is its mean; 20,000 gaps give it to 1 %.
    assert gaps_ns.std() / gaps_ns.mean() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"offered_rps": 0}, "offered_rps=0 must be above 0"),
        ({"offered_rps": float("nan")}, "offered_rps=nan must be above 0"),
        ({"offered_rps": float("inf")}, f"offered_rps=inf over that time is more than {MAX_REQUESTS} requests"),
        ({"window_s": 0}, "window_s=0 must be above 0"),
        ({"warm_up_s": -1}, "warm_up_s=-1 must not be negative"),
        ({"tail_s": -0.5}, "tail_s=-0.5 must not be negative"),
        ({"arrivals": "bursts"}, "arrivals='bursts' must be 'constant' or 'poisson'"),
        ({"window_s": 3599}, f"warm-up, window and tail last 3610 s, at most {MAX_DURATION_S:g} s"),
        ({"offered_rps": 1e6}, f"offered_rps=1e+06 over that time is more than {MAX_REQUESTS} requests"),
        ({"offered_rps": 0.01}, "offered_rps=0.01 offers no request within window_s=10"),
    ],
)
def test_a_schedule_that_cannot_be_run_says_why(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=r"must|most|more|offers") as refused:
        OpenLoop(**{"offered_rps": 10, "warm_up_s": 1, "window_s": 10, **fields})
    assert str(refused.value) == reason


@pytest.mark.parametrize(("warm_up_s", "spread_ms"), [(0, 0), (0.4, 400), (5, 1000)])
def test_without_think_time_users_begin_over_the_first_second_of_the_warm_up(warm_up_s: float, spread_ms: int) -> None:
    starts_ns = ClosedLoop(4, warm_up_s, 10).first_starts_ns()
    assert starts_ns == [spread_ms * 250_000 * user for user in range(4)]


@given(st.integers(1, 1_000), st.floats(0.001, 10))
def test_users_first_send_at_even_intervals_within_one_think_time(users: int, think_time_s: float) -> None:
    starts_ns = np.array(ClosedLoop(users, 1, 10, think_time_s=think_time_s).first_starts_ns())
    assert len(starts_ns) == users
    assert starts_ns[0] == 0
    gap_ns = think_time_s * 1e9 / users
    assert (np.abs(np.diff(starts_ns) - gap_ns) <= 1).all()


def test_users_who_are_spawned_one_by_one_first_send_as_they_come() -> None:
    schedule = ClosedLoop(4, 1, 10, think_time_s=3, spawn_per_s=5)
    assert schedule.first_starts_ns() == [0, 200_000_000, 400_000_000, 600_000_000]


def test_think_times_are_always_the_same_or_drawn_evenly_between_two_bounds() -> None:
    rng = random.Random(3)
    same = ClosedLoop(4, 1, 10, think_time_s=0.5)
    assert {same.think_time_ns(rng) for _ in range(10)} == {500_000_000}
    between = ClosedLoop(4, 1, 10, think_time_s=0.5, think_time_max_s=1)
    drawn_ns = [between.think_time_ns(rng) for _ in range(4_000)]
    assert 500_000_000 <= min(drawn_ns) < 510_000_000
    assert 990_000_000 < max(drawn_ns) <= 1_000_000_000
    # The mean of 4,000 has a standard error of 2.3 ms.
    assert abs(np.mean(drawn_ns) / 1e6 - 750) < 12
    assert (same.mean_think_time_s, same.longest_think_time_s) == (0.5, 0.5)
    assert (between.mean_think_time_s, between.longest_think_time_s) == (0.75, 1)
    assert between.first_starts_ns()[1] == 187_500_000, "over the mean think time"


def test_the_window_of_a_closed_loop_opens_after_its_warm_up() -> None:
    assert ClosedLoop(1, 2.5, 1).window_opens_ns == 2_500_000_000


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"users": 0}, f"users=0 must be from 1 to {MAX_REQUESTS}"),
        ({"users": MAX_REQUESTS + 1}, f"users={MAX_REQUESTS + 1} must be from 1 to {MAX_REQUESTS}"),
        ({"window_s": 0}, "window_s=0 must be above 0"),
        ({"warm_up_s": -1}, "warm_up_s=-1 must not be negative"),
        ({"tail_s": -0.5}, "tail_s=-0.5 must not be negative"),
        ({"window_s": 3599}, f"warm-up, window and tail last 3610 s, at most {MAX_DURATION_S:g} s"),
        ({"think_time_s": -1}, "think_time_s=-1 must not be negative"),
        ({"think_time_s": float("nan")}, "think_time_s=nan must not be negative"),
        ({"think_time_s": 21}, "think_time_s=21 of users=2 may leave window_s=10 without a request"),
        ({"think_time_max_s": 21}, "think_time_max_s=21 of users=2 may leave window_s=10 without a request"),
        ({"think_time_s": 1, "think_time_max_s": 0.5}, "think_time_max_s=0.5 must not be below think_time_s=1"),
        ({"think_time_max_s": float("nan")}, "think_time_max_s=nan must not be below think_time_s=0"),
        ({"spawn_per_s": 0}, "spawn_per_s=0 must be above 0"),
        (
            {"spawn_per_s": 1},
            "users=2 at spawn_per_s=1 must all be there by the end of the warm-up, after 2 s; warm_up_s=1 is shorter",
        ),
    ],
)
def test_a_closed_loop_that_cannot_be_run_says_why(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=r"must|most|may") as refused:
        ClosedLoop(**{"users": 2, "warm_up_s": 1, "window_s": 10, **fields})
    assert str(refused.value) == reason
