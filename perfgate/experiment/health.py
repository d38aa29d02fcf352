"""Was the apparatus (generator, mock, host) fit to measure this?

Comes in: a measurement and the apparatus' limits. Goes out: `Health`, with a complaint for every limit it broke. A slow
or failing gateway is never the apparatus' fault.
"""

from dataclasses import dataclass

from perfgate.experiment.measurement import Measurement
from perfgate.measure.histogram import Histogram, NoRequests
from perfgate.thresholds import Apparatus


@dataclass(frozen=True, slots=True)
class Health:
    """How the apparatus fared over a whole measurement.

    Args:
        words: one line for people.
        complaints: one sentence for every limit that was broken; empty when fit.
        likely_causes: the likeliest first, from what was measured.
        counts_are_fit: whether counts of errors may be read although times may not: the load was sent and the mock
            answered, but perhaps late. So a gateway that drowns in its load fails, however many connections that costs
            the generator.
    """

    words: str
    complaints: tuple[str, ...] = ()
    likely_causes: tuple[str, ...] = ()
    counts_are_fit: bool = True

    @property
    def is_fit(self) -> bool:
        """Whether a verdict may rest on it."""
        return not self.complaints


def check(measurement: Measurement, limits: Apparatus, host_pressure: float | None = None) -> Health:
    """Hold every window's generator, and the direct arm, against the apparatus' limits.

    Args:
        measurement: with at least one window.
        limits: from thresholds.yaml.
        host_pressure: share of time (0 to 1) in which some process of the host waited for a core during it; None
            where the kernel does not tell.
    """
    loads = [window.load for window in measurement.windows]
    sent_ratio = sum(load.sent for load in loads) / sum(load.offered for load in loads)
    lag = Histogram.merged([load.dispatch_lag for load in loads])
    cpu_ratio = max(load.generator_cpu_ratio for load in loads)
    complaints: list[str] = []
    causes: list[str] = []
    counts_are_fit = sent_ratio >= limits.sent_ratio_min
    said = [f"sent {sent_ratio * 100:.4g} % of the offered load"]
    if sent_ratio < limits.sent_ratio_min:
        complaints.append(
            f"the generator sent {sent_ratio:.1%} of the offered load, at least {limits.sent_ratio_min:.1%} is needed"
        )
    try:
        lag_p99_ms = lag.percentile_ms(99)
        said.append(f"dispatch lag p99 {lag_p99_ms:.2g} ms (limit {limits.dispatch_lag_p99_ms:g} ms)")
        if lag_p99_ms > limits.dispatch_lag_p99_ms:
            complaints.append(
                f"the generator sent late: dispatch lag p99 {lag_p99_ms:.3g} ms, at most "
                f"{limits.dispatch_lag_p99_ms:g} ms is allowed"
            )
    except NoRequests:
        complaints.append("the generator sent nothing at all")
    if complaints:
        causes.append("another process takes the generator's core: look at `top`, stop it, or give the host more cores")
    said.append(f"generator CPU {cpu_ratio * 100:.2g} % of a core")
    if cpu_ratio > limits.generator_cpu_ratio_max:
        complaints.append(
            f"the generator used {cpu_ratio:.0%} of a core, at most {limits.generator_cpu_ratio_max:.0%} is allowed"
        )
        causes.append("offered_rps is more than one generator can send on this host: lower it")
    direct = next((arm.name for arm in measurement.arms if arm.is_direct), None)
    if direct is not None:
        try:
            direct_p95_ms = measurement.merged(direct, lambda load: load.latency).percentile_ms(95)
            allowed_ms = measurement.mock_delay_ms + limits.direct_p95_above_mock_delay_ms
            said.append(f"direct p95 {direct_p95_ms:.2g} ms (limit {allowed_ms:g} ms)")
            if direct_p95_ms > allowed_ms:
                complaints.append(
                    f"without a gateway p95 is {direct_p95_ms:.3g} ms, at most {allowed_ms:g} ms is allowed"
                )
                causes.append("generator and mock do not get their core when they need it: a busy or throttled host")
        except NoRequests:
            complaints.append("no request of the direct arm was answered by the mock endpoint")
            counts_are_fit = False
        failed = sum(window.load.sent - window.load.succeeded for window in measurement.of_arm(direct))
        if failed:
            kinds = ", ".join(f"{error.count} {error.kind}" for error in measurement.errors(direct))
            complaints.append(f"{failed} requests of the direct arm failed at the mock endpoint: {kinds}")
            causes.append("the mock endpoint is overloaded or was stopped")
            counts_are_fit = False
    if host_pressure is not None:
        said.append(f"CPU pressure {host_pressure * 100:.2g} %")
        if complaints and host_pressure > 0.2:
            causes.insert(0, f"the host is busy: in {host_pressure:.0%} of the time some process waited for a core")
    state = "not fit: " if complaints else "healthy: "
    return Health(state + ", ".join(said), tuple(complaints), tuple(dict.fromkeys(causes)), counts_are_fit)
