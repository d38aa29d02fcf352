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
    """

    name: str
    title: str
    estimate: Callable[[Measurement], Estimate]
    counts_errors: bool = False


def _table() -> Mapping[str, Metric]:
    metrics = [
        Metric(f"overhead_p{p}_ms", f"gateway overhead, p{p}", lambda m, p=p: m.overhead_ms(p))  # type: ignore[misc]
        for p in (50, 95, 99)
    ]
    metrics += [
        Metric(f"latency_p{p}_ms", f"latency through the gateway, p{p}", lambda m, p=p: m.latency_ms(p))  # type: ignore[misc]
        for p in (50, 95, 99)
    ]
    metrics += [
        Metric("cpu_per_request_ms", "CPU per request", lambda m: m.cpu_ms_per_request()),
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
