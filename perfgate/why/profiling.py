"""What do two gateways spend their CPU on under the same load?

Comes in: a bench, a profiler, the arms `baseline` and `candidate`, a load. Goes out: a `Profile`: every window's stacks
and requests, and what the kernel's clock says of the same windows. Starts both several times, side by side, as a
comparison does, and interleaves: in every round each arm has one window with the profiler and one without, in random
order. So what the host does hits both arms, and what the profiler costs is measured where it is used.

    round of a generation    baseline, candidate, baseline_profiled, candidate_profiled

Windows have no warm-up, since all that is sampled has to be of the requests that are counted: gateways are warmed up
before the first round.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

from perfgate.errors import StackFailed
from perfgate.experiment.arms import BASELINE, CANDIDATE, Arm, GatewaySpec
from perfgate.experiment.comparison_plan import SETTLE_S
from perfgate.experiment.measurement import Measurement, NotMeasured, Window, use_of
from perfgate.experiment.rounds import Bench, Gateway, Loader, Progress
from perfgate.load.schedule import ClosedLoop, Schedule
from perfgate.why.attribution import cpu_us_by_stack
from perfgate.why.folded import NotFolded, Stack, merged, threads_of
from perfgate.why.profiler import Recorded, Recording

#: Long beside the half second that it takes to attach the profiler; short beside what a busy host does.
WINDOW_S: Final = 2.0
#: Of each generation, however long the starts took: fewer windows show no spread.
ROUNDS_MIN: Final = 2
#: What an arm's name ends in where its windows are profiled.
PROFILED_SUFFIX: Final = "_profiled"


class ProfiledGateway(Gateway, Protocol):
    """A gateway whose processes are ours to look into: `RunningGateway`."""

    @property
    def serving_pids(self) -> Sequence[int]:
        """Of the processes that answer requests."""

    @property
    def folders(self) -> Sequence[Path]:
        """Of its own files."""


class ProfilingBench(Bench, Protocol):
    """A bench that starts such gateways."""

    def start_gateways(self, specs: Sequence[GatewaySpec], until_closed: ExitStack) -> Sequence[ProfiledGateway]:
        """Start gateways side by side; the stack stops them when it closes."""


class StackRecorder(Protocol):
    """Whoever samples stacks: `Profiler`, or a fake in a test."""

    @property
    def rate_hz(self) -> int:
        """Samples a second of each process."""

    def recording(self, pids: Sequence[int]) -> AbstractContextManager[Recording]:
        """Sample processes for as long as the context is open."""


@dataclass(frozen=True, slots=True)
class ProfiledWindow:
    """What one window under the profiler found.

    Args:
        arm: `baseline` or `candidate`.
        generation, round: as of `Window`.
        requests: that were answered.
        us: CPU of each stack of the gateway's processes, in microseconds; together the gateway's by the kernel's clock,
            unless there was no sample.
        samples: that this was made of.
        errors: samples of which no stack could be read.
        behind_s: by how much the profiler was late at the most; 0 where it was by less than a second.
    """

    arm: str
    generation: int
    round: int
    requests: int
    us: Mapping[Stack, float]
    samples: int
    errors: int = 0
    behind_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Profile:
    """Two gateways under the profiler.

    Args:
        rate_hz: samples a second of each process.
        windows: those with the profiler, in the order in which they ran.
        measurement: all windows, by the kernel's clock: arms `baseline` and `candidate`, and each with
            `PROFILED_SUFFIX`.
    """

    rate_hz: int
    windows: tuple[ProfiledWindow, ...]
    measurement: Measurement

    def of_arm(self, arm: str) -> tuple[ProfiledWindow, ...]:
        """The arm's windows, by generation and round.

        Raises:
            NotMeasured: it has none.
        """
        found = tuple(sorted((w for w in self.windows if w.arm == arm), key=lambda w: (w.generation, w.round)))
        if not found:
            raise NotMeasured(f"no window of the arm {arm!r} was profiled")
        return found

    def us(self, arm: str) -> Mapping[Stack, float]:
        """CPU of each of the arm's stacks in all windows, in microseconds."""
        return merged(window.us for window in self.of_arm(arm))

    def samples(self, arm: str) -> int:
        """All of the arm's."""
        return sum(window.samples for window in self.of_arm(arm))

    def requests(self, arm: str) -> int:
        """Requests of the arm that were answered under the profiler."""
        return sum(window.requests for window in self.of_arm(arm))

    def us_per_request(self, arm: str) -> Mapping[Stack, float]:
        """CPU of each of the arm's stacks, in microseconds of a request."""
        requests = self.requests(arm)
        return {stack: us / requests for stack, us in self.us(arm).items()}

    @property
    def without_profiler(self) -> Measurement:
        """The windows without it alone."""
        names = (BASELINE, CANDIDATE)
        windows = tuple(window for window in self.measurement.windows if window.arm in names)
        return replace(
            self.measurement, arms=tuple(arm for arm in self.measurement.arms if arm.name in names), windows=windows
        )


def profiling_schedule(schedule: Schedule, window_s: float = WINDOW_S) -> Schedule:
    """A scenario's load in windows that can be profiled: longer, and without a warm-up."""
    if isinstance(schedule, ClosedLoop):
        window_s = max(window_s, schedule.longest_think_time_s)
        return replace(schedule, warm_up_s=0, window_s=window_s, spawn_per_s=None)
    return replace(schedule, warm_up_s=0, window_s=window_s)


def profiled(
    bench: ProfilingBench,
    recorder: StackRecorder,
    scenario: str,
    baseline: Arm,
    candidate: Arm,
    schedule: Schedule,
    *,
    generations: int,
    minutes: float,
    seed: int,
    rounds_min: int = ROUNDS_MIN,
    payload_bytes: int | None = None,
    stream: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    clock_mono_s: Callable[[], float] = time.monotonic,
) -> Profile:
    """Profile both arms.

    Args:
        bench: that is open.
        recorder: samples stacks.
        scenario: for the measurement's name.
        baseline, candidate: each with a gateway; equal gateways share processes, as arms of one gateway do.
        schedule: of every window, without a warm-up (`profiling_schedule`).
        generations: starts of each, all alive at once.
        minutes: for all of it, the starts included; `rounds_min` rounds of each generation are made regardless.
        seed: of orders and schedules.
        rounds_min: at least 1; two rounds in all are the fewest that show a spread.
        payload_bytes, stream: of the load.
        on_progress: called before every window.
        clock_mono_s: tells the time.

    Raises:
        ValueError: the schedule has a warm-up, or there would be one round.
        StackFailed: a gateway or a profiler did not start or died.
        NotMeasured: in a window no request was answered.
    """
    if schedule.warm_up_s:
        raise ValueError(f"warm_up_s={schedule.warm_up_s:g} must be 0: what it costs would be sampled and not counted")
    if generations < 1 or rounds_min < 1 or generations * rounds_min < 2:
        raise ValueError(f"generations={generations} and rounds_min={rounds_min} must make at least 2 rounds")
    began_mono_s = clock_mono_s()
    plain = (replace(baseline, name=BASELINE), replace(candidate, name=CANDIDATE))
    watched = tuple(replace(arm, name=arm.name + PROFILED_SUFFIX) for arm in plain)
    specs = tuple(dict.fromkeys(_gateway(arm) for arm in plain))
    measurement = Measurement(scenario, (*plain, *watched), schedule, mock_delay_ms=bench.mock_delay_ms)
    run = _Run(recorder, Loader(bench, payload_bytes, stream), schedule, measurement)

    def left_s() -> float:
        return minutes * 60 - (clock_mono_s() - began_mono_s)

    with ExitStack() as until_closed:
        on_progress(Progress(f"starting {generations} x {', '.join(map(str, specs))}", 0, 0, 0.0))
        started = bench.start_gateways([spec for _ in range(generations) for spec in specs], until_closed)
        running = [
            dict(zip(specs, started[first : first + len(specs)], strict=True))
            for first in range(0, len(started), len(specs))
        ]
        for of_generation in running:
            for arm in plain:
                run.loader.settle(of_generation[_gateway(arm)], arm, schedule, SETTLE_S)
        block, block_s = 0, 0.0
        while block < rounds_min or left_s() >= block_s:
            block_left_s = left_s()
            order = random.Random(f"{seed}/{scenario}/{block}")
            for generation in order.sample(range(generations), generations):
                arms = order.sample(measurement.arms, len(measurement.arms))
                for position, arm in enumerate(arms):
                    done = len(run.measurement.windows)
                    planned = max(rounds_min, block + 1) * generations * len(arms)
                    text = f"{arm.name}, generation {generation + 1}, round {block + 1}"
                    on_progress(Progress(text, done, planned, max(0.0, left_s())))
                    gateway = running[generation][_gateway(arm)]
                    run.window(arm, gateway, generation, block, position, order.getrandbits(32))
            block, block_s = block + 1, block_left_s - left_s()
    measurement = replace(run.measurement, rounds_planned_max=generations * block, stopped="the time is used up")
    return Profile(recorder.rate_hz, tuple(run.windows), measurement)


@dataclass(slots=True)
class _Run:
    """Windows as they are made."""

    recorder: StackRecorder
    loader: Loader
    schedule: Schedule
    measurement: Measurement
    windows: list[ProfiledWindow] = field(default_factory=list)

    def window(self, arm: Arm, gateway: ProfiledGateway, generation: int, block: int, position: int, seed: int) -> None:
        """Load an arm for one window, with the profiler where its name says so."""
        recording = None
        with ExitStack() as while_loaded:
            if arm.name.endswith(PROFILED_SUFFIX):
                recording = while_loaded.enter_context(self.recorder.recording(gateway.serving_pids))
            loaded = self.loader.window(arm, gateway, self.schedule, seed)
        if loaded.load.completed == 0:
            raise NotMeasured(f"no request of a window of the arm {arm.name!r} was answered")
        window = Window(arm.name, generation, block, position, seed, loaded.load, loaded.gateway)
        self.measurement = self.measurement.with_windows((window,))
        if recording is not None:
            self.windows.append(_profiled(window, recording.recorded, gateway))


def _profiled(window: Window, recorded: Recorded, gateway: ProfiledGateway) -> ProfiledWindow:
    try:
        threads = threads_of(recorded.folded, [str(folder) for folder in gateway.folders])
    except NotFolded as error:
        raise StackFailed(f"py-spy has written something else than folded stacks: {error}") from None
    return ProfiledWindow(
        window.arm.removesuffix(PROFILED_SUFFIX),
        window.generation,
        window.round,
        window.load.completed,
        cpu_us_by_stack(threads, recorded.thread_cpu_s, use_of(window, "a profile").cpu_s),
        sum(sum(counts.values()) for counts in threads.values()),
        recorded.errors,
        recorded.behind_s,
    )


def _gateway(arm: Arm) -> GatewaySpec:
    assert arm.gateway is not None, "both arms have one"
    return arm.gateway
