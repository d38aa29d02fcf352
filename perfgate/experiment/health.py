"""Was the apparatus (generator, mock, host) fit to measure this?

Comes in: a measurement and the apparatus' limits. Goes out: `Health`, with a complaint for every limit it broke. A slow
or failing gateway is never the apparatus' fault.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from perfgate.experiment import capacity_figures
from perfgate.experiment.measurement import Measurement, NotMeasured
from perfgate.load.result import LoadResult
from perfgate.load.schedule import ClosedLoop
from perfgate.measure.histogram import Histogram, NoRequests
from perfgate.thresholds import Apparatus

#: Pressure (share of time in which some process waited for a core) above which a busy host is the likeliest cause.
BUSY_PRESSURE_RATIO: Final = 0.2

#: A capacity that is nearer than this share to what generator and mock can do may be theirs and not the gateway's.
CEILING_DISTANCE: Final = 0.2
#: Windows of a search that were not sent as they should be say nothing; so many, and the host is not fit.
UNFIT_RATIO_MAX: Final = 0.25

_CORE_IS_TAKEN: Final = (
    "another process takes the generator's core: look at `top`, stop it, or give the host more cores"
)
_WORKER_IS_LOST: Final = (
    "a Locust worker was killed, or lost its connection: its own log says why, or `kubectl logs --previous`; the "
    "kernel's log (dmesg) says whether it ran out of memory"
)
_MORE_WORKERS: Final = "the load is more than these workers can send: more of them, on cores of their own"
_MOCK_IS_SICK: Final = "the mock endpoint is overloaded or was stopped"


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
    found = _Findings()
    if measurement.objective is not None:
        _check_search(measurement, found)
    elif measurement.schedule is None:
        found.said.append("one request at a time, no schedule")
    else:
        _check_generator(measurement, limits, found)
    for arm in measurement.arms:
        if arm.is_direct and measurement.objective is None:
            _check_direct(measurement, arm.name, limits, found)
    if host_pressure is not None:
        found.said.append(f"CPU pressure {host_pressure * 100:.2g} %")
        if found.complaints and host_pressure > BUSY_PRESSURE_RATIO:
            found.causes.insert(
                0, f"the host is busy: in {host_pressure:.0%} of the time some process waited for a core"
            )
    state = "not fit: " if found.complaints else "healthy: "
    causes = tuple(dict.fromkeys(found.causes))
    return Health(state + ", ".join(found.said), tuple(found.complaints), causes, found.counts_are_fit)


@dataclass(slots=True)
class _Findings:
    """What is being collected for a `Health`."""

    said: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)
    counts_are_fit: bool = True

    def complain(self, complaint: str, cause: str) -> None:
        self.complaints.append(complaint)
        self.causes.append(cause)


def _check_generator(measurement: Measurement, limits: Apparatus, found: _Findings) -> None:
    loads = [window.load for window in measurement.windows]
    sent_ratio = sum(load.sent for load in loads) / max(1, sum(load.offered for load in loads))
    if isinstance(measurement.schedule, ClosedLoop):
        found.said.append(f"closed loop of {measurement.schedule.users} users")
    else:
        found.said.append(f"sent {sent_ratio * 100:.4g} % of the offered load")
    is_closed = isinstance(measurement.schedule, ClosedLoop)
    if sent_ratio < limits.sent_ratio_min and not is_closed:
        found.counts_are_fit = False
        found.complain(
            f"the generator sent {sent_ratio:.1%} of the offered load, at least {limits.sent_ratio_min:.1%} is needed",
            _CORE_IS_TAKEN,
        )
    _check_workers(loads, found)
    if is_closed and not any(load.sent for load in loads):
        return  # every user still waits for a reply from before the window: the gateway's doing, judged as errors
    try:
        lag_p99_ms = Histogram.merged([load.dispatch_lag for load in loads]).percentile_ms(99)
        found.said.append(f"dispatch lag p99 {lag_p99_ms:.2g} ms (limit {limits.dispatch_lag_p99_ms:g} ms)")
        if lag_p99_ms > limits.dispatch_lag_p99_ms:
            found.complain(
                f"the generator sent late: dispatch lag p99 {lag_p99_ms:.3g} ms, at most "
                f"{limits.dispatch_lag_p99_ms:g} ms is allowed",
                _CORE_IS_TAKEN,
            )
    except NoRequests:
        found.complain("the generator sent nothing at all", _CORE_IS_TAKEN)
    cpu_ratio = max(load.generator_cpu_ratio for load in loads)
    of_workers = any(load.workers_expected for load in loads)
    who = "busiest Locust worker" if of_workers else "generator"
    found.said.append(f"{who} CPU {cpu_ratio * 100:.2g} % of a core")
    if cpu_ratio > limits.generator_cpu_ratio_max:
        found.complain(
            f"the {who} used {cpu_ratio:.0%} of a core, at most {limits.generator_cpu_ratio_max:.0%} is allowed",
            _MORE_WORKERS
            if of_workers
            else "the load is more than one generator can send on this host: lower offered_rps or users",
        )


def _check_workers(loads: Sequence[LoadResult], found: _Findings) -> None:
    """Whether all that were to send have said what came of it; without one, its requests are in no figure."""
    expected = max(load.workers_expected for load in loads)
    if not expected:
        return
    fewest = min((load for load in loads), key=lambda load: len(load.workers) - load.workers_expected)
    missing = fewest.workers_expected - len(fewest.workers)
    found.said.append(f"{expected} Locust workers")
    if missing:
        found.counts_are_fit = False
        found.complain(
            f"{len(fewest.workers)} of {fewest.workers_expected} Locust workers reported: what the others sent is in "
            "no figure",
            _WORKER_IS_LOST,
        )
    warnings = {
        worker.name: worker.cpu_warning_percent
        for load in loads
        for worker in load.workers
        if worker.cpu_warning_percent is not None
    }
    if warnings:
        busiest = max(warnings, key=lambda name: warnings[name])
        found.complain(
            f"{len(warnings)} of {expected} Locust workers warned of their CPU use, {busiest} at "
            f"{warnings[busiest]:.0f} % of a core: what they measure is late",
            _MORE_WORKERS,
        )


def _check_search(measurement: Measurement, found: _Findings) -> None:
    """Whether a capacity that was searched for is the gateway's: every window was checked when it was made."""
    try:
        ceiling, capacity = capacity_figures.ceiling(measurement), capacity_figures.capacity(measurement)
        unfit_ratio = capacity_figures.unfit_ratio(measurement)
    except NotMeasured as error:
        found.counts_are_fit = False
        found.complain(str(error), _CORE_IS_TAKEN)
        return
    bound = "" if ceiling.bound == "found" else f"{ceiling.bound} "
    found.said.append(f"generator and mock hold {bound}{ceiling.rps:.4g} requests/s without a gateway")
    found.said.append(f"{unfit_ratio:.0%} of the windows were not sent as they should be")
    if ceiling.bound == "at most":
        found.counts_are_fit = False
        found.complain(
            f"generator and mock do not hold {ceiling.rps:.4g} requests/s without a gateway",
            "generator and mock do not get their core when they need it: a busy or throttled host",
        )
    elif capacity.rps > ceiling.rps * (1 - CEILING_DISTANCE):
        found.complain(
            f"the capacity, {capacity.rps:.4g} requests/s, is within {CEILING_DISTANCE:.0%} of the {ceiling.rps:.4g} "
            "that generator and mock hold without a gateway: it may be theirs",
            "the gateway is as fast as what measures it: give the host more cores, or fewer to the gateway",
        )
    if unfit_ratio > UNFIT_RATIO_MAX:
        found.complain(
            f"in {unfit_ratio:.0%} of the windows the load was not sent as it should be, at most {UNFIT_RATIO_MAX:.0%} "
            "is allowed",
            _CORE_IS_TAKEN,
        )


def _check_direct(measurement: Measurement, direct: str, limits: Apparatus, found: _Findings) -> None:
    try:
        first_tokens = measurement.merged(direct, lambda load: load.first_token)
        # The end of a stream is as late as its chunks were told to be; its beginning shows what the apparatus adds.
        what, times = ("direct", measurement.merged(direct, lambda load: load.latency))
        if first_tokens.count:
            what, times = ("direct first token", first_tokens)
        direct_p95_ms = times.percentile_ms(95)
        allowed_ms = measurement.mock_delay_ms + limits.direct_p95_above_mock_delay_ms
        schedule = measurement.direct_schedule or measurement.schedule
        if isinstance(schedule, ClosedLoop) and not schedule.think_time_s:
            # As many as the mock can carry: they queue by design.
            found.said.append(f"{what} p95 {direct_p95_ms:.2g} ms")
        else:
            found.said.append(f"{what} p95 {direct_p95_ms:.2g} ms (limit {allowed_ms:g} ms)")
            if direct_p95_ms > allowed_ms:
                found.complain(
                    f"without a gateway p95 is {direct_p95_ms:.3g} ms, at most {allowed_ms:g} ms is allowed",
                    "generator and mock do not get their core when they need it: a busy or throttled host",
                )
    except NoRequests:
        found.complain("no request of the direct arm was answered by the mock endpoint", _MOCK_IS_SICK)
        found.counts_are_fit = False
    failed = sum(window.load.sent - window.load.succeeded for window in measurement.of_arm(direct))
    if failed:
        kinds = ", ".join(f"{error.count} {error.kind}" for error in measurement.errors(direct))
        found.complain(f"{failed} requests of the direct arm failed at the mock endpoint: {kinds}", _MOCK_IS_SICK)
        found.counts_are_fit = False
