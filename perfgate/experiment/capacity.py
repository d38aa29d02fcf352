"""Which offered rate does a gateway hold, and which could generator and mock hold without it?

Comes in: the arms `direct` and `gateway`, an objective, a first rate. Goes out: a `Measurement` whose windows say which
rate they tried and what came of it; capacity_figures.py makes figures of them. Knows no limits.

Every generation is searched by itself, and the direct arm beside them. In each round every search that is not done has
one window, at the rate that its own trials make the best next one (stats/rate_search.py), in random order: what the
host does in one minute, it does to all of them.
"""

import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final

from perfgate.experiment.arms import Arm
from perfgate.experiment.measurement import Measurement, Outcome, Trial, Window
from perfgate.experiment.rounds import WINDOW_EXTRA_S, Bench, Gateway, Loader, Progress
from perfgate.load.result import LoadResult
from perfgate.load.schedule import MAX_REQUESTS, OpenLoop
from perfgate.measure.histogram import NoRequests
from perfgate.stats.rate_search import RateSearch
from perfgate.thresholds import SEARCH_REQUESTS_MIN, Apparatus, Objective

#: Rates are tried up to so many times the first one.
HIGHEST_RATIO: Final = 1024
#: Windows of the direct arm, whose rates are high: they need not be long to have many requests.
DIRECT_WARM_UP_S: Final = 0.5
DIRECT_WINDOW_S: Final = 2.0
#: It begins at so many times the gateway's first rate, and need not be known as well as the gateway's capacity.
DIRECT_FIRST_RATIO: Final = 8
DIRECT_WITHIN: Final = 0.25
#: A gateway that still works off what a window has left is asked at the first rate, for so long each time, until it
#: answers as it should; what remains then is its own.
RECOVERY_S: Final = 1.0
RECOVERIES_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """How much is tried.

    Args:
        generations: gateways.
        windows_max: of each, and of the direct arm.
        within: see `RateSearch.is_done`.
    """

    generations: int
    windows_max: int
    within: float


@dataclass(slots=True)
class _Searched:
    """A search under way: whose it is, and how many windows it had."""

    arm: Arm
    generation: int
    schedule: OpenLoop
    within: float
    search: RateSearch
    windows: int = 0


def search_range(schedule: OpenLoop, *, direct: bool) -> RateSearch:
    """The search of an arm before it begins.

    Args:
        schedule: of the scenario: its rate is the first one that is tried of a gateway.
        direct: whether it is that of the direct arm.
    """
    first_rps = schedule.offered_rps
    highest_rps = min(first_rps * HIGHEST_RATIO, MAX_REQUESTS / (schedule.warm_up_s + schedule.window_s))
    if direct:
        return RateSearch(min(first_rps * DIRECT_FIRST_RATIO, highest_rps), first_rps, highest_rps)
    return RateSearch(first_rps, min(SEARCH_REQUESTS_MIN / schedule.window_s, first_rps), highest_rps)


def search_capacity(
    bench: Bench,
    scenario: str,
    arms: tuple[Arm, Arm],
    schedule: OpenLoop,
    objective: Objective,
    apparatus: Apparatus,
    plan: SearchPlan,
    *,
    seed: int,
    time_left_s: Callable[[], float],
    payload_bytes: int | None = None,
    stream: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_window: Callable[[Measurement], None] = lambda measurement: None,
) -> Measurement:
    """Try rates until the capacity of every generation is known well enough.

    Args:
        bench: starts gateways, has generator and mock.
        scenario: for the measurement's name and its seeds.
        arms: the direct one, and the gateway's.
        schedule: of the gateway's windows; its rate is the first one that is tried.
        objective: what a rate has to keep to.
        apparatus: what generator and mock have to keep to.
        plan: how much is tried.
        seed: of orders and schedules.
        time_left_s: seconds left for further rounds; the first one is made regardless.
        payload_bytes, stream: of every request.
        on_progress: called before every window.
        on_window: called after every window with everything measured so far.

    Raises:
        StackFailed: a service did not start or died; what was measured before went to `on_window`.
    """
    direct, through = arms
    if not direct.is_direct or through.gateway is None:
        raise ValueError(
            f"arms={[arm.name for arm in arms]}: must be a direct one and one with a gateway, in this order"
        )
    direct_schedule = replace(schedule, warm_up_s=DIRECT_WARM_UP_S, window_s=DIRECT_WINDOW_S)
    measurement = Measurement(
        scenario,
        arms,
        schedule,
        mock_delay_ms=bench.mock_delay_ms,
        rounds_planned_max=plan.windows_max,
        direct_schedule=direct_schedule,
        objective=objective,
    )
    open_ = [
        _Searched(through, generation, schedule, plan.within, search_range(schedule, direct=False))
        for generation in range(plan.generations)
    ]
    open_.append(_Searched(direct, 0, direct_schedule, DIRECT_WITHIN, search_range(schedule, direct=True)))
    planned = len(open_) * plan.windows_max
    order, stopped = random.Random(f"{seed}/{scenario}"), "every capacity is known well enough"
    with ExitStack() as until_closed:
        on_progress(Progress(f"starting {plan.generations} x {through.gateway}", 0, planned, 0.0))
        gateways = bench.start_gateways([through.gateway] * plan.generations, until_closed)
        loader = Loader(bench, payload_bytes, stream)
        for gateway in gateways:
            loader.settle(gateway, through, schedule, 0.0)
        while open_:
            round_s = sum(each.schedule.warm_up_s + each.schedule.window_s + WINDOW_EXTRA_S for each in open_)
            if measurement.windows and time_left_s() < round_s:
                stopped = "the time is used up"
                break
            for position, each in enumerate(order.sample(open_, len(open_))):
                words = f"{each.arm.name}, generation {each.generation + 1}, at {each.search.next_rps:.4g} requests/s"
                on_progress(Progress(words, len(measurement.windows), planned, 0.0))
                served = None if each.arm.is_direct else gateways[each.generation]
                window = _next_window(loader, each, served, position, order.getrandbits(32), objective, apparatus)
                measurement = measurement.with_windows((window,))
                on_window(measurement)
                if window.load.completed < window.load.sent:
                    _recover(loader, each.arm, served, schedule, objective)
            if any(each.windows == plan.windows_max and not each.search.is_done(each.within) for each in open_):
                stopped = "the most windows are done"
            open_ = [each for each in open_ if each.windows < plan.windows_max and not each.search.is_done(each.within)]
    return replace(measurement, stopped=stopped)


def _next_window(
    loader: Loader,
    searched: _Searched,
    gateway: Gateway | None,
    position: int,
    seed: int,
    objective: Objective,
    apparatus: Apparatus,
) -> Window:
    """Try the next rate of a search, and tell it what came of it."""
    rate_rps = searched.search.next_rps
    schedule = replace(searched.schedule, offered_rps=rate_rps)
    loaded = loader.window(searched.arm, gateway, schedule, seed, with_ledgers=False)
    if gateway is not None:
        outcome = outcome_of(loaded.load, objective, apparatus)
    else:
        outcome = "held" if is_fit(loaded.load, loader.bench.mock_delay_ms, apparatus) else "broken"
    if outcome != "unfit":
        searched.search = searched.search.told(rate_rps, held=outcome == "held")
    number = searched.windows
    searched.windows += 1
    return Window(
        searched.arm.name,
        searched.generation,
        number,
        position,
        seed,
        loaded.load,
        loaded.gateway,
        loaded.upstream_requests,
        trial=Trial(rate_rps, outcome),
    )


def outcome_of(load: LoadResult, objective: Objective, apparatus: Apparatus) -> Outcome:
    """What became of a rate that a gateway was offered.

    A gateway that drowns costs the generator connections, and may make it late: so its failure counts as its own where
    requests failed, or were too slow by the time from their actual send alone.

    Args:
        load: of the window.
        objective: of the rate.
        apparatus: of the generator.
    """
    if load.sent_ratio < apparatus.sent_ratio_min:
        return "unfit"
    if load.error_ratio > objective.error_ratio or load.completed_ratio < objective.completed_ratio:
        return "broken"
    try:
        if load.latency.percentile_ms(95) <= objective.latency_p95_ms:
            return "held"
        was_slow_itself = load.service_time.percentile_ms(95) > objective.latency_p95_ms
    except NoRequests:
        return "broken"
    return "broken" if was_slow_itself or _is_generator_fit(load, apparatus) else "unfit"


def is_fit(load: LoadResult, mock_delay_ms: float, apparatus: Apparatus) -> bool:
    """Whether generator and mock held a rate without a gateway: all that they have to keep to in every measurement."""
    if load.sent_ratio < apparatus.sent_ratio_min or load.succeeded < load.sent:
        return False
    try:
        p95_ms = load.latency.percentile_ms(95)
    except NoRequests:
        return False
    return _is_generator_fit(load, apparatus) and p95_ms <= mock_delay_ms + apparatus.direct_p95_above_mock_delay_ms


def _is_generator_fit(load: LoadResult, apparatus: Apparatus) -> bool:
    return (
        load.dispatch_lag.percentile_ms(99) <= apparatus.dispatch_lag_p99_ms
        and load.generator_cpu_ratio <= apparatus.generator_cpu_ratio_max
    )


def _recover(loader: Loader, arm: Arm, gateway: Gateway | None, schedule: OpenLoop, objective: Objective) -> None:
    """Ask an arm that has left requests unanswered until it has worked them off."""
    easy = replace(schedule, warm_up_s=0.0, window_s=RECOVERY_S)
    for _ in range(RECOVERIES_MAX):
        load = loader.window(arm, gateway, easy, 0, with_ledgers=False).load
        if load.sent == load.succeeded and load.latency.percentile_ms(95) <= objective.latency_p95_ms:
            return
