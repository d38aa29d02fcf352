"""How do users fare before, while and after a dependency fails?

Comes in: a fault, the gateway that depends on it, a load of short windows, how long each phase lasts. Goes out: a
`Measurement` with the arms `before`, `during` and `after`, and when the fault held. Every cycle has a gateway of its
own, so that nothing of a fault is left in the next. Knows no limits.

    gateway starts ── before ── fault holds: during ── fault is gone: after ── all is written: rows, records
"""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Final, Protocol

from perfgate.errors import StackFailed
from perfgate.experiment.arms import Arm, GatewaySpec
from perfgate.experiment.fault_figures import AFFECTED, AFTER, BEFORE, DURING, GOOD_WINDOWS, has_recovered
from perfgate.experiment.faults import Fault, Outage
from perfgate.experiment.measurement import FaultCycle, GatewayUse, Measurement, Window
from perfgate.experiment.rounds import Bench, Gateway, Loader, Progress, Runner
from perfgate.load.result import LoadResult
from perfgate.load.schedule import OpenLoop

#: Users whose own upstream fails come at this rate; enough to hold many requests open, too few to need a core.
AFFECTED_RPS: Final = 4.0
#: Of their answers, and of records once the fault is gone: later ones are counted as none.
PATIENCE_S: Final = 5.0
#: A direct window shows that generator and mock are fit.
DIRECT_WINDOW_S: Final = 2.0


class FailingGateway(Gateway, Protocol):
    """A gateway whose dependencies can be made to fail."""

    def outage(self, of: Outage) -> AbstractContextManager[None]:
        """Have a dependency fail for as long as the context is open."""


class FaultBench(Bench, Protocol):
    """A bench that has a second generator, for users that a fault hits."""

    @property
    def second_generator(self) -> Runner:
        """A generator of its own."""

    def start_gateways(self, specs: Sequence[GatewaySpec], until_closed: ExitStack) -> Sequence[FailingGateway]:
        """Start gateways side by side; the stack stops them when it closes."""


@dataclass(frozen=True, slots=True)
class CyclesPlan:
    """How long each phase lasts.

    Args:
        cycles: gateways, one after the other.
        before_s, during_s: of the two phases, at least; a window that has begun is finished.
        after_s_max: of the last phase, which ends earlier when users fare as before.
    """

    cycles: int
    before_s: float
    during_s: float
    after_s_max: float


def run_cycles(
    bench: FaultBench,
    scenario: str,
    fault: Fault,
    arm: Arm,
    schedule: OpenLoop,
    plan: CyclesPlan,
    *,
    seed: int,
    payload_bytes: int | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_window: Callable[[Measurement], None] = lambda measurement: None,
) -> Measurement:
    """Measure all cycles.

    Args:
        bench: starts gateways, has generators and mock.
        scenario: for the measurement's name.
        fault: see there.
        arm: the gateway, and what its users ask for.
        schedule: of every window; short ones, or nobody can say when users fared well again.
        plan: see there.
        seed: of schedules.
        payload_bytes: length of the prompt; None for the published one.
        on_progress: called before every window.
        on_window: called after every window with everything measured so far.

    Raises:
        StackFailed: a service did not start or died, or the fault did not hold.
    """
    assert arm.gateway is not None, "it has a gateway"
    direct = Arm("direct", None, arm.model, direct_on=arm.backend)
    phases = [replace(arm, name=name) for name in (BEFORE, DURING, AFTER)]
    affected = [replace(arm, name=AFFECTED, model=fault.affected_model)] if fault.affected_model is not None else []
    measurement = Measurement(
        scenario,
        (direct, *phases, *affected),
        schedule,
        mock_delay_ms=bench.mock_delay_ms,
        rounds_planned_max=plan.cycles,
        direct_schedule=OpenLoop(schedule.offered_rps, warm_up_s=0, window_s=DIRECT_WINDOW_S),
    )
    for cycle in range(plan.cycles):
        with ExitStack() as until_closed:
            on_progress(Progress(f"starting {arm.gateway}", 0, 0, 0.0))
            (gateway,) = bench.start_gateways([arm.gateway], until_closed)
            running = _Cycle(
                bench, fault, schedule, plan, cycle, seed, payload_bytes, measurement, on_progress, on_window
            )
            measurement = running.run(gateway)
    return replace(measurement, stopped="all cycles are done")


@dataclass(slots=True)
class _Cycle:
    """One gateway through all phases."""

    bench: FaultBench
    fault: Fault
    schedule: OpenLoop
    plan: CyclesPlan
    cycle: int
    seed: int
    payload_bytes: int | None
    measurement: Measurement
    on_progress: Callable[[Progress], None]
    on_window: Callable[[Measurement], None]

    def run(self, gateway: FailingGateway) -> Measurement:
        loader = Loader(self.bench, self.payload_bytes, stream=False)
        direct, before, during, after, *affected = self.measurement.arms
        loader.settle(gateway, before, self.schedule, 0.0)
        direct_schedule = self.measurement.direct_schedule
        assert direct_schedule is not None
        self._keep(direct, loader.window(direct, None, direct_schedule, self.seed).load)
        for ledger in (gateway.ledger, gateway.log_ledger):
            if ledger is not None:
                ledger.open()
        self._phase(loader, gateway, before, self.plan.before_s)
        with self._users_that_it_hits(gateway, affected):
            holds = gateway.outage(self.fault.outage) if self.fault.outage is not None else nullcontext()
            with holds:
                began_mono_s = time.monotonic()
                self._phase(loader, gateway, during, self.plan.during_s)
                over_mono_s = time.monotonic()
            # Up again: what takes a dependency to come back is not the gateway's.
            cycle = FaultCycle(self.cycle, began_mono_s, over_mono_s, time.monotonic())
            self.measurement = replace(self.measurement, faults=(*self.measurement.faults, cycle))
        self._phase(loader, gateway, after, self.plan.after_s_max, lambda: has_recovered(self.measurement, self.cycle))
        self._close(gateway)
        return self.measurement

    def _phase(
        self,
        loader: Loader,
        gateway: Gateway,
        arm: Arm,
        lasts_s: float,
        until: Callable[[], bool] = lambda: False,
    ) -> None:
        began_mono_s = time.monotonic()
        while (left_s := began_mono_s + lasts_s - time.monotonic()) > 0 and not until():
            words = f"{arm.name} the fault, cycle {self.cycle + 1}"
            self.on_progress(Progress(words, len(self.measurement.windows), self._windows_planned, left_s))
            loaded = loader.window(arm, gateway, self.schedule, self.seed, with_ledgers=False)
            self._keep(arm, loaded.load, loaded.gateway, loaded.upstream_requests)

    @property
    def _windows_planned(self) -> int:
        """When users fare as before at once, and windows take no longer than they say."""
        of_phases = (self.plan.before_s + self.plan.during_s) / self.schedule.window_s
        return self.plan.cycles * (1 + math.ceil(of_phases) + GOOD_WINDOWS)

    def _keep(
        self, arm: Arm, load: LoadResult, use: GatewayUse | None = None, upstream_requests: int | None = None
    ) -> None:
        number = sum(window.arm == arm.name and window.generation == self.cycle for window in self.measurement.windows)
        window = Window(arm.name, self.cycle, number, 0, self.seed, load, use, upstream_requests)
        self.measurement = self.measurement.with_windows((window,))
        self.on_window(self.measurement)

    @contextmanager
    def _users_that_it_hits(self, gateway: Gateway, affected: list[Arm]) -> Iterator[None]:
        """Have some users ask for what fails, for as long as the context is open."""
        if not affected:
            yield
            return
        (arm,) = affected
        schedule = OpenLoop(AFFECTED_RPS, warm_up_s=0, window_s=self.plan.during_s, tail_s=PATIENCE_S)
        loader = Loader(self.bench, self.payload_bytes, stream=False)
        loads: list[LoadResult | StackFailed] = []
        # Started by this thread: with the one that started it, a generator ends.
        runner = self.bench.second_generator

        def ask() -> None:
            try:
                loads.append(loader.aside(arm, gateway, schedule, self.seed, runner))
            except StackFailed as error:
                loads.append(error)

        asking = threading.Thread(target=ask, name="affected users")
        asking.start()
        try:
            yield
        finally:
            asking.join()
        (load,) = loads
        if isinstance(load, StackFailed):
            raise load
        self._keep(arm, load)
        if load.succeeded:
            raise StackFailed(
                f"{self.measurement.scenario}: the fault did not hold: {load.succeeded} of {load.sent} requests for "
                f"{arm.model} succeeded; is --mock-url an endpoint that knows this model?"
            )

    def _close(self, gateway: Gateway) -> None:
        """Count what was written in the whole cycle."""
        sent = sum(
            window.load.sent
            for window in self.measurement.windows
            if window.generation == self.cycle and window.arm in (BEFORE, DURING, AFTER)
        )
        ledger = gateway.ledger.close(sent) if gateway.ledger is not None else None
        sink = gateway.log_ledger.close(sent, quiet_s=PATIENCE_S) if gateway.log_ledger is not None else None
        *earlier, cycle = self.measurement.faults
        cycles = (*earlier, replace(cycle, ledger=ledger, sink=sink))
        self.measurement = replace(self.measurement, faults=cycles)
        self.on_window(self.measurement)
