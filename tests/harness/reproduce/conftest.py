"""Closed-loop measurements with known truth, and what a table makes of them."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from perfgate.experiment.arms import Arm, GatewaySpec
from perfgate.experiment.measurement import Measurement
from perfgate.load.result import LoadResult
from perfgate.load.schedule import ClosedLoop
from perfgate.measure.histogram import Histogram
from perfgate.record_entries import measurement_record
from perfgate.reproduce.reproduced import Difference, Law, Ratio, Reproduced, Row
from perfgate.stack.sources import Release
from tests.harness.synthetic import DIRECT, load_result, window

THINKING = ClosedLoop(users=100, warm_up_s=1, window_s=4, think_time_s=0.75)


def measured(
    latency_ms: Mapping[str, float], *, rps: float = 110.0, schedule: ClosedLoop = THINKING, rounds: int = 3
) -> Measurement:
    """Arms that answer in so long, always, and so many requests in every second of their windows of 4 s."""
    windows = []
    for number in range(rounds):
        windows.append(window("direct", load_result(1.0), number=number))
        for arm, ms in latency_ms.items():
            requests = round(rps * 4)
            load = replace(
                load_result(ms, requests=requests),
                latency=Histogram.of_us([round(ms * 1000)] * requests),
                header_overhead=Histogram.of_us([2_000] * requests),
            )
            windows.append(window(arm, load, number=number))
    arms = (DIRECT, *(Arm(name, GatewaySpec(Release("1.106.2"))) for name in latency_ms))
    return Measurement("reproduce", arms, schedule, tuple(windows))


def a_law(measured_rps: float, half_width: float = 0.001) -> Law:
    """Of a run that should have sent 68 requests/s, with an interval that reaches so far to both sides."""
    ratio = measured_rps / 68.0
    low, high = ratio - half_width, ratio + half_width
    return Law("2 instances", 62, 0.75, 160.0, 150.0, 68.0, 68.9, measured_rps, low, high)


def a_table(**changes: Any) -> Reproduced:
    """What came of a table of two arms."""
    fields: dict[str, Any] = {
        "table": "instances",
        "title": "2 and 4 instances",
        "rows": (Row("2 instances", "requests", "median_ms", 200.0, 150.0, 140.0, 160.0),),
        "ratios": (Ratio("4 instances", "2 instances", "median_ms", 0.5, 1.02, 0.98, 1.06),),
        "law": (Law("2 instances", 62, 0.75, 160.0, 150.0, 68.1, 68.9, 67.5, 0.985, 0.997),),
        "differences": (Difference("users", "1,000", "62"),),
        "caveats": ("this host is small",),
        "failed": {"2 instances": 0},
        "complaints": (),
        "apparatus": "healthy: closed loop of 62 users",
        "settings": {"gateway": "--litellm 1.106.2"},
        "took_s": 186.0,
        "started_utc": "2026-01-01T00:00:00+00:00",
        "perfgate_version": "0.1.0",
        "gateway": "litellm 1.106.2",
        "scale": "auto",
        "seed": 7,
        "host": {"cores_allowed": 2, "cpu_model": "AMD EPYC", "memory_bytes": 24 * 2**30, "kernel": "6.18"},
        "backend": "processes",
        "measurement": measurement_record(measured({"2 instances": 150.0})),
    }
    return Reproduced(**{**fields, **changes})


def with_windows(measurement: Measurement, arm: str, rounds: Collection[int], load: LoadResult) -> Measurement:
    """The same, but for what the windows of an arm in these rounds brought."""
    windows = tuple(
        replace(window, load=load) if window.arm == arm and window.round in rounds else window
        for window in measurement.windows
    )
    return replace(measurement, windows=windows)


def refused(measurement: Measurement, arm: str, *rounds: int) -> Measurement:
    """The same, but that a gateway answered every request of these rounds with a 500."""
    return with_windows(measurement, arm, rounds, load_result(1.0, requests=440, failed=440))


def silent(measurement: Measurement, arm: str, *rounds: int) -> Measurement:
    """The same, but that in these rounds every user still waited for a reply from before the window."""
    return with_windows(measurement, arm, rounds, load_result(1.0, requests=0))
