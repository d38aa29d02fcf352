"""Does a comparison's plan fit into its time and memory, and is it said what is too short?"""

from typing import Any, Final

import pytest

from perfgate.errors import BadInput
from perfgate.experiment.comparison_plan import (
    MEMORY_BYTES,
    MEMORY_RATIO,
    NOISE,
    ROUND_SD_MIN,
    SETTLE_S,
    Planned,
    expected_noise,
    planned_comparison,
    round_s,
)
from perfgate.experiment.rounds import WINDOW_EXTRA_S
from perfgate.experiment.start_plan import START_S
from perfgate.load.schedule import ClosedLoop
from perfgate.stats.comparison import Noise
from perfgate.stats.plan import GENERATIONS_MIN

GIB: Final = 2**30
PLENTY_BYTES: Final = 64 * GIB
SCHEDULE: Final = ClosedLoop(users=2, warm_up_s=0, window_s=0.4)


def planned(minutes: float = 5.0, **changes: Any) -> Planned:
    """A comparison as it is shipped, on a host with plenty of memory."""
    asked: dict[str, Any] = {
        "margin": 0.05,
        "family": 6,
        "looks": 3,
        "generations_max": 12,
        "schedule": SCHEDULE,
        "processes": 1,
        "memory_bytes": PLENTY_BYTES,
    }
    return planned_comparison(minutes, **{**asked, **changes})


def duration_s(made: Planned, processes: int = 1, window_s: float = 0.4) -> float:
    """What it takes at most, by the figures that it was planned with."""
    starting_s = 2 * processes * (START_S + SETTLE_S + WINDOW_EXTRA_S)
    return made.rounds.generations * (starting_s + made.rounds.per_generation_max * 2 * (window_s + WINDOW_EXTRA_S))


@pytest.mark.parametrize("minutes", [1.5, 3, 5, 15])
@pytest.mark.parametrize("margin", [0.025, 0.05])
def test_it_fits_into_its_minutes(minutes: float, margin: float) -> None:
    assert duration_s(planned(minutes, margin=margin)) <= minutes * 60


@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize("memory_gib", [24, 40])
def test_all_its_gateways_fit_into_the_memory_that_is_free(processes: int, memory_gib: int) -> None:
    made = planned(60, processes=processes, memory_bytes=memory_gib * GIB)
    used_bytes = 2 * made.rounds.generations * processes * MEMORY_BYTES
    assert used_bytes <= MEMORY_RATIO * memory_gib * GIB
    assert made.rounds.generations >= GENERATIONS_MIN


def test_less_memory_makes_fewer_generations_and_so_does_the_file() -> None:
    free, short = planned(60, margin=0.025), planned(60, margin=0.025, memory_bytes=6 * GIB)
    assert (free.rounds.generations, short.rounds.generations) == (12, 6)
    assert planned(60, margin=0.025, generations_max=8).rounds.generations == 8


def test_longer_windows_warm_ups_and_more_processes_leave_time_for_less() -> None:
    plain = planned(3, margin=0.025).rounds
    for changes in (
        {"schedule": ClosedLoop(users=2, warm_up_s=0, window_s=2)},
        {"schedule": ClosedLoop(users=2, warm_up_s=1.6, window_s=0.4)},
        {"processes": 2},
    ):
        less = planned(3, margin=0.025, **changes).rounds
        assert less.generations * less.per_generation_max < plain.generations * plain.per_generation_max


def test_a_smaller_margin_and_a_larger_family_take_more() -> None:
    plain = duration_s(planned(60))
    assert duration_s(planned(60, margin=0.04)) > plain
    assert duration_s(planned(60, family=1)) < plain


@pytest.mark.parametrize("looks", [1, 2, 3, 5])
def test_it_has_as_many_looks_as_were_asked_for_evenly_spread(looks: int) -> None:
    rounds = planned(looks=looks).rounds
    assert rounds.looks == looks
    assert rounds.per_generation == rounds.look_every == rounds.per_generation_max / looks


def test_its_direct_arm_and_its_settling_are_short() -> None:
    rounds = planned().rounds
    assert rounds.one_direct
    assert rounds.settle_s == SETTLE_S


def test_a_noisier_host_takes_more() -> None:
    plain, noisier = planned(60), planned(60, noise=Noise(NOISE.process_sd, 2 * NOISE.round_sd))
    assert duration_s(noisier) > duration_s(plain)
    assert duration_s(planned(60, noise=NOISE)) == duration_s(plain)


def test_a_round_is_a_window_of_each_arm() -> None:
    assert round_s(ClosedLoop(users=2, warm_up_s=0.3, window_s=1)) == pytest.approx(2 * (1.3 + WINDOW_EXTRA_S))


class TestOnceItsGatewaysAreUp:
    """How long they take to start is only known then."""

    def test_a_plan_that_is_enough_takes_no_more_than_it_planned_however_much_time_is_left(self) -> None:
        made = planned(60)
        assert made.is_enough
        assert made.fitted(3600) == made.rounds

    def test_one_that_is_not_fills_the_time(self) -> None:
        made = planned(2)
        assert not made.is_enough
        longer = made.fitted(600)
        rounds = made.rounds.generations * longer.per_generation_max
        assert rounds > made.rounds.generations * made.rounds.per_generation_max
        block_s = made.rounds.generations * longer.looks * round_s(SCHEDULE)
        assert 600 - block_s < rounds * round_s(SCHEDULE) <= 600

    @pytest.mark.parametrize("minutes", [2, 60])
    def test_with_less_time_it_has_fewer_rounds_as_many_looks_and_all_generations(self, minutes: float) -> None:
        made = planned(minutes)
        shorter = made.fitted(60)
        assert shorter.generations * shorter.per_generation_max * round_s(SCHEDULE) <= 60
        assert shorter.per_generation_max < made.rounds.per_generation_max
        assert (shorter.looks, shorter.generations) == (made.rounds.looks, made.rounds.generations)
        assert shorter.per_generation == shorter.look_every
        assert (shorter.one_direct, shorter.settle_s) == (True, SETTLE_S)

    def test_one_round_a_look_is_the_least_even_when_no_time_is_left(self) -> None:
        fitted = planned().fitted(-5)
        assert (fitted.per_generation, fitted.per_generation_max) == (1, 3)

    def test_longer_windows_fit_in_less_often(self) -> None:
        short, long = (planned(60, schedule=ClosedLoop(users=2, warm_up_s=0, window_s=s)).fitted(120) for s in (0.4, 4))
        assert long.per_generation < short.per_generation

    def test_so_do_arms_that_still_write_after_a_window(self) -> None:
        quick, writing = (planned(60, drain_s=s).fitted(400) for s in (0.0, 2.0))
        assert writing.per_generation < quick.per_generation
        assert (quick.drain_s, writing.drain_s) == (0.0, 2.0)


def test_longer_windows_are_taken_to_vary_less_down_to_an_end() -> None:
    shortest, longer, longest = (expected_noise(ClosedLoop(2, warm_up_s=0, window_s=s)) for s in (0.15, 0.6, 600))
    assert shortest == NOISE
    assert longer == Noise(NOISE.process_sd, NOISE.round_sd / 2)
    assert longest.round_sd == ROUND_SD_MIN


def test_it_says_itself_before_it_begins() -> None:
    made = planned(60, noise=Noise(process_sd=0.02, round_sd=0.11))
    plan, expected, *more = made.words
    assert plan.startswith(
        f"plan: {made.rounds.generations} generations of each arm, {made.rounds.per_generation_max} rounds in each, at "
        f"most {duration_s(made) / 60:.1f} minutes ("
    )
    assert expected.startswith("expected: a limit of +5.0% passes equal arms with a chance of ")
    assert expected.endswith("(SD of a pair: 2.0% between processes, 11.0% between rounds)")
    assert more == []
    assert planned(2).words[-1].startswith("that is less than the 95% wanted: allow ")


def test_too_little_time_says_what_the_smallest_takes() -> None:
    with pytest.raises(BadInput) as caught:
        planned(0.5)
    smallest_s = GENERATIONS_MIN * (2 * (START_S + SETTLE_S + WINDOW_EXTRA_S) + 3 * 2 * (0.4 + WINDOW_EXTRA_S))
    text = str(caught.value)
    assert text.startswith("minutes=0.5 is too short for a comparison: ")
    assert f"{GENERATIONS_MIN} generations of one round for each of 3 looks" in text
    assert f"take {smallest_s:.0f} s" in text
    assert text.endswith("; give it more minutes")
    assert planned(smallest_s / 60 + 0.01).rounds.generations == GENERATIONS_MIN


def test_too_little_memory_says_what_is_needed_and_what_is_free() -> None:
    with pytest.raises(BadInput) as caught:
        planned(processes=2, memory_bytes=int(7.7 * GIB))
    assert str(caught.value) == (
        "a comparison keeps at least 4 generations of two gateways alive, 6.2 GiB together; 7.7 GiB are free, of which "
        "80% may be used: free some, or give fewer --workers and --instances, or less --memory-per-instance"
    )
    assert planned(processes=2, memory_bytes=int(7.9 * GIB)).rounds.generations == GENERATIONS_MIN


def test_memory_that_is_promised_counts_and_not_what_processes_need() -> None:
    """Two gateways of 4 GiB in each generation, in 80 % of 64 GiB: six."""
    assert planned(60, margin=0.025, gateway_bytes=4 * GIB).rounds.generations == 6
    assert planned(60, margin=0.025, gateway_bytes=4 * GIB, processes=2).rounds.generations == 6
    assert planned(60, margin=0.025, gateway_bytes=GIB // 4, memory_bytes=8 * GIB).rounds.generations == 12
    with pytest.raises(BadInput, match=r"two gateways alive, 64\.0 GiB together; 64\.0 GiB are free"):
        planned(60, gateway_bytes=8 * GIB)
