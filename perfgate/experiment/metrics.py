"""Which metrics can thresholds.yaml limit, and how is each computed from a measurement?

One table; a name that is not in it is refused when the file is read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from perfgate.experiment.measurement import Estimate, Measurement


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure that a limit can be set on.

    Args:
        name: in thresholds.yaml; ends in its unit.
        title: as people read it.
        estimate: computes it.
        counts_errors: whether it is itself about errors; all others wait for the error ratio to hold.
        grows_on_slow_hosts, shrinks_on_slow_hosts: whether it goes with, or against, the time that a host takes for
            the same work, so that its limits scale with the host-speed index.
    """

    name: str
    title: str
    estimate: Callable[[Measurement], Estimate]
    counts_errors: bool = False
    grows_on_slow_hosts: bool = False
    shrinks_on_slow_hosts: bool = False


def _timed(name: str, title: str, of: Callable[[Measurement, float], Estimate], percentile: float) -> Metric:
    return Metric(name, title, lambda measurement: of(measurement, percentile), grows_on_slow_hosts=True)


def _table() -> Mapping[str, Metric]:
    metrics = []
    for p in (50, 95, 99):
        metrics += [
            _timed(f"overhead_p{p}_ms", f"gateway overhead, p{p}", Measurement.overhead_ms, p),
            _timed(f"latency_p{p}_ms", f"latency through the gateway, p{p}", Measurement.latency_ms, p),
            _timed(f"first_token_p{p}_ms", f"time to the first token, p{p}", Measurement.first_token_ms, p),
            _timed(
                f"first_token_overhead_p{p}_ms",
                f"gateway overhead of the first token, p{p}",
                Measurement.first_token_overhead_ms,
                p,
            ),
            _timed(f"chunk_gap_p{p}_ms", f"gap between chunks, p{p}", Measurement.chunk_gap_ms, p),
        ]
    metrics += [
        Metric("cpu_per_request_ms", "CPU per request", lambda m: m.cpu_ms_per_request(), grows_on_slow_hosts=True),
        Metric(
            "throughput_rps", "requests answered a second", lambda m: m.throughput_rps(), shrinks_on_slow_hosts=True
        ),
        Metric(
            "rss_growth_mib_per_1000_requests",
            "memory growth per 1,000 requests",
            lambda m: m.rss_growth_mib_per_1000_requests(),
        ),
        Metric("error_ratio", "requests that failed", lambda m: m.error_ratio(), counts_errors=True),
        Metric("completed_ratio", "requests answered in time", lambda m: m.completed_ratio(), counts_errors=True),
    ]
    return {metric.name: metric for metric in metrics}


METRICS: Final = _table()
