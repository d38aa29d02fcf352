"""How do gateways of several makers fare side by side?

Comes in: a measurement with the arms below. Goes out: shares of errors, of whichever gateway fares worst, and the rows
of a table as LiteLLM publishes one. No limits, no words.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from perfgate.experiment.arms import Arm
from perfgate.experiment.measurement import Estimate, Measurement, NotMeasured
from perfgate.measure.histogram import Histogram, NoRequests
from perfgate.stats.resampling import EmptyRound

#: The names of the arms: what the published table compares with Portkey has a database, Portkey has none.
LITELLM: Final = "litellm"
LITELLM_WITH_DATABASE: Final = "litellm_with_database"
PORTKEY: Final = "portkey"
GATEWAYS: Final = (LITELLM_WITH_DATABASE, LITELLM, PORTKEY)


def error_ratio(measurement: Measurement) -> Estimate:
    """Share of the sent requests that did not succeed, of the gateway with most such."""
    worst = max((measurement.error_ratio(arm) for arm in GATEWAYS), key=lambda estimate: estimate.value)
    return replace(worst, metric="gateways_error_ratio")


def completed_ratio(measurement: Measurement) -> Estimate:
    """Share of the sent requests that had a whole reply by the end of the tail, of the gateway with fewest such."""
    worst = min((measurement.completed_ratio(arm) for arm in GATEWAYS), key=lambda estimate: estimate.value)
    return replace(worst, metric="gateways_completed_ratio")


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """What one arm did, as a row of the published table, with CPU and memory beside.

    Args:
        arm: its name.
        requests: sent within its windows.
        failures: of these, that did not succeed.
        p50_ms, p95_ms, p99_ms, mean_ms: latency from the intended start, of its merged histogram; None when nothing
            succeeded.
        throughput_rps: requests that succeeded a second.
        cpu_per_request_ms: of its whole process tree; None where there are no processes of ours, or nothing was
            completed in a window.
        rss_mib: of the same; None where there are no processes of ours.
    """

    arm: str
    requests: int
    failures: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    mean_ms: float | None
    throughput_rps: float
    cpu_per_request_ms: float | None
    rss_mib: float | None


def gateway_rows(measurement: Measurement) -> Sequence[GatewayRow]:
    """A row for each arm, in their order; none unless gateways of several makers are among them, and have windows."""
    products = {arm.gateway.product for arm in measurement.arms if arm.gateway is not None}
    measured = {window.arm for window in measurement.windows}
    if len(products) < 2 or not all(arm.name in measured for arm in measurement.arms):
        return ()
    return [_row(measurement, arm) for arm in measurement.arms]


def _row(measurement: Measurement, arm: Arm) -> GatewayRow:
    loads = [window.load for window in measurement.of_arm(arm.name)]
    p50_ms, p95_ms, p99_ms, mean_ms = _times_ms(measurement.merged(arm.name, lambda load: load.latency))
    return GatewayRow(
        arm.name,
        sum(load.sent for load in loads),
        sum(load.sent - load.succeeded for load in loads),
        p50_ms,
        p95_ms,
        p99_ms,
        mean_ms,
        throughput_rps=measurement.throughput_rps(arm.name).value,
        cpu_per_request_ms=_use_or_none(measurement.cpu_ms_per_request, arm.name),
        rss_mib=_use_or_none(measurement.rss_mib, arm.name),
    )


def _times_ms(latency: Histogram) -> tuple[float | None, ...]:
    try:
        return (*(latency.percentile_ms(percentile) for percentile in (50, 95, 99)), latency.mean_ms())
    except NoRequests:
        return (None,) * 4


def _use_or_none(of: Callable[[str], Estimate], arm: str) -> float | None:
    try:
        return of(arm).value
    except (NotMeasured, EmptyRound):  # Unmeasurable is one of the first
        return None
