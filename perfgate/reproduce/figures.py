"""Which rows and ratios does a measurement give, to be set beside the page's?

Comes in: a `Measurement` of a closed loop, the page's rows. Goes out: `Row`s, `Ratio`s, `Law`s. No I/O.

A figure that was not measured is a cell that says so. Where no request of a gateway was answered in some windows, its
times are those of its other windows: they have no interval, since it would lack the rounds that differ most, and are in
no ratio.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from perfgate.experiment.measurement import Estimate, Measurement, NotMeasured, Unmeasurable, requests_needed
from perfgate.load.schedule import ClosedLoop
from perfgate.measure.histogram import Histogram, NoRequests
from perfgate.reproduce.published import FigureName, PublishedRow, Times
from perfgate.reproduce.reproduced import Law, Ratio, Row, Unanswered
from perfgate.stats.resampling import EmptyRound

#: Figures of a row, in the page's order.
FIGURES: Final[tuple[FigureName, ...]] = ("median_ms", "p95_ms", "p99_ms", "mean_ms", "throughput_rps")
PERCENTILES: Final[Mapping[FigureName, float]] = {"median_ms": 50, "p95_ms": 95, "p99_ms": 99}
#: What a process of ours uses, beside what clients see.
USES: Final[tuple[FigureName, ...]] = ("cpu_per_request_ms", "cores_used", "rss_mib")

_ESTIMATES: Final[Mapping[FigureName, Callable[[Measurement, str], Estimate]]] = {
    "median_ms": lambda measured, arm: measured.latency_ms(50, arm),
    "p95_ms": lambda measured, arm: measured.latency_ms(95, arm),
    "p99_ms": lambda measured, arm: measured.latency_ms(99, arm),
    "mean_ms": lambda measured, arm: measured.mean_ms(arm),
    "throughput_rps": lambda measured, arm: measured.window_rps(arm),
    "overhead_p50_ms": lambda measured, arm: measured.overhead_ms(50, arm),
    "overhead_p95_ms": lambda measured, arm: measured.overhead_ms(95, arm),
    "first_delta_p50_ms": lambda measured, arm: measured.first_token_ms(50, arm),
    "first_delta_p95_ms": lambda measured, arm: measured.first_token_ms(95, arm),
    "opening_p50_ms": lambda measured, arm: measured.session_opening_ms(50, arm),
    "opening_p95_ms": lambda measured, arm: measured.session_opening_ms(95, arm),
    "opening_overhead_p50_ms": lambda measured, arm: measured.session_opening_overhead_ms(50, arm),
    "opening_overhead_p95_ms": lambda measured, arm: measured.session_opening_overhead_ms(95, arm),
    "held_sessions": lambda measured, arm: measured.held_sessions(arm),
    "cpu_per_request_ms": lambda measured, arm: measured.cpu_ms_per_request(arm),
    "rss_mib": lambda measured, arm: measured.rss_mib(arm),
}
#: Counted, or made of others: they have no interval.
_COUNTS: Final[Mapping[FigureName, Callable[[Measurement, str], float]]] = {
    "requests": lambda measured, arm: measured.requests(arm),
    "failed_requests": lambda measured, arm: failed_of(measured, [arm])[arm],
    "cores_used": lambda measured, arm: measured.cpu_ms_per_request(arm).value / 1000 * measured.window_rps(arm).value,
}
_RATIOS: Final[Mapping[FigureName, Callable[[Measurement, str, str], Estimate]]] = {
    "median_ms": lambda measured, arm, than: measured.latency_ratio("median_ms", 50, arm, than),
    "p95_ms": lambda measured, arm, than: measured.latency_ratio("p95_ms", 95, arm, than),
    "p99_ms": lambda measured, arm, than: measured.latency_ratio("p99_ms", 99, arm, than),
    "cpu_per_request_ms": lambda measured, arm, than: measured.cpu_ratio("cpu_per_request_ms", arm, than),
    "rss_mib": lambda measured, arm, than: measured.rss_ratio("rss_mib", arm, than),
}
#: Estimates that were counted, and not sampled.
_COUNTED: Final[frozenset[FigureName]] = frozenset({"held_sessions"})
#: What a figure may lack.
_LACKING: Final = (NotMeasured, NoRequests, EmptyRound)
_NO_ANSWER: Final = "no request was answered"


def rows_of(
    measurement: Measurement,
    published: Sequence[PublishedRow],
    arms: Sequence[str],
    more: Sequence[FigureName] = (),
) -> tuple[Row, ...]:
    """Every figure of the page, and those that it leaves out of requests, beside what was measured.

    Args:
        measurement: whose arms have the names of the page's.
        published: the page's rows; none for an arm that the page has no row of.
        arms: in the order of the rows.
        more: figures of requests that are not among the columns of the page's tables.
    """
    by_row = {(row.arm, row.times): row.figures for row in published}
    rows: list[Row] = []
    for arm in arms:
        times_of_arm: list[Times] = ["requests", *(row.times for row in published if row.arm == arm)]
        for times in dict.fromkeys(times_of_arm):
            figures = by_row.get((arm, times), {})
            rows += [
                _row(measurement, arm, times, figure, figures.get(figure))
                for figure in FIGURES
                if times == "requests" or figure in figures
            ]
            if times == "requests":
                rows += [_cell(measurement, arm, times, figure, figures.get(figure)) for figure in more]
    return tuple(rows)


def published_rows(published: Sequence[PublishedRow]) -> tuple[Row, ...]:
    """The page's rows alone, none of them measured."""
    return tuple(
        Row(row.arm, row.times, figure, value, None) for row in published for figure, value in row.figures.items()
    )


def ratios_of(
    measurement: Measurement,
    published: Sequence[PublishedRow],
    arm: str,
    than: str,
    more: Sequence[FigureName] = (),
) -> tuple[Ratio, ...]:
    """Every figure of requests of one arm divided by that of another, on the page and here.

    Args:
        measurement, published: as of `rows_of`.
        arm, than: the first is divided by the second.
        more: likewise; what was not measured of both in every round has no ratio, and failures, which there should not
            be, neither.
    """
    figures = {row.arm: row.figures for row in published if row.times == "requests"}
    ratios = []
    for figure in (*FIGURES, *more):
        if figure == "failed_requests":
            continue
        of_arm, of_other = figures.get(arm, {}).get(figure), figures.get(than, {}).get(figure)
        on_page = of_arm / of_other if of_arm is not None and of_other else None
        try:
            ratio = _ratio(measurement, arm, than, figure)
        except _LACKING:
            continue
        if ratio is not None:
            value, low, high = ratio
            ratios.append(Ratio(arm, than, figure, on_page, value, low, high))
    return tuple(ratios)


def laws_of(measurement: Measurement, arms: Sequence[str]) -> tuple[Law, ...]:
    """What the law says of every arm whose users were answered in all windows; nothing of users who do not think."""
    load = measurement.schedule
    if not isinstance(load, ClosedLoop) or not load.mean_think_time_s:
        return ()
    unanswered = {one.arm for one in unanswered_of(measurement, arms)}
    return tuple(_law(measurement, load, arm) for arm in arms if arm not in unanswered)


def unanswered_of(measurement: Measurement, arms: Sequence[str]) -> tuple[Unanswered, ...]:
    """The arms that have windows in which no request was answered."""
    found = []
    for arm in arms:
        windows = measurement.of_arm(arm)
        without = sum(not window.load.succeeded for window in windows)
        if without:
            errors = ", ".join(f"{error.count:,} {error.kind}" for error in measurement.errors(arm))
            found.append(Unanswered(arm, without, len(windows), errors))
    return tuple(found)


def failed_of(measurement: Measurement, arms: Sequence[str]) -> dict[str, int]:
    """Requests that did not succeed, by arm."""
    return {arm: sum(window.load.sent - window.load.succeeded for window in measurement.of_arm(arm)) for arm in arms}


def _law(measurement: Measurement, load: ClosedLoop, arm: str) -> Law:
    mean_ms, median_ms = measurement.mean_ms(arm).value, measurement.latency_ms(50, arm).value
    ratio = measurement.think_time_law_ratio(arm)
    return Law(
        arm,
        load.users,
        load.mean_think_time_s,
        mean_ms,
        median_ms,
        load.users / (load.mean_think_time_s + mean_ms / 1000),
        load.users / (load.mean_think_time_s + median_ms / 1000),
        measurement.window_rps(arm).value,
        ratio.low,
        ratio.high,
    )


def _row(measurement: Measurement, arm: str, times: Times, figure: FigureName, published: float | None) -> Row:
    """A figure of a column of the page's tables."""
    if times == "requests":
        try:
            return _of_estimate(_ESTIMATES[figure](measurement, arm), arm, times, figure, published)
        except EmptyRound:
            return _of_other_windows(measurement, arm, figure, published)
        except _LACKING as error:
            return Row(arm, times, figure, published, None, note=_why(measurement, arm, error))
    succeeded = [window.load.succeeded for window in measurement.of_arm(arm)]
    header = measurement.merged(arm, lambda load: load.header_overhead)
    if not header.count:
        note = "no reply carried the header x-litellm-overhead-duration-ms" if any(succeeded) else _NO_ANSWER
        return Row(arm, times, figure, published, None, note=note)
    if times == "aggregated":
        # As Locust does it: every request is counted twice, once by each time.
        header = Histogram.merged([header, measurement.merged(arm, lambda load: load.latency)])
    if figure == "throughput_rps":
        factor = header.count / sum(succeeded)
        return Row(arm, times, figure, published, measurement.window_rps(arm).value * factor)
    note = "" if all(succeeded) else _of_windows(sum(map(bool, succeeded)), len(succeeded))
    return Row(arm, times, figure, published, _time_ms(header, figure), note=note)


def _of_other_windows(measurement: Measurement, arm: str, figure: FigureName, published: float | None) -> Row:
    """A time of an arm that has windows in which no request was answered: of all that were, without an interval."""
    counts = [window.load.latency.count for window in measurement.of_arm(arm)]
    note = _of_windows(sum(map(bool, counts)), len(counts))
    needed = requests_needed(PERCENTILES[figure]) if figure in PERCENTILES else 0
    if sum(counts) < needed:
        note += f"; {_few(sum(counts), needed)}"
    value_ms = _time_ms(measurement.merged(arm, lambda load: load.latency), figure)
    return Row(arm, "requests", figure, published, value_ms, note=note)


def _time_ms(times: Histogram, figure: FigureName) -> float:
    return times.mean_ms() if figure == "mean_ms" else times.percentile_ms(PERCENTILES[figure])


def _of_windows(counted: int, of: int) -> str:
    return f"of {counted} of {of} windows"


def _few(requests: int, needed: int) -> str:
    return f"of {requests:,}, and {needed:,} are needed to trust it"


def _why(measurement: Measurement, arm: str, error: ValueError) -> str:
    """Why a figure was not measured, in words."""
    unanswered = unanswered_of(measurement, [arm])
    if isinstance(error, Unmeasurable) or not unanswered:
        return str(error)
    (found,) = unanswered
    return _NO_ANSWER if found.windows == found.of else f"{_NO_ANSWER} in {found.windows} of {found.of} windows"


def _cell(measurement: Measurement, arm: str, times: Times, figure: FigureName, published: float | None) -> Row:
    """Any other figure; one that was not measured says why."""
    try:
        if figure in _COUNTS:
            return Row(arm, times, figure, published, float(_COUNTS[figure](measurement, arm)))
        return _of_estimate(_ESTIMATES[figure](measurement, arm), arm, times, figure, published)
    except _LACKING as error:
        return Row(arm, times, figure, published, None, note=_why(measurement, arm, error))


def _of_estimate(estimate: Estimate, arm: str, times: Times, figure: FigureName, published: float | None) -> Row:
    has_interval = figure not in _COUNTED
    note = ""
    if estimate.requests < estimate.requests_needed:
        note = _few(estimate.requests, estimate.requests_needed)
    return Row(
        arm,
        times,
        figure,
        published,
        estimate.value,
        estimate.low if has_interval else None,
        estimate.high if has_interval else None,
        note,
    )


def _ratio(
    measurement: Measurement, arm: str, than: str, figure: FigureName
) -> tuple[float, float | None, float | None] | None:
    """The ratio and the ends of its interval, where it has one; None where there is nothing to divide by."""
    if figure in _RATIOS:
        estimate = _RATIOS[figure](measurement, arm, than)
        return estimate.value, estimate.low, estimate.high
    of = _COUNTS.get(figure) or (lambda measured, name: _ESTIMATES[figure](measured, name).value)
    above, below = of(measurement, arm), of(measurement, than)
    return (above / below, None, None) if below else None
