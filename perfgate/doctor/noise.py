"""Is this machine quiet enough to measure, and how fast is it beside those that the limits were measured on?

Comes in: cores, seconds. Goes out: a `Probe`, and from it two findings. The probe is what a run is made of: a fixed
piece of work again and again on the gateway's core, while the generator's core is asked how late it wakes up.
"""

import statistics
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import psutil

from perfgate.calibrate import SPREAD_MAX_RATIO
from perfgate.doctor.finding import Finding, State
from perfgate.exit_codes import ExitCode
from perfgate.host_limits import INDEX_MAX, INDEX_MIN, HostStanding
from perfgate.measure.host_speed import HostSpeed, measured_speed
from perfgate.measure.wakeups import lateness_ms
from perfgate.stack.affinity import CorePlan
from perfgate.thresholds import Apparatus

#: Of all CPU time, taken by the hypervisor for other machines: above this, pauses show in p99.
STOLEN_MAX_RATIO: Final = 0.01


@dataclass(frozen=True, slots=True)
class Probe:
    """How a machine was for a while.

    Args:
        seconds: asked for.
        speeds_ms: medians of the piece of work, in the order in which they were measured.
        late_p99_ms: of wake-ups, p99.
        stolen_ratio: share of all CPU time that the hypervisor gave to others.
    """

    seconds: float
    speeds_ms: tuple[float, ...]
    late_p99_ms: float
    stolen_ratio: float

    @property
    def median_ms(self) -> float:
        """What the piece of work takes."""
        return statistics.median(self.speeds_ms)

    @property
    def spread_ratio(self) -> float:
        """The slowest of the medians over the fastest."""
        return max(self.speeds_ms) / min(self.speeds_ms)


def probed(
    cores: CorePlan,
    seconds: float,
    *,
    speed: Callable[[Sequence[int]], HostSpeed] = measured_speed,
    late: Callable[..., list[float]] = lateness_ms,
    times: Callable[[], tuple[float, float]] | None = None,
) -> Probe:
    """Probe the machine; nothing else of ours should run meanwhile.

    Args:
        cores: as a run would have them.
        seconds: for so long, and as much longer as the last piece of work takes.
        speed, late: measure speed and lateness.
        times: CPU seconds that were stolen, and all, so far.

    Raises:
        StackFailed: the speed could not be measured.
    """
    read = times or _stolen_and_all_s
    stolen_before_s, all_before_s = read()
    stop = threading.Event()
    speeds_ms: list[float] = []
    with ThreadPoolExecutor(1) as beside:
        asleep = beside.submit(late, seconds, cores.generator, stop=stop)
        try:
            while not speeds_ms or not asleep.done():
                speeds_ms.append(speed(cores.gateway).median_ms)
        finally:
            stop.set()
        late_ms = asleep.result()
    stolen_s, all_s = read()
    return Probe(
        seconds,
        tuple(speeds_ms),
        _p99(late_ms),
        (stolen_s - stolen_before_s) / max(all_s - all_before_s, 1e-9),
    )


def noise(probe: Probe, apparatus: Apparatus) -> Finding:
    """Whether generator and gateway would be left in peace."""
    found = (
        f"in {probe.seconds:g} s: wake-ups late by {probe.late_p99_ms:.3g} ms (p99), the same work "
        f"{min(probe.speeds_ms):.1f} to {max(probe.speeds_ms):.1f} ms, {probe.stolen_ratio:.1%} of the CPU stolen"
    )
    if probe.late_p99_ms > apparatus.dispatch_lag_p99_ms:
        advice = (
            f"later than {apparatus.dispatch_lag_p99_ms:g} ms a run is INVALID: apparatus. Stop what else runs (top), "
            "or take a machine with cores of its own"
        )
        return Finding("noise", State.NO, found, advice, ExitCode.INVALID)
    if probe.spread_ratio > SPREAD_MAX_RATIO or probe.stolen_ratio > STOLEN_MAX_RATIO:
        advice = (
            "busy or shared: more rounds are needed and more is undecided; stop what else runs, and trust comparisons "
            "(--baseline) more than limits in ms"
        )
        return Finding("noise", State.BEWARE, found, advice)
    return Finding("noise", State.OK, found)


def host_class(host: HostStanding) -> Finding:
    """What limits that were measured on other machines come to here."""
    found = host.words
    index = host.speed_index
    if host.has_classes and host.class_name is None and index is not None and not INDEX_MIN <= index <= INDEX_MAX:
        advice = f"limits in ms are INVALID beyond {INDEX_MIN:g} to {INDEX_MAX:g} times: perfgate calibrate --write"
        return Finding("host class", State.NO, found, advice, ExitCode.INVALID)
    if host.has_classes and host.class_name is None and index is None:
        advice = "limits in ms are INVALID here, no class has a host_speed_ms: perfgate calibrate --write"
        return Finding("host class", State.NO, found, advice, ExitCode.INVALID)
    if host.has_classes and host.class_name is None:
        advice = f"limits in ms are scaled ×{index:.2f}; perfgate calibrate --write lists this machine"
        return Finding("host class", State.OK, found, advice)
    if host.is_worth_a_note:
        advice = "not as fast as when it was listed: busy neighbours, or another clock rate; limits hold as they stand"
        return Finding("host class", State.BEWARE, found, advice)
    return Finding("host class", State.OK, found)


def _p99(late_ms: Sequence[float]) -> float:
    return late_ms[0] if len(late_ms) == 1 else statistics.quantiles(late_ms, n=100, method="inclusive")[98]


def _stolen_and_all_s() -> tuple[float, float]:
    times = psutil.cpu_times()
    return getattr(times, "steal", 0.0), sum(times)
