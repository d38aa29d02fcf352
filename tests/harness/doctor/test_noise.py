"""Is a noisy machine told from a quiet one, by figures whose truth is known?"""

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from perfgate.doctor.finding import State
from perfgate.doctor.noise import STOLEN_MAX_RATIO, Probe, host_class, noise, probed
from perfgate.errors import StackFailed
from perfgate.exit_codes import ExitCode
from perfgate.host_limits import HostStanding, standing
from perfgate.measure.host_speed import HostSpeed
from perfgate.stack.affinity import plan_cores
from perfgate.thresholds import Apparatus, HostClass

APPARATUS = Apparatus(
    dispatch_lag_p99_ms=2.0, sent_ratio_min=0.98, generator_cpu_ratio_max=0.8, direct_p95_above_mock_delay_ms=5.0
)
QUIET = Probe(20, (10.4, 10.6, 10.5), 0.12, 0.001)
CLASSES = {"reference": HostClass(cores=2, memory_gib=24, cpu_models=("*",), backend="processes", host_speed_ms=10.0)}


class FakeMachine:
    """Speeds one after the other, then the last again and again; wake-ups last until all speeds were measured."""

    def __init__(self, speeds_ms: Sequence[float], late_ms: Sequence[float]) -> None:
        self.speeds_ms, self.late_ms = list(speeds_ms), list(late_ms)
        self.asked: list[tuple[str, tuple[int, ...]]] = []
        self.is_measured = threading.Event()

    def speed(self, cpus: Sequence[int]) -> HostSpeed:
        self.asked.append(("speed", tuple(cpus)))
        if not self.speeds_ms:
            raise StackFailed("the host's speed could not be measured")
        found = HostSpeed(self.speeds_ms[0], 1.0, 2.0, 60, 1)
        if len(self.speeds_ms) > 1:
            self.speeds_ms.pop(0)
        else:
            self.is_measured.set()
        return found

    def late(self, seconds: float, cpus: Sequence[int], stop: threading.Event) -> list[float]:
        self.asked.append(("late", tuple(cpus)))
        self.is_measured.wait(60)
        return self.late_ms


def test_work_is_repeated_on_the_gateways_core_while_the_generators_core_is_asked_how_late_it_wakes() -> None:
    machine = FakeMachine([10.0, 11.0, 12.0, 30.0], [0.1] * 98 + [0.5, 9.0])
    times = iter([(5.0, 100.0), (6.0, 150.0)])
    probe = probed(plan_cores({0, 1}), 20, speed=machine.speed, late=machine.late, times=lambda: next(times))
    assert probe.speeds_ms[:3] == (10.0, 11.0, 12.0)
    assert probe.late_p99_ms == pytest.approx(0.585, abs=0.1)
    assert probe.stolen_ratio == pytest.approx(1 / 50)
    assert {("late", (0,)), ("speed", (1,))} == set(machine.asked)


def test_a_speed_that_cannot_be_measured_ends_the_probe_and_its_thread() -> None:
    stopped = []

    def late(seconds: float, cpus: Sequence[int], stop: threading.Event) -> list[float]:
        stopped.append(stop.wait(60))
        return [0.1]

    with pytest.raises(StackFailed):
        probed(plan_cores({0, 1}), 20, speed=FakeMachine([], []).speed, late=late, times=lambda: (0.0, 1.0))
    assert stopped == [True]


def test_a_probe_knows_its_median_and_how_far_its_pieces_are_apart() -> None:
    assert (QUIET.median_ms, QUIET.spread_ratio) == pytest.approx((10.5, 10.6 / 10.4))


def test_a_quiet_machine_is_fine_and_its_figures_are_shown() -> None:
    found = noise(QUIET, APPARATUS)
    assert (found.state, found.advice) == (State.OK, "")
    assert found.found == (
        "in 20 s: wake-ups late by 0.12 ms (p99), the same work 10.4 to 10.6 ms, 0.1% of the CPU stolen"
    )


@pytest.mark.parametrize(
    ("probe", "state", "code"),
    [
        (replace(QUIET, late_p99_ms=2.1), State.NO, ExitCode.INVALID),
        (replace(QUIET, late_p99_ms=2.0), State.OK, ExitCode.OK),
        (replace(QUIET, speeds_ms=(10.0, 11.1)), State.BEWARE, ExitCode.OK),
        (replace(QUIET, stolen_ratio=STOLEN_MAX_RATIO * 2), State.BEWARE, ExitCode.OK),
    ],
    ids=["late", "just in time", "work that varies", "stolen"],
)
def test_lateness_beyond_the_apparatus_limit_blocks_and_other_noise_is_something_to_know(
    probe: Probe, state: State, code: ExitCode
) -> None:
    found = noise(probe, APPARATUS)
    assert (found.state, found.code) == (state, code)


@pytest.mark.parametrize(
    ("host", "state", "code", "advice"),
    [
        (standing("reference", CLASSES, 10.5), State.OK, ExitCode.OK, ""),
        (standing("reference", CLASSES, 15.0), State.BEWARE, ExitCode.OK, "not as fast as when it was listed"),
        (standing(None, CLASSES, 13.0), State.OK, ExitCode.OK, "limits in ms are scaled ×1.30; perfgate calibrate"),
        (standing(None, CLASSES, 21.0), State.NO, ExitCode.INVALID, "limits in ms are INVALID beyond 0.5 to 2 times"),
        (standing(None, {}, 21.0), State.OK, ExitCode.OK, ""),
        (
            HostStanding(None, has_classes=True, reference=None, speed_index=None),
            State.NO,
            ExitCode.INVALID,
            "limits in ms are INVALID here, no class has a host_speed_ms",
        ),
    ],
)
def test_what_limits_of_other_machines_come_to_here(
    host: HostStanding, state: State, code: ExitCode, advice: str
) -> None:
    found = host_class(host)
    assert (found.state, found.code, found.found) == (state, code, host.words)
    assert found.advice.startswith(advice)
    assert bool(found.advice) == bool(advice)
