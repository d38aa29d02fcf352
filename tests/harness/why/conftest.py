"""Profiles whose truth is known: no process, no clock."""

from collections.abc import Mapping
from typing import Final

from perfgate.experiment.arms import BASELINE, CANDIDATE, Arm, GatewaySpec
from perfgate.experiment.measurement import GatewayUse, Measurement, Window
from perfgate.load.schedule import ClosedLoop
from perfgate.stack.sources import Release
from perfgate.thresholds import Apparatus
from perfgate.why.folded import NO_THREAD, Stack, threads_of
from perfgate.why.profiling import PROFILED_SUFFIX, Profile, ProfiledWindow
from tests.harness.synthetic import load_result

RATE_HZ: Final = 200
OLD: Final = GatewaySpec(Release("1.79.3"), apart=BASELINE)
NEW: Final = GatewaySpec(Release("1.106.2"), apart=CANDIDATE)
ARMS: Final = (Arm(BASELINE, OLD), Arm(CANDIDATE, NEW))
LOAD: Final = ClosedLoop(users=2, warm_up_s=0, window_s=2)
APPARATUS: Final = Apparatus(
    dispatch_lag_p99_ms=2, sent_ratio_min=0.98, generator_cpu_ratio_max=0.8, direct_p95_above_mock_delay_ms=5
)

#: Samples of each stack in one window.
Counts = Mapping[str, int]


def counts_of(text: str) -> Mapping[Stack, int]:
    """The samples of folded stacks that name no thread."""
    return threads_of(text).get(NO_THREAD, {})


def profiled_window(
    arm: str,
    generation: int,
    number: int,
    counts: Counts,
    requests: int = 100,
    errors: int = 0,
    behind_s: float = 0.0,
) -> ProfiledWindow:
    """On an idle host: each sample stands for what is between two."""
    samples = counts_of("".join(f"{stack} {count}\n" for stack, count in counts.items() if count))
    us = {stack: count * 1e6 / RATE_HZ for stack, count in samples.items()}
    return ProfiledWindow(arm, generation, number, requests, us, sum(samples.values()), errors, behind_s)


def profile_of(
    baseline: Counts,
    candidate: Counts,
    *,
    requests: tuple[int, int] = (100, 100),
    generations: int = 2,
    rounds: int = 2,
    wobble: int = 0,
    errors: int = 0,
    behind_s: float = 0.0,
    clock_ms: tuple[float, float] = (8.0, 10.0),
    profiler_cost_ratio: float = 1.05,
    failed: int = 0,
    lag_ms: float = 0.2,
) -> Profile:
    """Windows that all have the same samples.

    Args:
        baseline, candidate: of each window.
        requests: answered in each window of the two arms.
        wobble: so many samples more of each stack in the candidate's even rounds, and fewer in its odd ones.
        errors, behind_s: of each window.
        clock_ms: CPU per request by the kernel's clock, without the profiler.
        profiler_cost_ratio: by which it is more with it.
        failed: requests of each window that get a 500.
        lag_ms: of the generator, in windows without the profiler.
    """
    windows: list[ProfiledWindow] = []
    measured: list[Window] = []
    for generation in range(generations):
        for number in range(rounds):
            for place, (arm, counts) in enumerate(((BASELINE, baseline), (CANDIDATE, candidate))):
                sign = (1 if number % 2 == 0 else -1) if arm == CANDIDATE else 0
                moved = {stack: samples + sign * wobble for stack, samples in counts.items()}
                windows.append(profiled_window(arm, generation, number, moved, requests[place], errors, behind_s))
                for suffix, ratio in (("", 1.0), (PROFILED_SUFFIX, profiler_cost_ratio)):
                    load = load_result(12.0, requests=requests[place], failed=failed, lag_ms=lag_ms)
                    use = GatewayUse(clock_ms[place] * ratio / 1000 * load.completed, 10**8, 10**8, load.sent, 0.001)
                    measured.append(Window(arm + suffix, generation, number, place, 1, load, use))
    arms = (*ARMS, *(Arm(arm.name + PROFILED_SUFFIX, arm.gateway) for arm in ARMS))
    return Profile(RATE_HZ, tuple(windows), Measurement("regression", arms, LOAD, tuple(measured)))
