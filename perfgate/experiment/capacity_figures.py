"""What does a search say of the capacity, and how do throughput and latency go with the offered rate?

Comes in: a measurement of experiment/capacity.py. Goes out: an `Estimate`, the ceiling of generator and mock, the
curve. No I/O, no limits.
"""

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from perfgate.experiment.capacity import search_range
from perfgate.experiment.measurement import Estimate, Measurement, NotMeasured, Window
from perfgate.load.schedule import OpenLoop
from perfgate.measure.histogram import Histogram
from perfgate.stats.rate_search import Capacity, RateSearch, TooFewTrials, capacity_of
from perfgate.thresholds import CAPACITY

GATEWAY: Final = "gateway"
DIRECT: Final = "direct"


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """All windows of one arm at one rate.

    Args:
        arm: `gateway` or `direct`.
        offered_rps: the rate.
        windows, held: how many, and in how many of them the rate was held.
        answered_rps: requests that succeeded a second, of windows and their drains.
        p50_ms, p95_ms, p99_ms: latency from the intended start; None where nothing was answered.
        error_ratio, completed_ratio: of all requests at this rate.
    """

    arm: str
    offered_rps: float
    windows: int
    held: int
    answered_rps: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    error_ratio: float
    completed_ratio: float


def capacity_rps(measurement: Measurement) -> Estimate:
    """The highest offered rate at which the objective holds, over all generations."""
    found = capacity(measurement)
    requests, windows = measurement.requests(GATEWAY), measurement.of_arm(GATEWAY)
    generations = len({window.generation for window in windows})
    low_rps = found.low_rps
    # Where no rate was broken, what is above the highest one is not known, and claimed no more than it.
    high_rps = found.high_rps if math.isfinite(found.high_rps) else found.rps
    return Estimate(
        CAPACITY, "requests/s", found.rps, low_rps, high_rps, found.confidence, len(windows), generations, requests
    )


def capacity(measurement: Measurement) -> Capacity:
    """The same with its bound.

    Raises:
        NotMeasured: a generation has no window in which the load was sent as it should be.
    """
    return _capacity(measurement, GATEWAY)


def ceiling(measurement: Measurement) -> Capacity:
    """What generator and mock hold without a gateway.

    Raises:
        NotMeasured: the direct arm has no window.
    """
    return _capacity(measurement, DIRECT)


def unfit_ratio(measurement: Measurement) -> float:
    """Share of the gateway's windows that say nothing, since the load was not sent as it should have been."""
    windows = measurement.of_arm(GATEWAY)
    return sum(window.trial is not None and window.trial.outcome == "unfit" for window in windows) / len(windows)


def curve(measurement: Measurement) -> tuple[CurvePoint, ...]:
    """A point for every rate of every arm that was tried and sent, ascending by rate; the gateway's first."""
    at: defaultdict[tuple[bool, str, float], list[Window]] = defaultdict(list)
    for window in measurement.windows:
        if window.trial is not None and window.trial.outcome != "unfit":
            at[window.arm == DIRECT, window.arm, window.trial.offered_rps].append(window)
    return tuple(_point(arm, rate_rps, windows) for (_, arm, rate_rps), windows in sorted(at.items()))


def _point(arm: str, rate_rps: float, windows: list[Window]) -> CurvePoint:
    loads = [window.load for window in windows]
    latency = Histogram.merged([load.latency for load in loads])
    sent, succeeded = sum(load.sent for load in loads), sum(load.succeeded for load in loads)
    p50_ms, p95_ms, p99_ms = (latency.percentile_ms(p) if latency.count else None for p in (50, 95, 99))
    return CurvePoint(
        arm,
        rate_rps,
        len(windows),
        sum(window.trial is not None and window.trial.outcome == "held" for window in windows),
        succeeded / sum(load.drained_mono_s - load.window_opened_mono_s for load in loads),
        p50_ms,
        p95_ms,
        p99_ms,
        1 - succeeded / sent if sent else 1.0,
        sum(load.completed for load in loads) / sent if sent else 0.0,
    )


def _capacity(measurement: Measurement, arm: str) -> Capacity:
    try:
        return capacity_of(_searches(measurement, arm), measurement.confidence)
    except TooFewTrials as error:
        raise NotMeasured(
            f"{measurement.scenario}: of arm {arm!r} too few windows had their load sent as it should be: {error}"
        ) from error


def _searches(measurement: Measurement, arm: str) -> list[RateSearch]:
    """What every generation's trials come to, in the order in which they were made."""
    if not isinstance(measurement.schedule, OpenLoop):
        raise NotMeasured(f"{measurement.scenario}: rates are searched for by an open loop")
    first = search_range(measurement.schedule, direct=arm == DIRECT)
    searches: dict[int, RateSearch] = {}
    for window in measurement.of_arm(arm):
        search = searches.setdefault(window.generation, first)
        if window.trial is not None and window.trial.outcome != "unfit":
            searches[window.generation] = search.told(window.trial.offered_rps, held=window.trial.outcome == "held")
    return list(searches.values())
