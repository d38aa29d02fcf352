"""Does a gateway go through before, during and after, in this order, and is the fault gone whatever happens?

Nothing is started: the bench is a fake whose generators note every job and answer with a made-up result.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

import pytest

from perfgate.errors import StackFailed
from perfgate.experiment.arms import Arm, GatewaySpec
from perfgate.experiment.fault_cycles import AFFECTED_RPS, CyclesPlan, run_cycles
from perfgate.experiment.faults import FAULTS, Fault, Outage
from perfgate.experiment.measurement import LedgerUse, Measurement, SinkUse
from perfgate.experiment.rounds import Progress
from perfgate.load.api import Api
from perfgate.load.job import LoadJob, Target
from perfgate.load.result import LoadResult
from perfgate.load.schedule import OpenLoop
from perfgate.measure.process_tree import TreeSnapshot
from perfgate.stack.backend import BackendName
from perfgate.stack.sources import Release
from tests.harness.synthetic import load_result

URL: Final = "http://127.0.0.1:9/v1/chat/completions"
SCHEDULE: Final = OpenLoop(offered_rps=100, warm_up_s=0, window_s=1)
ARM: Final = Arm("gateway", GatewaySpec(Release("1.106.2")))
#: The fake answers at once, so that a phase has a window or many, and never none.
PLAN: Final = CyclesPlan(cycles=2, before_s=0.001, during_s=0.001, after_s_max=10)
#: In which those whom a fault hits come once.
SECONDS: Final = CyclesPlan(cycles=2, before_s=0.001, during_s=1 / AFFECTED_RPS, after_s_max=10)
SINK: Final = Fault("sink_hangs", "sink hangs", callback="langsmith")
UPSTREAM: Final = Fault("upstream_hangs", affected_model="mock-hang")


@dataclass
class FakeLogLedger:
    told: list[str]

    def open(self) -> None:
        self.told.append("log opened")

    def close(self, requests: int, *, quiet_s: float = 0.0) -> SinkUse:
        self.told.append("log closed")
        return SinkUse(requests, requests - 1, requests - 1, quiet_s)


@dataclass
class FakeLedger:
    told: list[str]

    def open(self) -> None:
        self.told.append("rows opened")

    def close(self, requests: int) -> LedgerUse:
        self.told.append("rows closed")
        return LedgerUse(requests, requests - 2, 1.0, 1.0, 0.5, 3, 10)


@dataclass
class FakeGateway:
    told: list[str]
    ledger: FakeLedger | None = None
    log_ledger: FakeLogLedger | None = None

    def targets(self, model: str, api: Api = Api.CHAT_COMPLETIONS) -> tuple[Target, ...]:
        return (Target(URL, model),)

    def uses(self) -> list[TreeSnapshot]:
        return []

    def tree_uses(self) -> list[TreeSnapshot]:
        return []

    def check_alive(self) -> None:
        pass

    def outage(self, of: Outage) -> AbstractContextManager[None]:
        return self._failing(of)

    @contextmanager
    def _failing(self, of: Outage) -> Iterator[None]:
        self.told.append(f"{of}: begins")
        try:
            yield
        finally:
            self.told.append(f"{of}: ends")


@dataclass
class FakeGenerator:
    """Answers well, but for those who ask for `mock-hang`; `on_job` is called with each job."""

    jobs: list[LoadJob] = field(default_factory=list)
    succeeds: bool = True
    on_job: Callable[[LoadJob], None] = lambda job: None

    def run(self, job: LoadJob, *, on_event: Callable[[str], None] | None = None) -> LoadResult:
        self.jobs.append(job)
        self.on_job(job)
        if on_event is not None:
            on_event("window_opened")
        return load_result(10.0, requests=100, failed=0 if self.succeeds else 100)


@dataclass
class FakeBench:
    told: list[str] = field(default_factory=list)
    generator: FakeGenerator = field(default_factory=FakeGenerator)
    second_generator: FakeGenerator = field(default_factory=lambda: FakeGenerator(succeeds=False))
    has_ledgers: bool = False
    generator_cpus: tuple[int, ...] = (0,)
    mock_delay_ms: float = 0.0

    def direct_url(self, backend: BackendName, api: Api = Api.CHAT_COMPLETIONS) -> str:
        return URL

    def upstream_requests(self, backend: BackendName) -> int | None:
        return None

    def start_gateways(self, specs: Sequence[GatewaySpec], until_closed: ExitStack) -> Sequence[FakeGateway]:
        self.told.append("gateway starts")
        until_closed.callback(lambda: self.told.append("gateway ends"))
        ledgers = (FakeLedger(self.told), FakeLogLedger(self.told)) if self.has_ledgers else (None, None)
        return [FakeGateway(self.told, *ledgers)]

    def check_alive(self) -> None:
        pass

    def unasked_differences(self, baseline: GatewaySpec, candidate: GatewaySpec) -> Sequence[str]:
        return ()


def run(bench: FakeBench, fault: Fault = SINK, plan: CyclesPlan = PLAN, **rest: object) -> Measurement:
    return run_cycles(bench, "fault_x", fault, ARM, SCHEDULE, plan, seed=7, **rest)  # type: ignore[arg-type]


def test_a_cycle_goes_through_its_phases_in_order_on_a_gateway_of_its_own() -> None:
    bench = FakeBench()
    measurement = run(bench)
    for cycle in (0, 1):
        arms = [window.arm for window in measurement.windows if window.generation == cycle]
        assert list(dict.fromkeys(arms)) == ["direct", "before", "during", "after"]
        assert arms == sorted(arms, key=["direct", "before", "during", "after"].index)
    assert bench.told == ["gateway starts", "sink hangs: begins", "sink hangs: ends", "gateway ends"] * 2
    assert [cycle.generation for cycle in measurement.faults] == [0, 1]


def test_the_time_of_the_fault_is_noted() -> None:
    (cycle,) = run(FakeBench(), plan=CyclesPlan(1, 0.001, 0.001, 10)).faults
    assert cycle.began_mono_s <= cycle.over_mono_s <= cycle.ended_mono_s


def test_the_last_phase_ends_when_users_fare_as_before() -> None:
    measurement = run(FakeBench(), plan=CyclesPlan(1, 0.001, 0.001, after_s_max=1000))
    assert [window.arm for window in measurement.windows].count("after") == 3


def test_the_last_phase_ends_in_time_when_they_never_do() -> None:
    bench = FakeBench()
    bench.generator.on_job = lambda job: setattr(bench.generator, "succeeds", "sink hangs: ends" not in bench.told)
    measurement = run(bench, plan=CyclesPlan(1, 0.001, 0.001, after_s_max=0.05))
    assert any(window.arm == "after" for window in measurement.windows)
    assert all(window.load.succeeded == 0 for window in measurement.windows if window.arm == "after")


def test_what_is_written_is_counted_once_a_cycle_for_all_of_its_requests() -> None:
    bench = FakeBench(has_ledgers=True)
    measurement = run(bench, plan=CyclesPlan(1, 0.001, 0.001, 10))
    sent = sum(window.load.sent for window in measurement.windows if window.arm != "direct")
    (cycle,) = measurement.faults
    assert cycle.ledger is not None
    assert cycle.sink is not None
    assert (cycle.ledger.requests, cycle.sink.requests) == (sent, sent)
    # The first pair is of the requests that settle the gateway.
    assert bench.told[1:5] == ["rows opened", "log opened", "rows closed", "log closed"]
    assert bench.told[5:] == [
        *("rows opened", "log opened"),
        *("sink hangs: begins", "sink hangs: ends"),
        *("rows closed", "log closed", "gateway ends"),
    ]
    assert all(window.sink is None for window in measurement.windows)


def test_a_fault_ends_when_a_window_breaks_off() -> None:
    bench = FakeBench()

    def fail_in_the_fault(job: LoadJob) -> None:
        if "sink hangs: begins" in bench.told:
            raise StackFailed("the gateway has ended")

    bench.generator.on_job = fail_in_the_fault
    with pytest.raises(StackFailed, match="the gateway has ended"):
        run(bench)
    assert bench.told[-2:] == ["sink hangs: ends", "gateway ends"]


class TestUsersWhoseUpstreamFails:
    def test_they_ask_beside_the_others_while_it_does(self) -> None:
        bench = FakeBench()
        measurement = run(bench, UPSTREAM, SECONDS)
        assert [target.model for job in bench.second_generator.jobs for target in job.targets] == ["mock-hang"] * 2
        schedule = bench.second_generator.jobs[0].schedule
        assert isinstance(schedule, OpenLoop)
        assert (schedule.offered_rps, schedule.window_s) == (AFFECTED_RPS, SECONDS.during_s)
        assert {target.model for job in bench.generator.jobs for target in job.targets} == {ARM.model}
        assert [window.arm for window in measurement.windows].count("affected") == 2

    def test_one_of_them_who_is_served_shows_that_there_was_no_fault(self) -> None:
        bench = FakeBench(second_generator=FakeGenerator(succeeds=True))
        with pytest.raises(StackFailed, match="the fault did not hold: 100 of 100 requests for mock-hang succeeded"):
            run(bench, UPSTREAM, SECONDS)

    def test_what_goes_wrong_with_their_generator_is_said(self) -> None:
        bench = FakeBench()

        def fail(job: LoadJob) -> None:
            raise StackFailed("the second generator has ended")

        bench.second_generator.on_job = fail
        with pytest.raises(StackFailed, match="the second generator has ended"):
            run(bench, UPSTREAM, SECONDS)


def test_progress_is_told_before_every_window() -> None:
    told: list[Progress] = []
    measurement = run(FakeBench(), on_progress=told.append)
    of_windows = [progress for progress in told if "cycle" in progress.text]
    assert len(of_windows) == len([window for window in measurement.windows if window.arm != "direct"])
    assert of_windows[0].text == "before the fault, cycle 1"


def test_every_fault_of_the_table_takes_one_way() -> None:
    for name, fault in FAULTS.items():
        assert fault.scenario == f"fault_{name}"
        assert (fault.outage is None) != (fault.affected_model is None)
