"""What is there to draw of a scenario: which points, which limits, which intervals?

Comes in: a `MeasurementRecord` and its verdicts. Goes out: pictures as values, nothing drawn yet. No I/O.

    latency_pictures  --> LatencyPicture     percentiles of each arm, with the limits that are at percentiles
    rounds_picture    --> RoundsPicture      one figure of every round and generation, with its interval
    use_picture       --> UsePicture         CPU and memory over time, with the periods in which a dependency failed
    load_picture      --> LoadPicture        throughput and latency of an arm that was measured under several loads
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from perfgate.experiment.arms import BASELINE, CANDIDATE
from perfgate.experiment.fault_figures import DURING
from perfgate.experiment.measurement import MIB
from perfgate.experiment.metrics import METRICS
from perfgate.measure.histogram import Histogram
from perfgate.record import (
    ClosedLoopRecord,
    EstimateRecord,
    JudgementRecord,
    MeasurementRecord,
    OpenLoopRecord,
    SearchRecord,
    WindowRecord,
)

#: The percentiles that tables have, and that curves go through.
ANCHORS: Final = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99)
#: Between two points of a curve, in powers of ten of the share that is slower.
_STEP: Final = 0.05
_DECODED_KEPT: Final = 5_000
GATEWAY: Final = "gateway"
DIRECT: Final = "direct"


class NotDrawable(ValueError):
    """A record is of the right form, but holds something that none of ours wrote; the text says what and where."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Percentiles of one arm.

    Args:
        arm: its name.
        requests: how many the percentiles are of.
        percentiles: ascending, as far up as the requests go.
        values_ms: at each.
    """

    arm: str
    requests: int
    percentiles: tuple[float, ...]
    values_ms: tuple[float, ...]

    def at_ms(self, percentile: float) -> float | None:
        """The value at one of `ANCHORS`; None where there are too few requests for it."""
        found = dict(zip(self.percentiles, self.values_ms, strict=True))
        return found.get(percentile)


@dataclass(frozen=True, slots=True)
class LimitMark:
    """Where a curve must stay below at one percentile.

    Args:
        metric: that is limited.
        arm: whose curve.
        percentile: where.
        value_ms: what the curve may be there; of a difference, with the curve added that it is over.
    """

    metric: str
    arm: str
    percentile: float
    value_ms: float


@dataclass(frozen=True, slots=True)
class LatencyPicture:
    """Percentiles of each arm.

    Args:
        what: `latency`, `time to the first token` or `gap between chunks`.
        curves: in the order of the arms.
        marks: of limits.
    """

    what: str
    curves: tuple[Curve, ...]
    marks: tuple[LimitMark, ...]


@dataclass(frozen=True, slots=True)
class RoundPoint:
    """The figure of one round; generation and round from 0, in the order in which they ran."""

    generation: int
    round: int
    value: float


@dataclass(frozen=True, slots=True)
class RoundsPicture:
    """One figure of every round.

    Args:
        title: of the figure.
        unit: `ms`, or `%` for the slowdown of a comparison.
        points: of rounds that have one.
        of_generations: by generation, from all of its rounds together.
        value, low, high: of the whole, as judged; None where it was not, or its interval has no such end.
        limit: what is allowed, in `unit`; None where there is none on this figure.
    """

    title: str
    unit: str
    points: tuple[RoundPoint, ...]
    of_generations: Mapping[int, float]
    value: float | None
    low: float | None
    high: float | None
    limit: float | None


@dataclass(frozen=True, slots=True)
class UsePoint:
    """What a gateway used for one window: cores in the mean of the window, resident memory after it."""

    at_s: float
    cpu_cores: float
    rss_mib: float


@dataclass(frozen=True, slots=True)
class UseLine:
    """One gateway, from its start to its end.

    Args:
        arms: that it served.
        generation: which start of it.
        points: in the order of time.
    """

    arms: tuple[str, ...]
    generation: int
    points: tuple[UsePoint, ...]


@dataclass(frozen=True, slots=True)
class FaultPeriod:
    """When a dependency failed, in seconds from the first window: told to, told to be well again, and well again."""

    began_s: float
    over_s: float
    ended_s: float


@dataclass(frozen=True, slots=True)
class UsePicture:
    """CPU and memory over time."""

    lines: tuple[UseLine, ...]
    faults: tuple[FaultPeriod, ...]


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """One load: what it was, requests answered a second, latency."""

    load: str
    throughput_rps: float
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class LoadPicture:
    """Throughput and latency of each arm, by name, under each load: in the order of throughput, or of rates tried."""

    of_arms: Mapping[str, tuple[LoadPoint, ...]]


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Where the limit of a metric is drawn: of which histogram, on whose curve, above whose."""

    pattern: re.Pattern[str]
    histogram: str
    arm: str
    over: str | None = None


_KINDS: Final[Mapping[str, str]] = {
    "latency": "latency",
    "first_token": "time to the first token",
    "chunk_gap": "gap between chunks",
}
_DRAWN: Final = tuple(
    _Drawn(re.compile(rf"{name}_p(\d+)_ms"), *of)
    for name, of in (
        ("latency", ("latency", GATEWAY)),
        ("overhead", ("latency", GATEWAY, DIRECT)),
        ("added", ("latency", GATEWAY, "without")),
        ("cache_hit", ("latency", "cache_hit")),
        ("redis_url_added", ("latency", "redis_url", GATEWAY)),
        ("fault_latency", ("latency", DURING)),
        ("first_token", ("first_token", GATEWAY)),
        ("first_token_overhead", ("first_token", GATEWAY, DIRECT)),
        ("chunk_gap", ("chunk_gap", GATEWAY)),
    )
)


def latency_pictures(measurement: MeasurementRecord, judgements: Sequence[JudgementRecord]) -> list[LatencyPicture]:
    """Percentiles of each arm: latency, and of streams first tokens and gaps; none of a search for a capacity.

    Args:
        measurement: of a scenario.
        judgements: of the same scenario.

    Raises:
        NotDrawable: a histogram cannot be read.
    """
    if measurement.search is not None:
        return []  # windows of many rates, some of them more than the gateway carries
    pictures = []
    for field, what in _KINDS.items():
        curves = []
        for arm in measurement.arms:
            histogram = merged(_windows(measurement, arm.name), field)
            if histogram.count:
                curves.append(_curve(arm.name, histogram))
        if curves:
            of_arms = {curve.arm: curve for curve in curves}
            marks = [mark for judged in judgements if (mark := _mark(judged, field, of_arms)) is not None]
            pictures.append(LatencyPicture(what, tuple(curves), tuple(marks)))
    return pictures


def rounds_picture(measurement: MeasurementRecord, judgements: Sequence[JudgementRecord]) -> RoundsPicture | None:
    """Overhead, or slowdown, by round and generation; None for a measurement that has neither.

    Raises:
        NotDrawable: a histogram cannot be read.
    """
    if measurement.search is not None:
        return None
    of_metric = {judged.metric: judged for judged in judgements}
    arms = {arm.name for arm in measurement.arms}
    if {BASELINE, CANDIDATE} <= arms:
        for metric, figure in _COMPARED.items():
            judged = of_metric.get(metric)
            if judged is not None and judged.comparison is not None:
                return _slowdown(measurement, judged, figure)
        return None
    for metric, drawn in _OVER.items():
        judged = of_metric.get(metric)
        if judged is not None and judged.estimate is not None and {drawn.arm, drawn.over} <= arms:
            return _overhead(measurement, judged, drawn)
    plain = _OVER["overhead_p50_ms"]
    return _overhead(measurement, None, plain) if {plain.arm, plain.over} <= arms else None


def use_picture(measurement: MeasurementRecord) -> UsePicture | None:
    """CPU and memory over time; None where they were not measured."""
    gateways: dict[str, list[str]] = {}
    for arm in measurement.arms:
        if arm.gateway is not None:
            gateways.setdefault(arm.gateway.model_dump_json(), []).append(arm.name)
    if not measurement.windows:
        return None
    began_s = min(window.load.window_opened_mono_s for window in measurement.windows)
    lines = []
    for names in gateways.values():
        windows = [window for window in measurement.windows if window.arm in names]
        for generation in sorted({window.generation for window in windows}):
            points = [
                UsePoint(
                    window.load.drained_mono_s - began_s,
                    window.gateway.cpu_s / (window.load.drained_mono_s - window.load.window_opened_mono_s),
                    window.gateway.rss_after_bytes / MIB,
                )
                for window in windows
                if window.generation == generation and window.gateway is not None and _lasted(window)
            ]
            if points:
                lines.append(UseLine(tuple(names), generation, tuple(sorted(points, key=lambda point: point.at_s))))
    if not lines:
        return None
    faults = [
        FaultPeriod(fault.began_mono_s - began_s, fault.over_mono_s - began_s, fault.ended_mono_s - began_s)
        for fault in measurement.faults
    ]
    return UsePicture(tuple(lines), tuple(faults))


def load_picture(measurement: MeasurementRecord) -> LoadPicture | None:
    """Throughput and latency of arms with a gateway; None where none was measured under more than one load.

    Of a search for a capacity it is the curve of the rates that were tried, in their order.

    Raises:
        NotDrawable: a histogram cannot be read.
    """
    if measurement.search is not None:
        return _searched(measurement.search)
    of_arms: dict[str, tuple[LoadPoint, ...]] = {}
    for arm in measurement.arms:
        if arm.gateway is None:
            continue
        loads = ((measurement.schedule, measurement.windows), (measurement.shown_schedule, measurement.shown))
        points = []
        for schedule, every in loads:
            windows = [window for window in every if window.arm == arm.name]
            seconds = sum(window.load.drained_mono_s - window.load.window_opened_mono_s for window in windows)
            histogram = merged(windows, "latency")
            if schedule is not None and histogram.count and seconds > 0:
                throughput_rps = sum(window.load.succeeded for window in windows) / seconds
                p50_ms, p95_ms = histogram.percentile_ms(50), histogram.percentile_ms(95)
                points.append(LoadPoint(load_words(schedule), throughput_rps, p50_ms, p95_ms))
        if len(points) > 1:
            of_arms[arm.name] = tuple(sorted(points, key=lambda point: point.throughput_rps))
    return LoadPicture(of_arms) if of_arms else None


def merged(windows: Sequence[WindowRecord], field: str) -> Histogram:
    """One histogram of all windows; empty where there is none.

    Args:
        windows: of a record.
        field: of `LoadRecord`, one that holds a histogram.

    Raises:
        NotDrawable: a histogram cannot be read.
    """
    if not windows:
        return Histogram((), (), 0)
    return Histogram.merged([_decoded(getattr(window.load, field)) for window in windows])


def _searched(search: SearchRecord) -> LoadPicture | None:
    of_arms: dict[str, list[LoadPoint]] = {}
    for point in sorted(search.curve, key=lambda point: point.offered_rps):
        if point.p50_ms is not None and point.p95_ms is not None:
            load = f"{point.offered_rps:.4g} requests/s"
            of_arms.setdefault(point.arm, []).append(LoadPoint(load, point.answered_rps, point.p50_ms, point.p95_ms))
    return LoadPicture({arm: tuple(points) for arm, points in of_arms.items()}) if of_arms else None


def load_words(schedule: OpenLoopRecord | ClosedLoopRecord) -> str:
    """`35 requests/s`, `30 users who think 0.75 s`."""
    if isinstance(schedule, OpenLoopRecord):
        arrivals = "" if schedule.arrivals == "constant" else " at random"
        return f"{schedule.offered_rps:g} requests/s{arrivals}"
    thinking = f" who think {schedule.think_time_s:g} s" if schedule.think_time_s else ""
    return f"{schedule.users} users{thinking}"


def _curve(arm: str, histogram: Histogram) -> Curve:
    highest = 100 * (1 - 1 / histogram.count)
    steps = range(1, 1 + math.floor(math.log10(histogram.count) / _STEP))
    between = {round(100 * (1 - 10 ** (-step * _STEP)), 4) for step in steps}
    percentiles = sorted({50.0} | {p for p in between | set(ANCHORS) if p <= highest})
    return Curve(arm, histogram.count, tuple(percentiles), tuple(histogram.percentile_ms(p) for p in percentiles))


def _mark(judged: JudgementRecord, field: str, curves: Mapping[str, Curve]) -> LimitMark | None:
    for drawn in _DRAWN:
        match = drawn.pattern.fullmatch(judged.metric)
        if match is None or drawn.histogram != field:
            continue
        percentile, compared = float(match[1]), judged.comparison
        arm = CANDIDATE if compared is not None else drawn.arm
        allowed_ms = judged.limit.maximum if compared is None else compared.baseline * compared.allowed_ratio
        if allowed_ms is None or arm not in curves:
            return None
        if drawn.over is not None:
            over_ms = curves[drawn.over].at_ms(percentile) if drawn.over in curves else None
            if over_ms is None:
                return None
            allowed_ms += over_ms
        return LimitMark(judged.metric, arm, percentile, allowed_ms)
    return None


#: The figure of some windows of one arm, and of windows without a gateway; None where they have none.
_Figure = Callable[[Sequence[WindowRecord], Sequence[WindowRecord]], float | None]


def _p50_ms(windows: Sequence[WindowRecord], direct: Sequence[WindowRecord]) -> float | None:
    histogram = merged(windows, "latency")
    return histogram.percentile_ms(50) if histogram.count else None


def _overhead_p50_ms(windows: Sequence[WindowRecord], direct: Sequence[WindowRecord]) -> float | None:
    through_ms, without_ms = _p50_ms(windows, ()), _p50_ms(direct, ())
    return through_ms - without_ms if through_ms is not None and without_ms is not None else None


def _cpu_per_request_ms(windows: Sequence[WindowRecord], direct: Sequence[WindowRecord]) -> float | None:
    completed = sum(window.load.completed for window in windows)
    used = [window.gateway.cpu_s for window in windows if window.gateway is not None]
    return 1000 * sum(used) / completed if used and completed else None


def _s_per_request(windows: Sequence[WindowRecord], direct: Sequence[WindowRecord]) -> float | None:
    """Throughput, turned over: above 1 is then worse, as of the others."""
    succeeded = sum(window.load.succeeded for window in windows)
    seconds = sum(window.load.drained_mono_s - window.load.window_opened_mono_s for window in windows)
    return seconds / succeeded if succeeded else None


#: The first of them that was judged is drawn.
_COMPARED: Final[Mapping[str, _Figure]] = {
    "overhead_p50_ms": _overhead_p50_ms,
    "latency_p50_ms": _p50_ms,
    "cpu_per_request_ms": _cpu_per_request_ms,
    "throughput_rps": _s_per_request,
}
_OVER: Final[Mapping[str, _Drawn]] = {
    metric: next(drawn for drawn in _DRAWN if drawn.pattern.fullmatch(metric))
    for metric in ("overhead_p50_ms", "first_token_overhead_p50_ms", "added_p50_ms")
}


def _slowdown(measurement: MeasurementRecord, judged: JudgementRecord, figure: _Figure) -> RoundsPicture:
    direct = [w for arm in measurement.arms if arm.gateway is None for w in _windows(measurement, arm.name)]
    of_arms = [_by_round(_windows(measurement, name)) for name in (BASELINE, CANDIDATE)]
    shared = sorted(of_arms[0].keys() & of_arms[1].keys())

    def slowdown_percent(keys: Sequence[tuple[int, int]]) -> float | None:
        before, after = (figure([of_arm[key] for key in keys], direct) for of_arm in of_arms)
        if before is None or after is None or not before > 0:
            return None
        return (after / before - 1) * 100

    points = [RoundPoint(*key, value) for key in shared if (value := slowdown_percent([key])) is not None]
    generations = {
        generation: value
        for generation in sorted({generation for generation, _ in shared})
        if (value := slowdown_percent([key for key in shared if key[0] == generation])) is not None
    }
    compared = judged.comparison
    assert compared is not None, "only what was compared is drawn"
    ends = [None if end is None else (end - 1) * 100 for end in (compared.ratio, compared.low, compared.high)]
    allowed = (compared.allowed_ratio - 1) * 100
    title = f"slowdown of the candidate: {METRICS[judged.metric].title}"
    return RoundsPicture(title, "%", tuple(points), generations, ends[0], ends[1], ends[2], allowed)


def _overhead(measurement: MeasurementRecord, judged: JudgementRecord | None, drawn: _Drawn) -> RoundsPicture:
    assert drawn.over is not None, "it is over another arm"
    through, without = (_by_round(_windows(measurement, name)) for name in (drawn.arm, drawn.over))
    shared = sorted(through.keys() & without.keys())

    def added_ms(keys: Sequence[tuple[int, int]]) -> float | None:
        here, there = (merged([of_arm[key] for key in keys], drawn.histogram) for of_arm in (through, without))
        return here.percentile_ms(50) - there.percentile_ms(50) if here.count and there.count else None

    points = [RoundPoint(*key, value) for key in shared if (value := added_ms([key])) is not None]
    generations = {
        generation: value
        for generation in sorted({generation for generation, _ in shared})
        if (value := added_ms([key for key in shared if key[0] == generation])) is not None
    }
    estimate: EstimateRecord | None = judged.estimate if judged is not None else None
    return RoundsPicture(
        title=METRICS[judged.metric if judged is not None else "overhead_p50_ms"].title,
        unit="ms",
        points=tuple(points),
        of_generations=generations,
        value=estimate.value if estimate is not None else None,
        low=estimate.low if estimate is not None else None,
        high=estimate.high if estimate is not None else None,
        limit=judged.limit.maximum if judged is not None else None,
    )


def _windows(measurement: MeasurementRecord, arm: str) -> list[WindowRecord]:
    return [window for window in measurement.windows if window.arm == arm]


def _by_round(windows: Sequence[WindowRecord]) -> dict[tuple[int, int], WindowRecord]:
    return {(window.generation, window.round): window for window in windows}


def _lasted(window: WindowRecord) -> bool:
    return window.load.drained_mono_s > window.load.window_opened_mono_s


@lru_cache(maxsize=_DECODED_KEPT)
def _decoded(text: str) -> Histogram:
    """Each round is drawn by itself and as part of the whole."""
    try:
        return Histogram.decoded(text)
    except ValueError as error:
        raise NotDrawable(str(error)) from error
