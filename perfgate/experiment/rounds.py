"""Which window runs when, and when is it enough?

Comes in: arms, a schedule, how many generations and rounds, a seed. Goes out: a `Measurement`. Starts each generation's
gateways once, all side by side, then interleaves: the generations of a block come in random order, the arms within a
round too. Knows no limits: `until` says when the answer is clear.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final, Protocol

from perfgate.errors import StackFailed
from perfgate.experiment.arms import Arm, GatewaySpec
from perfgate.experiment.measurement import GatewayUse, Measurement, Window
from perfgate.load.job import LoadJob, Target
from perfgate.load.result import LoadResult
from perfgate.load.runner import Generator
from perfgate.load.schedule import OpenLoop
from perfgate.measure.process_tree import TreeSnapshot, cpu_s_between, snapshot

#: Requests that every fresh gateway answers before its first window: connection pools, lazy imports and caches fill.
SETTLE_REQUESTS: Final = 100

#: What a window takes beyond warm-up and window, to plan with: connecting, draining, the record.
WINDOW_EXTRA_S: Final = 0.2


class Gateway(Protocol):
    """A gateway that runs."""

    @property
    def pid(self) -> int:
        """Of its first process."""

    @property
    def chat_url(self) -> str:
        """Where chat completions are POSTed to."""

    @property
    def api_key(self) -> str:
        """Its master key."""

    def check_alive(self) -> None:
        """Raise StackFailed when it has ended."""


class Bench(Protocol):
    """Whoever can start gateways in front of the mock: experiment/bench.py, or a fake in a test."""

    @property
    def generator(self) -> Generator:
        """The load generator."""

    @property
    def direct_url(self) -> str:
        """The mock's own address for chat completions."""

    @property
    def generator_cpus(self) -> tuple[int, ...]:
        """Cores of the generator."""

    @property
    def mock_delay_ms(self) -> float:
        """The delay the mock was started with."""

    def start_gateways(self, specs: Sequence[GatewaySpec], until_closed: ExitStack) -> Sequence[Gateway]:
        """Start gateways side by side; the stack stops them when it closes."""

    def check_alive(self) -> None:
        """Raise StackFailed when the mock has ended."""


@dataclass(frozen=True, slots=True)
class RoundsPlan:
    """How much is measured.

    Args:
        generations: starts of every arm's processes.
        per_generation: rounds in each before the first look.
        per_generation_max: rounds in each at most; after every block of one round a generation there is a look.
    """

    generations: int
    per_generation: int
    per_generation_max: int

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.generations < 1 or self.per_generation < 1:
            raise ValueError(
                f"generations={self.generations} and per_generation={self.per_generation} must be at least 1"
            )
        if self.per_generation_max < self.per_generation:
            raise ValueError(f"per_generation_max={self.per_generation_max} < per_generation={self.per_generation}")

    @property
    def looks(self) -> int:
        """How often the data may be looked at."""
        return self.per_generation_max - self.per_generation + 1


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a measurement stands, for whoever shows it.

    Args:
        text: what happens now.
        done, planned: windows.
        left_s: of the windows planned before the first look, or of the current block.
    """

    text: str
    done: int
    planned: int
    left_s: float


def run_rounds(
    bench: Bench,
    scenario: str,
    arms: Sequence[Arm],
    schedule: OpenLoop,
    plan: RoundsPlan,
    *,
    seed: int,
    until: Callable[[Measurement], bool],
    time_left_s: Callable[[], float],
    payload_bytes: int | None = None,
    direct_schedule: OpenLoop | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_window: Callable[[Measurement], None] = lambda measurement: None,
) -> Measurement:
    """Measure until the answer is clear, the most rounds are done, or the time is up.

    Args:
        bench: starts gateways, has generator and mock.
        scenario: for the measurement's name and its seeds.
        arms: the arms of every round; arms with an equal gateway share its process.
        schedule: the load of every window.
        plan: generations and rounds.
        seed: of orders and schedules.
        until: whether the answer is clear; asked after every block once `per_generation` rounds are done.
        time_left_s: seconds left for further blocks; the rounds before the first look are made regardless.
        payload_bytes: length of the prompt; None for the published one.
        direct_schedule: of direct windows, where they only have to show the apparatus' state; None for `schedule`.
        on_progress: called before every window.
        on_window: called after every window with everything measured so far.

    Raises:
        StackFailed: a service did not start or died; what was measured before went to `on_window`.
    """
    measurement = Measurement(
        scenario,
        tuple(arms),
        schedule,
        mock_delay_ms=bench.mock_delay_ms,
        looks=plan.looks,
        rounds_planned_max=plan.generations * plan.per_generation_max,
    )
    schedules = {arm.name: (direct_schedule or schedule) if arm.is_direct else schedule for arm in arms}
    block_s = plan.generations * sum(s.warm_up_s + s.window_s + WINDOW_EXTRA_S for s in schedules.values())
    specs = tuple(dict.fromkeys(arm.gateway for arm in arms if arm.gateway is not None))
    planned = plan.generations * plan.per_generation * len(arms)
    with ExitStack() as until_closed:
        on_progress(Progress(f"starting {plan.generations} x {', '.join(map(str, specs))}", 0, planned, 0.0))
        started = bench.start_gateways([spec for _ in range(plan.generations) for spec in specs], until_closed)
        generations: list[Mapping[GatewaySpec, Gateway]] = [
            dict(zip(specs, started[g * len(specs) : (g + 1) * len(specs)], strict=True))
            for g in range(plan.generations)
        ]
        for gateway in started:
            _settle(bench, gateway, schedule, payload_bytes)
        for block in range(plan.per_generation_max):
            order = random.Random(f"{seed}/{scenario}/{block}")
            if block == plan.per_generation:
                planned = plan.generations * plan.per_generation_max * len(arms)
            for generation in order.sample(range(plan.generations), plan.generations):
                round_arms = order.sample(list(arms), len(arms))
                for position, arm in enumerate(round_arms):
                    blocks_left = max(plan.per_generation - block, 1)
                    on_progress(
                        Progress(
                            f"{arm.name}, generation {generation + 1}, round {block + 1}",
                            len(measurement.windows),
                            planned,
                            blocks_left * block_s,
                        )
                    )
                    window_seed = order.getrandbits(32)
                    load, use = _loaded(
                        bench, arm, generations[generation], schedules[arm.name], window_seed, payload_bytes
                    )
                    window = Window(arm.name, generation, block, position, window_seed, load, use)
                    measurement = measurement.with_windows((window,))
                    on_window(measurement)
            if block + 1 < plan.per_generation:
                continue
            if until(measurement):
                return replace(measurement, stopped="every limit was decided")
            if time_left_s() < block_s:
                return replace(measurement, stopped="the profile's budget_minutes are used up")
    return replace(measurement, stopped="per_generation_max rounds are done")


def _settle(bench: Bench, gateway: Gateway, schedule: OpenLoop, payload_bytes: int | None) -> None:
    settle = OpenLoop(schedule.offered_rps, warm_up_s=0, window_s=max(SETTLE_REQUESTS / schedule.offered_rps, 0.1))
    target = Target(gateway.chat_url, "perfgate-settle", gateway.api_key)
    _load(bench, gateway, LoadJob(target, settle, payload_bytes=payload_bytes, cpus=bench.generator_cpus))


def _loaded(
    bench: Bench,
    arm: Arm,
    gateways: Mapping[GatewaySpec, Gateway],
    schedule: OpenLoop,
    seed: int,
    payload_bytes: int | None,
) -> tuple[LoadResult, GatewayUse | None]:
    """Load one arm for one window; the second value is None for the direct arm."""
    gateway = gateways[arm.gateway] if arm.gateway is not None else None
    url, key = (bench.direct_url, None) if gateway is None else (gateway.chat_url, gateway.api_key)
    target = Target(url, arm.model, key)
    job = LoadJob(target, schedule, seed, payload_bytes=payload_bytes, cpus=bench.generator_cpus)
    if gateway is None:
        bench.check_alive()
        return bench.generator.run(job), None
    before = snapshot(gateway.pid)
    opened: list[TreeSnapshot] = []

    def on_event(name: str) -> None:
        if name == "window_opened":
            opened.append(snapshot(gateway.pid))

    load = _load(bench, gateway, job, on_event)
    gateway.check_alive()
    drained = snapshot(gateway.pid)
    use = GatewayUse(
        cpu_s=cpu_s_between(opened[0], drained),
        rss_before_bytes=before.rss_bytes,
        rss_after_bytes=drained.rss_bytes,
        requests=load.sent + round(schedule.warm_up_s * schedule.offered_rps),
        cpu_resolution_ms=drained.resolution_ms,
    )
    return load, use


def _load(bench: Bench, gateway: Gateway, job: LoadJob, on_event: Callable[[str], None] | None = None) -> LoadResult:
    """Run a load; when the gateway has died under it, its own last words are the better message."""
    try:
        return bench.generator.run(job, on_event=on_event)
    except StackFailed:
        gateway.check_alive()
        raise
