"""Are both arms loaded in turn, with the profiler and without, and is each sample that of a counted request?"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pytest

from perfgate.errors import StackFailed
from perfgate.experiment.arms import BASELINE, CANDIDATE, Arm, GatewaySpec
from perfgate.experiment.measurement import NotMeasured
from perfgate.experiment.rounds import Progress
from perfgate.load.job import LoadJob
from perfgate.load.result import LoadResult
from perfgate.load.schedule import ClosedLoop, OpenLoop
from perfgate.why.folded import Function
from perfgate.why.profiler import Recorded, Recording
from perfgate.why.profiling import WINDOW_S, Profile, profiled, profiling_schedule
from tests.harness.history.conftest import HistoryBench, HistoryGateway
from tests.harness.synthetic import Truth
from tests.harness.why.conftest import ARMS, LOAD, NEW, OLD

NAMES: Final = {f"{arm}{suffix}" for arm in (BASELINE, CANDIDATE) for suffix in ("", "_profiled")}


@dataclass
class Gateway(HistoryGateway):
    """Has a process and a folder of its own."""

    serving_pids: Sequence[int] = ()
    folders: Sequence[Path] = ()


@dataclass
class Bench(HistoryBench):
    """Two releases, of which the newer one takes a tenth more CPU."""

    truths: Any = field(default_factory=lambda: {"1.79.3": Truth(), "1.106.2": Truth().slower(1.1)})
    specs: list[GatewaySpec] = field(default_factory=list)
    answers: bool = True

    def start_gateways(self, specs: Sequence[GatewaySpec], until_closed: ExitStack) -> Sequence[Gateway]:
        self.specs += specs
        started = []
        for number, gateway in enumerate(super().start_gateways(specs, until_closed)):
            whole = Gateway(
                gateway.url, gateway.truth, serving_pids=(100 + number,), folders=(Path(f"/run/litellm-{number}"),)
            )
            self.gateways[gateway.url] = whole
            started.append(whole)
        return started

    def run(self, job: LoadJob, *, on_event: Callable[[str], None] | None = None) -> LoadResult:
        result = super().run(job, on_event=on_event)
        return result if self.answers else replace(result, completed=0)


@dataclass
class Recorder:
    """Notes which loads ran while it recorded whom."""

    bench: Bench
    rate_hz: int = 200
    folded: str = (
        "thread (1): Main;main (/run/litellm-{number}/callbacks.py);work (/e/lib/python3.11/site-packages/x.py) 5\n"
        "thread (2): Helper;wait (/usr/lib/python3.11/threading.py) 15\n"
    )
    recorded: list[tuple[tuple[int, ...], list[LoadJob]]] = field(default_factory=list)

    @contextmanager
    def recording(self, pids: Sequence[int]) -> Iterator[Recording]:
        before, recording = len(self.bench.jobs), Recording()
        yield recording
        self.recorded.append((tuple(pids), self.bench.jobs[before:]))
        clocks = {1: 0.3, 2: 0.1}
        recording.end(Recorded(self.folded.format(number=pids[0] - 100), errors=1, behind_s=0.0, thread_cpu_s=clocks))


def run(bench: Bench, recorder: Recorder | None = None, **others: Any) -> Profile:
    given: dict[str, Any] = {"generations": 2, "minutes": 0.0, "seed": 7, "clock_mono_s": bench.clock, **others}
    arms = given.pop("arms", ARMS)
    baseline, candidate = arms
    schedule, records = given.pop("schedule", LOAD), recorder or Recorder(bench)
    return profiled(bench, records, "regression", baseline, candidate, schedule, **given)


def test_each_round_has_every_arm_with_the_profiler_and_without_in_random_order() -> None:
    bench = Bench()
    measurement = run(bench).measurement
    for rounds in measurement.rounds:
        of_round = [window for window in measurement.windows if (window.generation, window.round) == rounds]
        assert {window.arm for window in of_round} == NAMES
        assert sorted(window.position for window in of_round) == [0, 1, 2, 3]
    assert len(measurement.rounds) == 4
    assert len({window.arm for window in measurement.windows if window.position == 0}) > 1
    orders = [[window.arm for window in run(Bench(), seed=seed).measurement.windows] for seed in (7, 7, 8)]
    assert orders[0] == orders[1] != orders[2]


def test_it_records_the_gateway_that_is_loaded_and_only_while_it_is() -> None:
    bench = Bench()
    recorder = Recorder(bench)
    profile = run(bench, recorder)
    assert bench.specs == [OLD, NEW, OLD, NEW]
    assert len(recorder.recorded) == 2 * 4
    for pids, jobs in recorder.recorded:
        (job,) = jobs
        number = pids[0] - 100
        assert job.targets[0].url == f"http://127.0.0.1:{2000 + number}/v1/chat/completions"
    assert sorted(pids[0] for pids, _ in recorder.recorded) == sorted([100, 101, 102, 103] * 2)
    assert [(w.arm, w.generation) for w in profile.windows] == [
        (window.arm.removesuffix("_profiled"), window.generation)
        for window in profile.measurement.windows
        if window.arm.endswith("_profiled")
    ]


def test_every_window_has_its_stacks_and_the_requests_that_were_answered() -> None:
    profile = run(Bench())
    for window in profile.windows:
        assert (window.requests, window.errors, window.samples) == (100, 1, 20)
    assert (profile.requests(CANDIDATE), profile.samples(CANDIDATE)) == (400, 80)
    # Of 8.8 ms the threads' clocks say three parts in four, whatever the samples.
    assert profile.us_per_request(CANDIDATE) == pytest.approx(
        {
            (Function("main", "callbacks.py"), Function("work", "x.py")): 6600,
            (Function("wait", "threading.py"),): 2200,
        }
    )
    assert sum(profile.us(BASELINE).values()) == pytest.approx(400 * 8000)


def test_the_kernels_clock_is_read_in_all_windows() -> None:
    profile = run(Bench())
    plain = profile.without_profiler
    assert {window.arm for window in plain.windows} == {arm.name for arm in plain.arms} == {BASELINE, CANDIDATE}
    assert plain.cpu_ratio("ratio", CANDIDATE, BASELINE).value == pytest.approx(1.1)
    assert profile.measurement.cpu_ratio("cost", "candidate_profiled", CANDIDATE).value == pytest.approx(1.0)


def test_it_goes_on_for_as_long_as_it_is_given() -> None:
    # Four starts take 20 s, eight windows 1.6 s.
    assert len(run(Bench(), minutes=0.0).measurement.rounds) == 2 * 2
    assert len(run(Bench(), minutes=0.0, rounds_min=3).measurement.rounds) == 2 * 3
    bench = Bench()
    long = run(bench, minutes=0.5)
    assert len(long.measurement.rounds) == 2 * 5
    assert bench.clock() <= 30.0
    assert long.measurement.rounds_planned_max == 10


def test_gateways_are_asked_before_their_first_window_for_what_each_arm_asks() -> None:
    bench = Bench()
    same = GatewaySpec(NEW.source)
    run(bench, arms=(Arm(BASELINE, same), Arm(CANDIDATE, same, "burn-10pc")))
    assert bench.specs == [same, same], "equal gateways share processes"
    settled = bench.jobs[:4]
    assert sorted(job.targets[0].model for job in settled) == ["burn-10pc"] * 2 + ["perfgate-plain"] * 2
    assert len(bench.jobs) == 4 + 4 * 4


def test_where_it_stands_is_told_before_every_window() -> None:
    told: list[Progress] = []
    run(Bench(), on_progress=told.append)
    assert told[0].text == "starting 2 x litellm 1.79.3, litellm 1.106.2"
    assert [progress.done for progress in told[1:]] == list(range(16))
    assert {progress.planned for progress in told[1:]} == {16}


def test_what_cannot_be_profiled_is_refused() -> None:
    with pytest.raises(ValueError, match="warm_up_s=1 must be 0"):
        run(Bench(), schedule=ClosedLoop(users=2, warm_up_s=1, window_s=2))
    with pytest.raises(ValueError, match="must make at least 2 rounds"):
        run(Bench(), generations=1, rounds_min=1)
    with pytest.raises(NotMeasured, match="no request of a window of the arm"):
        run(Bench(answers=False))
    bench = Bench()
    with pytest.raises(StackFailed, match="py-spy has written something else than folded stacks: line 1"):
        run(bench, Recorder(bench, folded="nonsense\n"))


def test_a_scenarios_load_becomes_windows_that_can_be_profiled() -> None:
    users = ClosedLoop(users=20, warm_up_s=4, window_s=0.15, spawn_per_s=10)
    assert profiling_schedule(users) == ClosedLoop(users=20, warm_up_s=0, window_s=WINDOW_S)
    thinking = ClosedLoop(users=20, warm_up_s=4, window_s=8, think_time_s=0.5, think_time_max_s=5)
    assert profiling_schedule(thinking).window_s == 5
    steady = OpenLoop(offered_rps=35, warm_up_s=1, window_s=4, arrivals="poisson")
    assert profiling_schedule(steady, 3.0) == OpenLoop(offered_rps=35, warm_up_s=0, window_s=3, arrivals="poisson")
