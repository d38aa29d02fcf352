"""Which rows and ratios does a measurement give, to be set beside the page's?

Comes in: a `Measurement` of a closed loop, the page's rows. Goes out: `Row`s, `Ratio`s, `Law`s. No I/O.
"""

from collections.abc import Sequence
from typing import Final

from perfgate.experiment.measurement import Estimate, Measurement, NotMeasured
from perfgate.load.schedule import ClosedLoop
from perfgate.measure.histogram import Histogram
from perfgate.reproduce.published import FigureName, PublishedRow, Times
from perfgate.reproduce.reproduced import Law, Ratio, Row

#: Figures of a row, in the page's order.
FIGURES: Final[tuple[FigureName, ...]] = ("median_ms", "p95_ms", "p99_ms", "mean_ms", "throughput_rps")
PERCENTILES: Final[dict[FigureName, float]] = {"median_ms": 50, "p95_ms": 95, "p99_ms": 99}


def rows_of(measurement: Measurement, published: Sequence[PublishedRow], arms: Sequence[str]) -> tuple[Row, ...]:
    """Every figure of the page, and those that it leaves out of requests, beside what was measured.

    Args:
        measurement: whose arms have the names of the page's.
        published: the page's rows; none for an arm that the page has no row of.
        arms: in the order of the rows.
    """
    by_row = {(row.arm, row.times): row.figures for row in published}
    rows = []
    for arm in arms:
        times_of_arm: list[Times] = ["requests", *(row.times for row in published if row.arm == arm)]
        for times in dict.fromkeys(times_of_arm):
            figures = by_row.get((arm, times), {})
            for figure in FIGURES:
                if times == "requests" or figure in figures:
                    rows.append(_row(measurement, arm, times, figure, figures.get(figure)))
    return tuple(rows)


def ratios_of(measurement: Measurement, published: Sequence[PublishedRow], arm: str, than: str) -> tuple[Ratio, ...]:
    """Every figure of requests of one arm divided by that of another, on the page and here."""
    figures = {row.arm: row.figures for row in published if row.times == "requests"}
    ratios = []
    for figure in FIGURES:
        of_arm, of_other = figures.get(arm, {}).get(figure), figures.get(than, {}).get(figure)
        on_page = of_arm / of_other if of_arm is not None and of_other is not None else None
        if figure in PERCENTILES:
            ratio = measurement.latency_ratio(figure, PERCENTILES[figure], arm, than)
            ratios.append(Ratio(arm, than, figure, on_page, ratio.value, ratio.low, ratio.high))
        else:
            here = [_row(measurement, name, "requests", figure, None).measured for name in (arm, than)]
            ratios.append(Ratio(arm, than, figure, on_page, here[0] / here[1]))
    return tuple(ratios)


def laws_of(measurement: Measurement, arms: Sequence[str]) -> tuple[Law, ...]:
    """What the law says of every arm; nothing of users who do not think."""
    load = measurement.schedule
    if not isinstance(load, ClosedLoop) or not load.think_time_s:
        return ()
    return tuple(_law(measurement, load, arm) for arm in arms)


def failed_of(measurement: Measurement, arms: Sequence[str]) -> dict[str, int]:
    """Requests that did not succeed, by arm."""
    return {arm: sum(window.load.sent - window.load.succeeded for window in measurement.of_arm(arm)) for arm in arms}


def _law(measurement: Measurement, load: ClosedLoop, arm: str) -> Law:
    mean_ms, median_ms = measurement.mean_ms(arm).value, measurement.latency_ms(50, arm).value
    return Law(
        arm,
        load.users,
        load.think_time_s,
        mean_ms,
        median_ms,
        load.users / (load.think_time_s + mean_ms / 1000),
        load.users / (load.think_time_s + median_ms / 1000),
        measurement.window_rps(arm).value,
    )


def _row(measurement: Measurement, arm: str, times: Times, figure: FigureName, published: float | None) -> Row:
    if times == "requests":
        estimate = _estimate(measurement, arm, figure)
        return Row(arm, times, figure, published, estimate.value, estimate.low, estimate.high)
    header = measurement.merged(arm, lambda load: load.header_overhead)
    if not header.count:
        raise NotMeasured(f"no reply of arm {arm!r} carried x-litellm-overhead-duration-ms, which the page has rows of")
    if times == "aggregated":
        # As Locust does it: every request is counted twice, once by each time.
        header = Histogram.merged([header, measurement.merged(arm, lambda load: load.latency)])
    if figure == "throughput_rps":
        factor = header.count / sum(window.load.succeeded for window in measurement.of_arm(arm))
        return Row(arm, times, figure, published, measurement.window_rps(arm).value * factor)
    value_ms = header.mean_ms() if figure == "mean_ms" else header.percentile_ms(PERCENTILES[figure])
    return Row(arm, times, figure, published, value_ms)


def _estimate(measurement: Measurement, arm: str, figure: FigureName) -> Estimate:
    if figure == "throughput_rps":
        return measurement.window_rps(arm)
    if figure == "mean_ms":
        return measurement.mean_ms(arm)
    return measurement.latency_ms(PERCENTILES[figure], arm)
