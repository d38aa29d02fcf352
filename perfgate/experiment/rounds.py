"""Which window runs when, and when is it enough?

Comes in: arms, a schedule, how many generations and rounds, a seed. Goes out: a `Measurement`. Starts each generation's
gateways once, all side by side, then interleaves: the generations of a block come in random order, the arms within a
round too. Knows no limits: `until` says when the answer is clear.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final, Protocol

from perfgate.errors import BadInput, StackFailed
from perfgate.experiment.arms import (
    BASELINE,
    CANDIDATE,
    DATABASE_FLUSH_MAX_S,
    Arm,
    GatewaySpec,
)
from perfgate.experiment.measurement import GatewayUse, LedgerUse, Measurement, SinkUse, Window
from perfgate.load.api import Api
from perfgate.load.job import LoadJob, Target
from perfgate.load.result import LoadResult
from perfgate.load.schedule import ClosedLoop, OpenLoop, Schedule
from perfgate.stack.backend import BackendName, Snapshot
from perfgate.stack.callbacks import FLUSH_S

#: Requests for every process of a fresh gateway before its first window: connection pools, lazy imports, caches fill.
SETTLE_REQUESTS: Final = 100
#: The same for a closed loop, whose rate is the gateway's own.
SETTLE_S: Final = 3.0

#: What a window takes beyond warm-up, window and what is waited for after it, to plan with: connecting, counting, the
#: record; measured 0.03 to 0.06 on two cores, whatever its length.
WINDOW_EXTRA_S: Final = 0.06

#: Kept open to each worker of an instance that has several, and used in turn, so that all get the same share. More in
#: flight open more connections. So few that none idles for 5 s, after which uvicorn closes it: four workers at 7/s.
CONNECTIONS_PER_WORKER: Final = 8


class Ledger(Protocol):
    """What a gateway writes into its database, seen from outside; experiment/ledger.py."""

    def open(self) -> None:
        """Note what there is before a window's first request, and begin to count connections."""

    def close(self, requests: int) -> LedgerUse:
        """Wait until so many requests and their spend are written, or time is up; say what has come since `open`."""


class LogLedger(Protocol):
    """What a gateway's callback logs, seen from the sink; experiment/sink_ledger.py."""

    def open(self) -> None:
        """Note what there is before a window's first request."""

    def close(self, requests: int, *, quiet_s: float = 1.0) -> SinkUse:
        """Wait until so many records have come, or no more come for longer; say what has come since `open`."""


class Gateway(Protocol):
    """A gateway that runs."""

    @property
    def ledger(self) -> Ledger | None:
        """Of its database; None where it has none."""

    @property
    def log_ledger(self) -> LogLedger | None:
        """Of its callback; None where it has none."""

    def targets(self, model: str, api: Api = Api.CHAT_COMPLETIONS) -> tuple[Target, ...]:
        """Where its requests of an endpoint go, one for each instance."""

    def uses(self) -> Sequence[Snapshot]:
        """What each instance has used so far; empty where it cannot be measured."""

    def tree_uses(self) -> Sequence[Snapshot]:
        """The same by its process trees, where `uses` reads control groups: to check one by the other. Else empty."""

    def check_alive(self) -> None:
        """Raise StackFailed when an instance has ended."""


class Runner(Protocol):
    """Whoever runs loads: load/runner.py's `Generator`."""

    def run(self, job: LoadJob, *, on_event: Callable[[str], None] | None = None) -> LoadResult:
        """Run one load; `on_event` is called with `window_opened`, `window_closed` and `drained` as they pass."""


class Bench(Protocol):
    """Whoever can start gateways in front of the mock: experiment/bench.py, or a fake in a test."""

    @property
    def generator(self) -> Runner:
        """The load generator."""

    def direct_url(self, backend: BackendName, api: Api = Api.CHAT_COMPLETIONS) -> str:
        """The own address of a backend's mock for an endpoint."""

    def upstream_requests(self, backend: BackendName) -> int | None:
        """How many requests a backend's mock has received so far; None where it is not ours."""

    @property
    def generator_cpus(self) -> tuple[int, ...]:
        """Cores of the generator."""

    @property
    def mock_delay_ms(self) -> float:
        """The delay the mock was started with."""

    def start_gateways(self, specs: Sequence[GatewaySpec], until_closed: ExitStack) -> Sequence[Gateway]:
        """Start gateways side by side; the stack stops them when it closes."""

    def check_alive(self) -> None:
        """Raise StackFailed when a mock has ended."""

    def unasked_differences(self, baseline: GatewaySpec, candidate: GatewaySpec) -> Sequence[str]:
        """In what two gateways that were started differ though nobody asked for it, in words."""


@dataclass(frozen=True, slots=True)
class RoundsPlan:
    """How much is measured.

    Args:
        generations: starts of every arm's processes.
        per_generation: rounds in each before the first look.
        per_generation_max: rounds in each at most.
        look_every: after the first look there is one after so many blocks of one round a generation, and one at the
            end.
        one_direct: whether a direct arm has one window a block, in a generation drawn at random, instead of one a
            round: where there are many short windows it only has to show what the apparatus adds.
        settle_s: how long a fresh gateway is asked by a closed loop before its first window.
        drain_s: in which the arms of a round still write after their windows, all together, to plan with.
    """

    generations: int
    per_generation: int
    per_generation_max: int
    look_every: int = 1
    one_direct: bool = False
    settle_s: float = SETTLE_S
    drain_s: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.generations < 1 or self.per_generation < 1:
            raise ValueError(
                f"generations={self.generations} and per_generation={self.per_generation} must be at least 1"
            )
        if self.per_generation_max < self.per_generation:
            raise ValueError(f"per_generation_max={self.per_generation_max} < per_generation={self.per_generation}")
        if self.look_every < 1:
            raise ValueError(f"look_every={self.look_every} must be at least 1")

    @property
    def looks(self) -> int:
        """How often the data may be looked at."""
        return 1 + math.ceil((self.per_generation_max - self.per_generation) / self.look_every)

    def look_after(self, rounds: int) -> int | None:
        """Which look, from 1, comes after so many rounds in each generation; None when there is none."""
        if rounds == self.per_generation_max:
            return self.looks
        since_first = rounds - self.per_generation
        return None if since_first < 0 or since_first % self.look_every else 1 + since_first // self.look_every


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
    schedule: Schedule,
    plan: RoundsPlan,
    *,
    seed: int,
    until: Callable[[Measurement], bool],
    time_left_s: Callable[[], float],
    payload_bytes: int | None = None,
    direct_schedule: Schedule | None = None,
    stream: bool = False,
    turns_per_session: int = 0,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_window: Callable[[Measurement], None] = lambda measurement: None,
    fitted: Callable[[RoundsPlan], RoundsPlan] = lambda plan: plan,
    shown_schedule: Schedule | None = None,
) -> Measurement:
    """Measure until the answer is clear, the most rounds are done, or the time is up.

    Args:
        bench: starts gateways, has generator and mock.
        scenario: for the measurement's name and its seeds.
        arms: the arms of every round; arms with an equal gateway share its processes.
        schedule: the load of every window.
        plan: generations and rounds.
        seed: of orders and schedules.
        until: whether the answer is clear; asked at every look of the plan.
        time_left_s: seconds left for further blocks; the rounds before the first look are made regardless.
        payload_bytes: length of the prompt; None for the published one.
        direct_schedule: of direct windows, where they only have to show the apparatus' state; None for `schedule`.
        stream: ask for replies as streams.
        turns_per_session: of realtime sessions that users have, see `LoadJob`.
        on_progress: called before every window.
        on_window: called after every window with everything measured so far.
        fitted: called once the gateways are up, with the plan; returns it with other numbers of rounds.
        shown_schedule: of one more window of every gateway's arm, before all others, which is shown and not judged.

    Raises:
        BadInput: a window is too short for a gateway that writes something down from time to time.
        StackFailed: a service did not start or died; what was measured before went to `on_window`.
    """
    apart_s = max((_writes_every_s(arm.gateway) for arm in arms if arm.gateway is not None), default=0)
    if schedule.window_s < 2 * apart_s:
        raise BadInput(
            f"scenario {scenario}: window_s={schedule.window_s:g} must be at least {2 * apart_s}: two times of "
            f"writing, at most {apart_s} s apart, which belongs to what is measured"
        )
    measurement = Measurement(
        scenario,
        tuple(arms),
        schedule,
        mock_delay_ms=bench.mock_delay_ms,
        looks=plan.looks,
        rounds_planned_max=plan.generations * plan.per_generation_max,
        direct_schedule=direct_schedule,
        shown_schedule=shown_schedule,
    )
    schedules = {arm.name: (direct_schedule or schedule) if arm.is_direct else schedule for arm in arms}
    window_counts = {arm.name: 1 if arm.is_direct and plan.one_direct else plan.generations for arm in arms}
    block_s = sum(
        count * (schedules[name].warm_up_s + schedules[name].window_s + WINDOW_EXTRA_S)
        for name, count in window_counts.items()
    )
    block_s += plan.generations * plan.drain_s
    block_windows = sum(window_counts.values())
    specs = tuple(dict.fromkeys(arm.gateway for arm in arms if arm.gateway is not None))
    planned = plan.per_generation * block_windows
    with ExitStack() as until_closed:
        on_progress(Progress(f"starting {plan.generations} x {', '.join(map(str, specs))}", 0, planned, 0.0))
        started = bench.start_gateways([spec for _ in range(plan.generations) for spec in specs], until_closed)
        generations: list[Mapping[GatewaySpec, Gateway]] = [
            dict(zip(specs, started[g * len(specs) : (g + 1) * len(specs)], strict=True))
            for g in range(plan.generations)
        ]
        compared = {arm.name: arm.gateway for arm in arms if arm.name in (BASELINE, CANDIDATE) and arm.gateway}
        if len(compared) == 2:
            unasked = tuple(bench.unasked_differences(compared[BASELINE], compared[CANDIDATE]))
            measurement = replace(measurement, unasked=unasked)
            if unasked:
                return replace(measurement, stopped="nothing was measured")
        loader = Loader(bench, payload_bytes, stream, turns_per_session)
        for running in generations:
            for spec, gateway in running.items():
                # Each endpoint has code of its own to warm up; of the arms that ask it, the first speaks for all.
                models: dict[Api, str] = {}
                for arm in arms:
                    if arm.gateway == spec:
                        models.setdefault(arm.api, arm.model)
                for api, model in models.items():
                    loader.settle(gateway, Arm("settle", spec, model, api=api), schedule, plan.settle_s)
        if shown_schedule is not None:
            for arm in arms:
                if arm.gateway is not None:
                    on_progress(Progress(f"{arm.name}, the load that is shown", 0, planned, 0.0))
                    loaded = loader.window(arm, generations[0][arm.gateway], shown_schedule, seed)
                    shown = Window(arm.name, 0, 0, 0, seed, loaded.load, loaded.gateway)
                    measurement = replace(measurement, shown=(*measurement.shown, shown))
        plan = fitted(plan)
        measurement = replace(
            measurement, looks=plan.looks, rounds_planned_max=plan.generations * plan.per_generation_max
        )
        planned = plan.per_generation * block_windows
        for block in range(plan.per_generation_max):
            order = random.Random(f"{seed}/{scenario}/{block}")
            if block == plan.per_generation:
                planned = plan.per_generation_max * block_windows
            with_direct = order.randrange(plan.generations) if plan.one_direct else None
            for generation in order.sample(range(plan.generations), plan.generations):
                here = [arm for arm in arms if not arm.is_direct or with_direct in (None, generation)]
                round_arms = order.sample(here, len(here))
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
                    served_by = generations[generation][arm.gateway] if arm.gateway is not None else None
                    loaded = loader.window(arm, served_by, schedules[arm.name], window_seed)
                    window = Window(
                        arm.name,
                        generation,
                        block,
                        position,
                        window_seed,
                        loaded.load,
                        loaded.gateway,
                        loaded.upstream_requests,
                        loaded.ledger,
                        loaded.sink,
                    )
                    measurement = measurement.with_windows((window,))
                    on_window(measurement)
            look = plan.look_after(block + 1)
            if look is not None:
                measurement = replace(measurement, look=look)
                if until(measurement):
                    return replace(measurement, stopped="every limit was decided")
            if block + 1 >= plan.per_generation and time_left_s() < block_s:
                # Time decides without looking at the data: so this is the last look, with all that it may spend.
                return replace(measurement, look=plan.looks, stopped="the time is used up")
    return replace(measurement, stopped="the most rounds are done")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one load was, as `Window` has it."""

    load: LoadResult
    gateway: GatewayUse | None = None
    upstream_requests: int | None = None
    ledger: LedgerUse | None = None
    sink: SinkUse | None = None


@dataclass(frozen=True, slots=True)
class Loader:
    """Loads one arm at a time.

    Args:
        bench: whose generator does it.
        payload_bytes, stream: of every load.
        turns_per_session: of every load of realtime sessions that users have.
    """

    bench: Bench
    payload_bytes: int | None
    stream: bool
    turns_per_session: int = 0

    def settle(self, gateway: Gateway, arm: Arm, schedule: Schedule, settle_s: float) -> None:
        """Have a fresh gateway answer requests that nobody measures; `settle_s` is the time of a closed loop."""
        assert arm.gateway is not None
        _open_ledgers(gateway)
        load = self._run(self._job(arm, gateway, settling(schedule, arm.gateway.processes, settle_s), seed=0), gateway)
        _close_ledgers(gateway, load.sent)

    def window(
        self, arm: Arm, gateway: Gateway | None, schedule: Schedule, seed: int, *, with_ledgers: bool = True
    ) -> "Loaded":
        """Load an arm for one window.

        Args:
            arm: what is asked for.
            gateway: that serves it; None for the direct arm.
            schedule: of the load.
            seed: of the schedule.
            with_ledgers: whether to wait for what the gateway writes, and count it.
        """
        job = self._job(arm, gateway, schedule, seed)
        if gateway is None:
            self.bench.check_alive()
            return Loaded(self.bench.generator.run(job))
        upstream_before = self.bench.upstream_requests(arm.backend)
        if with_ledgers:
            _open_ledgers(gateway)
        before = gateway.uses()
        opened: list[Sequence[Snapshot]] = []

        def on_event(name: str) -> None:
            if name == "window_opened":
                opened.extend([gateway.uses(), gateway.tree_uses()])

        load = self._run(job, gateway, on_event)
        gateway.check_alive()
        requests = load.sent + _warm_up_requests(schedule, load)
        upstream = self.bench.upstream_requests(arm.backend)
        upstream_requests = upstream - upstream_before if upstream is not None and upstream_before is not None else None
        written = requests
        is_estimate = isinstance(schedule, ClosedLoop) and schedule.warm_up_s > 0
        if is_estimate and upstream_requests is not None and not _may_answer_itself(arm):
            written = upstream_requests  # one too many would be waited for in vain
        # What it still writes belongs to this window, and must not disturb the next.
        ledger, sink = _close_ledgers(gateway, written) if with_ledgers else (None, None)
        drained, drained_trees = gateway.uses(), gateway.tree_uses()
        if not drained:
            return Loaded(load, None, upstream_requests, ledger, sink)
        use = GatewayUse(
            cpu_s=_cpu_s(opened[0], drained),
            rss_before_bytes=sum(use.rss_bytes for use in before),
            rss_after_bytes=sum(use.rss_bytes for use in drained),
            requests=requests,
            cpu_resolution_ms=max(use.resolution_ms for use in drained),
            cpu_tree_s=_cpu_s(opened[1], drained_trees) if drained_trees else None,
        )
        return Loaded(load, use, upstream_requests, ledger, sink)

    def aside(self, arm: Arm, gateway: Gateway, schedule: Schedule, seed: int, runner: Runner) -> LoadResult:
        """Load an arm with another generator while windows are measured; what the gateway uses for it is not told."""
        return runner.run(self._job(arm, gateway, schedule, seed))

    def _job(self, arm: Arm, gateway: Gateway | None, schedule: Schedule, seed: int) -> LoadJob:
        if gateway is not None and arm.gateway is not None:
            targets, workers = gateway.targets(arm.model, arm.api), arm.gateway.workers
        else:
            targets, workers = (Target(self.bench.direct_url(arm.backend, arm.api), arm.model),), 1
        is_realtime = arm.api is Api.REALTIME
        if is_realtime:
            workers = 1  # each session has a connection of its own, and whichever worker accepts it
        return LoadJob(
            targets,
            schedule,
            seed,
            payload_bytes=self.payload_bytes,
            cpus=self.bench.generator_cpus,
            stream=self.stream,
            connections=_connections(schedule, len(targets), workers) if workers > 1 else 0,
            processes=workers,
            same_prompt=arm.same_prompt,
            api=arm.api,
            turns_per_session=self.turns_per_session if is_realtime and isinstance(schedule, ClosedLoop) else 0,
        )

    def _run(self, job: LoadJob, gateway: Gateway, on_event: Callable[[str], None] | None = None) -> LoadResult:
        """Run a load; when the gateway has died under it, its own last words are the better message."""
        try:
            return self.bench.generator.run(job, on_event=on_event)
        except StackFailed:
            gateway.check_alive()
            raise


def settling(schedule: Schedule, processes: int, closed_loop_s: float) -> Schedule:
    """The load of a fresh gateway before its first window.

    Args:
        schedule: of its windows.
        processes: that it has, each of which is to answer some requests.
        closed_loop_s: how long a closed loop takes at least; an open loop takes as long as its requests do.
    """
    if isinstance(schedule, ClosedLoop):
        window_s = max(closed_loop_s, schedule.longest_think_time_s)
        return replace(schedule, warm_up_s=0, window_s=window_s, spawn_per_s=None)
    requests = SETTLE_REQUESTS * processes
    return OpenLoop(schedule.offered_rps, warm_up_s=0, window_s=max(requests / schedule.offered_rps, 0.1))


def _writes_every_s(gateway: GatewaySpec) -> int:
    """How far apart, at most, it writes down what it has gathered; 0 for one that gathers nothing."""
    return max(DATABASE_FLUSH_MAX_S if gateway.database else 0, FLUSH_S if gateway.callback is not None else 0)


def _open_ledgers(gateway: Gateway) -> None:
    if gateway.ledger is not None:
        gateway.ledger.open()
    if gateway.log_ledger is not None:
        gateway.log_ledger.open()


def _close_ledgers(gateway: Gateway, requests: int) -> tuple[LedgerUse | None, SinkUse | None]:
    return (
        gateway.ledger.close(requests) if gateway.ledger is not None else None,
        gateway.log_ledger.close(requests) if gateway.log_ledger is not None else None,
    )


def _connections(schedule: Schedule, instances: int, workers: int) -> int:
    """How many to keep open to each instance: a multiple of its workers, enough for the users of a closed loop."""
    users = schedule.users if isinstance(schedule, ClosedLoop) else 0
    return workers * max(CONNECTIONS_PER_WORKER, math.ceil(users / (instances * workers)))


def _may_answer_itself(arm: Arm) -> bool:
    """Whether requests need not reach the endpoint, since a cache may hold the reply."""
    return arm.gateway is not None and arm.gateway.redis is not None


def _cpu_s(opened: Sequence[Snapshot], drained: Sequence[Snapshot]) -> float:
    return sum(end.cpu_s_since(start) for start, end in zip(opened, drained, strict=True))


def _warm_up_requests(schedule: Schedule, load: LoadResult) -> int:
    """Requests before the window: a closed loop sends as many a second before it as in it, as near as can be known."""
    if isinstance(schedule, ClosedLoop):
        return round(load.sent * schedule.warm_up_s / schedule.window_s)
    return round(schedule.warm_up_s * schedule.offered_rps)
