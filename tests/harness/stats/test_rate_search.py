"""Does the search find a capacity that is known, in few windows, and does its interval cover the truth?"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfgate.stats.rate_search import (
    LAPSE,
    SPREADS,
    STEP_RATIO,
    RateSearch,
    TooFewTrials,
    capacity_of,
)

FIRST = RateSearch(first_rps=15, lowest_rps=10, highest_rps=15_000)


def tried(search: RateSearch, *trials: tuple[float, bool]) -> RateSearch:
    for rate_rps, held in trials:
        search = search.told(rate_rps, held=held)
    return search


def literal_belief(search: RateSearch, confidence: float) -> tuple[float, float, float]:
    """Twin: Bayes' rule summed term by term on a finer grid; median, low and high in requests/s."""
    fine = 0.002
    steps = int((math.log(search.highest_rps) - math.log(search.lowest_rps)) / fine)
    logs = [math.log(search.lowest_rps) + fine * n for n in range(steps + 1)]
    weights = []
    for log_capacity in logs:
        weight = 0.0
        for spread in SPREADS:
            chance = 1.0
            for rate_rps, held in search.trials:
                x = (math.log(rate_rps) - log_capacity) / spread
                holds = LAPSE + (1 - 2 * LAPSE) / (1 + math.exp(min(x, 700)))
                chance *= holds if held else 1 - holds
            weight += chance
        weights.append(weight)
    total, ends = sum(weights), []
    for share in (0.5, (1 - confidence) / 2, (1 + confidence) / 2):
        below = 0.0
        for log_capacity, weight in zip(logs, weights, strict=True):
            below += weight / total
            if below >= share:
                ends.append(math.exp(log_capacity))
                break
    return ends[0], ends[1], ends[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    "trials",
    [
        [(15, True), (30, True), (60, False)],
        [(15, True), (30, False), (21, True), (25, True), (28, False), (26, False)],
        [(100, True), (90, False), (95, True)],
    ],
)
def test_the_belief_is_bayes_rule_summed_term_by_term(trials: list[tuple[float, bool]]) -> None:
    search = tried(RateSearch(15, 10, 200), *trials)
    belief = search.belief(0.9)
    median, low, high = literal_belief(search, 0.9)
    assert math.exp(belief.log_capacity) == pytest.approx(median, rel=0.01)
    assert (belief.low_rps, belief.high_rps) == pytest.approx((low, high), rel=0.015)


def test_rates_are_doubled_until_one_is_not_held() -> None:
    assert FIRST.next_rps == 15
    assert tried(FIRST, (15, True)).next_rps == pytest.approx(30)
    assert tried(FIRST, (15, True), (30, True)).next_rps == pytest.approx(60)


def test_they_are_halved_until_one_is_held_and_never_leave_what_is_allowed() -> None:
    assert tried(FIRST, (15, False)).next_rps == pytest.approx(10, rel=0.03)
    assert tried(FIRST, (15, False)).next_rps >= 10
    assert tried(FIRST, (15, True), (14_000, True)).next_rps <= 15_000


def test_then_the_next_rate_lies_between_them() -> None:
    search = tried(FIRST, (15, True), (30, True), (60, False))
    assert 30 < search.next_rps < 60
    assert tried(search, (42, True)).next_rps > search.next_rps
    assert tried(search, (42, False)).next_rps < search.next_rps


@given(st.lists(st.tuples(st.floats(10, 15_000), st.booleans()), min_size=1, max_size=8))
def test_every_next_rate_is_of_the_ladder_that_all_searches_share(trials: list[tuple[float, bool]]) -> None:
    rate_rps = tried(FIRST, *trials).next_rps
    steps = math.log(rate_rps / 15) / math.log(STEP_RATIO)
    assert steps == pytest.approx(round(steps), abs=1e-6)
    assert 10 * (1 - 1e-9) <= rate_rps <= 15_000 * (1 + 1e-9)


def test_one_window_that_went_the_other_way_is_forgiven() -> None:
    honest = [(30.0, True), (60.0, False), (42.0, True), (50.0, True), (55.0, False)]
    forgiven = tried(FIRST, (15, True), (21, False), *honest, (52, True), (54, False), (52, True))
    assert math.exp(forgiven.belief().log_capacity) == pytest.approx(53, rel=0.05)


def test_no_rate_is_more_than_twice_what_was_ever_held() -> None:
    """One broken by luck: the more often its neighbours are held, the likelier every far higher rate becomes."""
    search = tried(FIRST, (15, True), (30, False))
    rates = []
    for _ in range(12):
        rate_rps = search.next_rps
        assert search.held_rps is not None
        assert rate_rps <= 2.05 * search.held_rps
        rates.append(rate_rps)
        search = search.told(rate_rps, held=rate_rps < 100)
    assert max(rates) > 90
    assert search.next_rps == pytest.approx(100, rel=0.15)


def test_a_search_is_done_when_its_capacity_is_known_well_enough() -> None:
    search = tried(FIRST, (15, True), (30, True), (60, False))
    assert not search.is_done(0.05)
    assert tried(search, *[(40.0, True), (44.0, False)] * 4).is_done(0.1)


def test_a_search_is_done_at_the_end_of_what_is_allowed_and_says_so() -> None:
    never_broken = RateSearch(15, 10, 60)
    while not never_broken.is_done(0.05):
        never_broken = never_broken.told(never_broken.next_rps, held=True)
    assert never_broken.bound == "at least"
    assert never_broken.held_rps == pytest.approx(60)
    assert [rate for rate, _ in never_broken.trials] == pytest.approx([15, 30, 60, 60])
    never_held = RateSearch(15, 10, 60)
    while not never_held.is_done(0.05):
        never_held = never_held.told(never_held.next_rps, held=False)
    assert never_held.bound == "at most"
    assert never_held.broken_rps == pytest.approx(10, rel=0.03)
    assert len(never_held.trials) == 3


def test_bounds_are_said_of_several_searches_and_never_averaged() -> None:
    found = tried(FIRST, (30, True), (60, False), (42, True))
    least = capacity_of([found, tried(FIRST, (30, True)), tried(FIRST, (60, True))])
    assert (least.bound, least.rps, least.low_rps, least.high_rps) == ("at least", 30, 30, math.inf)
    most = capacity_of([found, tried(FIRST, (15, False), (10, False)), tried(FIRST, (30, True))])
    assert (most.bound, most.rps, most.low_rps, most.high_rps) == ("at most", 10, 0, 10)


def test_the_interval_of_one_search_is_its_own_belief() -> None:
    search = tried(FIRST, (15, True), (30, True), (60, False), (42, True))
    alone, belief = capacity_of([search], 0.9), search.belief(0.9)
    assert (alone.low_rps, alone.high_rps, alone.searches) == (belief.low_rps, belief.high_rps, 1)
    assert alone.rps == pytest.approx(math.exp(belief.log_capacity))


def test_searches_that_agree_are_no_surer_than_each_of_them_is() -> None:
    """Student's t over four: 3.182 standard errors, of which each is half of what is believed of one."""
    search = tried(FIRST, (15, True), (30, True), (60, False))
    same, belief = capacity_of([search] * 4), search.belief()
    reach = 3.182 * belief.log_sd / 2
    assert math.log(same.high_rps / same.low_rps) / 2 == pytest.approx(reach, rel=1e-3)
    assert same.rps == pytest.approx(math.exp(belief.log_capacity))


def test_searches_that_disagree_have_the_interval_of_their_spread() -> None:
    far = [tried(FIRST, *[(rate * 0.97, True), (rate * 1.03, False)] * 3) for rate in (40.0, 60.0, 80.0, 120.0)]
    logs = [search.belief().log_capacity for search in far]
    mean = sum(logs) / 4
    sd = math.sqrt(sum((log - mean) ** 2 for log in logs) / 3)
    capacity = capacity_of(far)
    assert math.log(capacity.high_rps / capacity.rps) == pytest.approx(3.1824 * sd / 2, rel=1e-3)
    assert capacity.low_rps < 60 < capacity.rps < 80 < capacity.high_rps


@pytest.mark.parametrize(
    ("first", "lowest", "highest"), [(5, 10, 100), (200, 10, 100), (10, 0, 100), (10, 10, math.inf)]
)
def test_a_range_that_cannot_be_searched_is_refused(first: float, lowest: float, highest: float) -> None:
    with pytest.raises(ValueError, match=f"first_rps={first:g} must be between lowest_rps={lowest:g} and"):
        RateSearch(first, lowest, highest)


def test_nothing_is_said_of_what_was_not_tried() -> None:
    with pytest.raises(TooFewTrials):
        FIRST.belief()
    with pytest.raises(TooFewTrials):
        capacity_of([])
    with pytest.raises(TooFewTrials):
        capacity_of([tried(FIRST, (15, True)), FIRST])
    with pytest.raises(TooFewTrials, match="one process has tried one rate, and broken it"):
        capacity_of([tried(FIRST, (15, False)), tried(FIRST, (15, True))])
    with pytest.raises(ValueError, match="rate_rps=0 must be above 0"):
        FIRST.told(0, held=True)
    with pytest.raises(ValueError, match="confidence=95 must be between 0 and 1"):
        tried(FIRST, (15, True)).belief(95)


@dataclass(frozen=True)
class Simulated:
    """Many runs of the same truth: capacities found, whether the interval held the truth, windows of a process."""

    log_errors: npt.NDArray[np.float64]
    covered: float
    windows: float


def simulate(
    *, runs: int, processes: int, process_sd: float, spread: float, lapse: float, truth_rps: float = 120.0
) -> Simulated:
    rng = np.random.default_rng(20_260_101)
    errors, covered, windows = [], 0, 0
    for _ in range(runs):
        searches = []
        for capacity_rps in truth_rps * np.exp(rng.normal(0, process_sd, processes)):
            search = RateSearch(15, 10, 960)
            for _ in range(16):
                if search.is_done(0.15):
                    break
                rate_rps = search.next_rps
                holds = 1 / (1 + math.exp(min(700, math.log(rate_rps / capacity_rps) / spread)))
                search = search.told(rate_rps, held=bool(rng.random() < lapse + (1 - 2 * lapse) * holds))
                windows += 1
            searches.append(search)
        found = capacity_of(searches)
        errors.append(math.log(found.rps / truth_rps))
        covered += found.low_rps <= truth_rps <= found.high_rps
    return Simulated(np.array(errors), covered / runs, windows / runs / processes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("process_sd", "spread", "lapse"),
    [(0.03, 0.03, 0.0), (0.03, 0.03, 0.02), (0.0, 0.03, 0.0), (0.07, 0.1, 0.02)],
    ids=["as measured", "with windows that go the other way", "processes alike", "much noisier"],
)
def test_the_interval_covers_the_truth_as_often_as_it_says(process_sd: float, spread: float, lapse: float) -> None:
    seen = simulate(runs=150, processes=4, process_sd=process_sd, spread=spread, lapse=lapse)
    # 150 runs of a true 95 % have 91 % or more in 99 of 100 cases.
    assert seen.covered >= 0.91
    assert abs(seen.log_errors.mean()) < 0.01 + 0.15 * spread


@pytest.mark.slow
def test_few_windows_are_enough_and_the_estimate_is_near_the_truth() -> None:
    seen = simulate(runs=150, processes=4, process_sd=0.03, spread=0.03, lapse=0.0)
    assert seen.windows < 13
    assert np.abs(seen.log_errors).mean() < 0.025
