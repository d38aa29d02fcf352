"""Does the search offer the right rates to the right arms, and tell a gateway's failure from the generator's?

Nothing is started: the bench is a fake whose gateways hold the rates that the test says.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest

from perfgate.experiment.arms import Arm, GatewaySpec
from perfgate.experiment.capacity import (
    DIRECT_FIRST_RATIO,
    DIRECT_WINDOW_S,
    RECOVERIES_MAX,
    RECOVERY_S,
    SearchPlan,
    is_fit,
    outcome_of,
    search_capacity,
    search_range,
)
from perfgate.experiment.capacity_figures import capacity, ceiling
from perfgate.experiment.measurement import Measurement
from perfgate.experiment.rounds import Progress
from perfgate.load.api import Api
from perfgate.load.job import LoadJob, Target
from perfgate.load.result import LoadResult
from perfgate.load.schedule import OpenLoop
from perfgate.measure.histogram import Histogram
from perfgate.measure.process_tree import TreeSnapshot
from perfgate.stack.backend import BackendName
from perfgate.thresholds import Apparatus, Objective
from tests.harness.synthetic import DIRECT, GATEWAY, load_result

FIRST: Final = OpenLoop(offered_rps=15, warm_up_s=1, window_s=4)
OBJECTIVE: Final = Objective(latency_p95_ms=250, error_ratio=0.001, completed_ratio=0.99)
APPARATUS: Final = Apparatus(
    dispatch_lag_p99_ms=2, sent_ratio_min=0.98, generator_cpu_ratio_max=0.8, direct_p95_above_mock_delay_ms=5
)
PLAN: Final = SearchPlan(generations=4, windows_max=16, within=0.15)
URL: Final = "http://127.0.0.1:9/v1/chat/completions"


@dataclass
class FakeGateway:
    number: int
    ledger: None = None
    log_ledger: None = None

    def targets(self, model: str, api: Api = Api.CHAT_COMPLETIONS) -> tuple[Target, ...]:
        return (Target(f"http://127.0.0.1:{1000 + self.number}/v1/chat/completions", model),)

    def uses(self) -> list[TreeSnapshot]:
        return []

    def tree_uses(self) -> list[TreeSnapshot]:
        return []

    def check_alive(self) -> None:
        pass


@dataclass
class FakeGenerator:
    """Gateways hold up to `capacities_rps`, generator and mock up to `ceiling_rps`; `changed` has the last word."""

    capacities_rps: Sequence[float]
    ceiling_rps: float
    jobs: list[LoadJob] = field(default_factory=list)
    changed: Callable[[LoadJob, LoadResult], LoadResult] = lambda job, load: load

    def run(self, job: LoadJob, *, on_event: Callable[[str], None] | None = None) -> LoadResult:
        self.jobs.append(job)
        if on_event is not None:
            on_event("window_opened")
        assert isinstance(job.schedule, OpenLoop)
        rate_rps = job.schedule.offered_rps
        if job.targets[0].url == URL:
            load = load_result(1.0 if rate_rps <= self.ceiling_rps else 50.0, requests=100)
        else:
            holds = rate_rps <= self.capacities_rps[generation_of(job)]
            load = load_result(10.0 if holds else 2_000.0, requests=100)
        return self.changed(job, load)


def generation_of(job: LoadJob) -> int:
    return int(job.targets[0].url.split(":")[2].split("/")[0]) - 1000


@dataclass
class FakeBench:
    generator: FakeGenerator
    started: list[GatewaySpec] = field(default_factory=list)
    closed: int = 0
    generator_cpus: tuple[int, ...] = (0,)
    mock_delay_ms: float = 0.0

    def direct_url(self, backend: BackendName, api: Api = Api.CHAT_COMPLETIONS) -> str:
        return URL

    def upstream_requests(self, backend: BackendName) -> int | None:
        return None

    def start_gateways(self, specs: Sequence[GatewaySpec], until_closed: ExitStack) -> Sequence[FakeGateway]:
        def close() -> None:
            self.closed += 1

        until_closed.callback(close)
        self.started.extend(specs)
        return [FakeGateway(number) for number in range(len(specs))]

    def check_alive(self) -> None:
        pass

    def unasked_differences(self, baseline: GatewaySpec, candidate: GatewaySpec) -> Sequence[str]:
        return ()


def a_bench(
    capacities_rps: Sequence[float] = (90, 94, 96, 100),
    ceiling_rps: float = 2_000,
    changed: Callable[[LoadJob, LoadResult], LoadResult] = lambda job, load: load,
) -> FakeBench:
    return FakeBench(FakeGenerator(capacities_rps, ceiling_rps, changed=changed))


def run(bench: FakeBench, **rest: Any) -> Measurement:
    asked: dict[str, Any] = {"arms": (DIRECT, GATEWAY), "plan": PLAN, "seed": 7, "time_left_s": lambda: 1e9} | rest
    plan, arms = asked.pop("plan"), asked.pop("arms")
    return search_capacity(bench, "capacity", arms, FIRST, OBJECTIVE, APPARATUS, plan, **asked)


def rates_of(measured: Measurement, arm: str, generation: int = 0) -> list[float]:
    windows = [window for window in measured.windows if (window.arm, window.generation) == (arm, generation)]
    return [window.trial.offered_rps for window in windows if window.trial is not None]


@pytest.mark.slow
class TestSearch:
    def test_every_gateway_and_the_apparatus_are_found_to_hold_what_they_hold(self) -> None:
        bench = a_bench()
        measured = run(bench)
        found, top = capacity(measured), ceiling(measured)
        assert found.rps == pytest.approx(95, rel=0.03)
        assert found.low_rps < 95 < found.high_rps
        assert top.rps == pytest.approx(2_000, rel=0.1)
        assert (found.searches, top.searches) == (4, 1)
        assert (len(bench.started), bench.closed) == (4, 1)
        assert measured.stopped == "every capacity is known well enough"
        assert measured.objective == OBJECTIVE

    def test_a_gateway_begins_at_the_first_rate_and_is_doubled_until_it_breaks(self) -> None:
        measured = run(a_bench())
        assert rates_of(measured, "gateway", 2)[:4] == pytest.approx([15, 30, 60, 120])
        assert all(60 < rate < 120 for rate in rates_of(measured, "gateway", 2)[4:])
        assert rates_of(measured, "direct")[0] == 15 * DIRECT_FIRST_RATIO

    def test_every_round_has_a_window_of_every_search_that_is_not_done(self) -> None:
        measured = run(a_bench())
        first = measured.windows[:5]
        assert sorted((window.arm, window.generation) for window in first) == [
            ("direct", 0),
            *(("gateway", generation) for generation in range(4)),
        ]
        assert [window.position for window in first] == [0, 1, 2, 3, 4]
        of_one = [window.round for window in measured.windows if (window.arm, window.generation) == ("gateway", 1)]
        assert of_one == list(range(len(of_one)))

    def test_the_order_is_random_and_the_seed_repeats_it(self) -> None:
        orders = [[(w.arm, w.generation, w.seed) for w in run(a_bench(), seed=seed).windows] for seed in (7, 7, 8)]
        assert orders[0] == orders[1] != orders[2]

    def test_direct_windows_are_short_and_the_rate_is_that_of_the_trial(self) -> None:
        bench = a_bench()
        measured = run(bench)
        direct = [job.schedule for job in bench.generator.jobs if job.targets[0].url == URL]
        assert {schedule.window_s for schedule in direct} == {DIRECT_WINDOW_S}
        assert [schedule.offered_rps for schedule in direct if isinstance(schedule, OpenLoop)] == rates_of(
            measured, "direct"
        )

    def test_it_ends_at_the_most_windows_and_says_so(self) -> None:
        measured = run(a_bench(), plan=replace(PLAN, windows_max=5))
        assert max(len(rates_of(measured, "gateway", generation)) for generation in range(4)) == 5
        assert measured.stopped == "the most windows are done"

    def test_it_ends_when_the_time_is_used_up_but_not_before_one_round(self) -> None:
        measured = run(a_bench(), time_left_s=lambda: 0.0)
        assert len(measured.windows) == 5
        assert measured.stopped == "the time is used up"

    def test_every_window_is_told_with_all_that_was_before(self) -> None:
        told: list[Measurement] = []
        said: list[Progress] = []
        measured = run(a_bench(), on_window=told.append, on_progress=said.append)
        assert [len(each.windows) for each in told] == list(range(1, len(measured.windows) + 1))
        assert len(said) == len(measured.windows) + 1
        assert "at 15 requests/s" in " ".join(progress.text for progress in said)

    def test_a_window_that_was_not_sent_says_nothing_and_is_tried_again(self) -> None:
        spoiled: list[float] = []

        def spoil_the_first(job: LoadJob, load: LoadResult) -> LoadResult:
            is_first = job.targets[0].url != URL and job.schedule.window_s == FIRST.window_s and not spoiled
            if is_first and isinstance(job.schedule, OpenLoop):
                spoiled.append(job.schedule.offered_rps)
                return load_result(10.0, requests=100, sent=50)
            return load

        measured = run(a_bench(changed=spoil_the_first), plan=replace(PLAN, generations=1))
        first, second, *_ = [window.trial for window in measured.windows if window.arm == "gateway"]
        assert first is not None
        assert second is not None
        assert (first.outcome, second.outcome) == ("unfit", "held")
        assert first.offered_rps == second.offered_rps == 15

    def test_what_a_window_left_unanswered_is_worked_off_before_the_next(self) -> None:
        def drown(job: LoadJob, load: LoadResult) -> LoadResult:
            return replace(load, completed=50) if load.latency.percentile_ms(50) > 1_000 else load

        bench = a_bench(changed=drown)
        measured = run(bench, plan=replace(PLAN, generations=1))
        broken = sum(
            w.trial is not None and w.trial.outcome == "broken" and w.arm == "gateway" for w in measured.windows
        )
        recoveries = [job for job in bench.generator.jobs if job.schedule.window_s == RECOVERY_S]
        assert len(recoveries) == broken > 0
        assert {job.schedule.offered_rps for job in recoveries if isinstance(job.schedule, OpenLoop)} == {15}

    def test_a_gateway_that_never_comes_back_is_not_waited_for_for_ever(self) -> None:
        def never(job: LoadJob, load: LoadResult) -> LoadResult:
            return load if job.targets[0].url == URL else replace(load_result(2_000.0, requests=100), completed=50)

        bench = a_bench(changed=never)
        measured = run(bench, plan=replace(PLAN, generations=1))
        windows = len(rates_of(measured, "gateway"))
        recoveries = [job for job in bench.generator.jobs if job.schedule.window_s == RECOVERY_S]
        assert len(recoveries) == windows * RECOVERIES_MAX
        assert capacity(measured).bound == "at most"

    def test_arms_in_the_wrong_order_are_refused(self) -> None:
        with pytest.raises(
            ValueError, match=r"arms=\['gateway', 'direct'\]: must be a direct one and one with a gateway"
        ):
            run(a_bench(), arms=(GATEWAY, DIRECT))


class TestOutcome:
    def test_a_rate_is_held_when_all_of_the_objective_is_kept(self) -> None:
        assert outcome_of(load_result(200.0), OBJECTIVE, APPARATUS) == "held"

    @pytest.mark.parametrize(
        "load",
        [
            load_result(300.0),
            load_result(10.0, failed=2),
            load_result(10.0, failed=200),
            replace(load_result(10.0), completed=190),
        ],
        ids=["too slow", "errors", "nothing but errors", "not answered in time"],
    )
    def test_a_rate_is_broken_when_any_of_it_is_not(self, load: LoadResult) -> None:
        assert outcome_of(load, OBJECTIVE, APPARATUS) == "broken"

    def test_a_load_that_was_not_sent_says_nothing(self) -> None:
        assert outcome_of(load_result(300.0, sent=150), OBJECTIVE, APPARATUS) == "unfit"

    def test_lateness_of_the_generator_is_not_the_gateways(self) -> None:
        late = replace(load_result(300.0, lag_ms=290), service_time=load_result(10.0).service_time)
        assert outcome_of(late, OBJECTIVE, APPARATUS) == "unfit"

    def test_a_gateway_that_is_slow_by_itself_is_broken_however_late_the_generator(self) -> None:
        assert outcome_of(load_result(300.0, lag_ms=290), OBJECTIVE, APPARATUS) == "broken"

    def test_a_queue_before_the_send_is_the_gateways_where_the_generator_was_in_time(self) -> None:
        queued = replace(load_result(300.0), service_time=load_result(10.0).service_time)
        assert outcome_of(queued, OBJECTIVE, APPARATUS) == "broken"


class TestApparatus:
    def test_it_holds_a_rate_that_it_sends_in_time_without_errors(self) -> None:
        assert is_fit(load_result(4.0), 0.0, APPARATUS)
        assert is_fit(load_result(22.0), 20.0, APPARATUS)

    @pytest.mark.parametrize(
        "load",
        [
            load_result(9.0),
            load_result(1.0, failed=1),
            load_result(1.0, sent=150),
            load_result(1.0, lag_ms=3),
            replace(load_result(1.0), generator_cpu_s=3.9),
            replace(load_result(1.0), latency=Histogram.of_us([])),
        ],
        ids=["slow", "error", "not sent", "late", "out of CPU", "nothing answered"],
    )
    def test_it_does_not_hold_one_that_it_is_unfit_at(self, load: LoadResult) -> None:
        assert not is_fit(load, 0.0, APPARATUS)


def test_no_rate_is_tried_at_which_a_window_has_too_few_requests() -> None:
    search = search_range(FIRST, direct=False)
    assert (search.first_rps, search.lowest_rps, search.highest_rps) == (15, 10, 15 * 1024)
    direct = search_range(FIRST, direct=True)
    assert (direct.first_rps, direct.lowest_rps) == (120, 15)


def test_an_arm_may_be_any_gateway() -> None:
    other = Arm("gateway", replace(GATEWAY.gateway, workers=2) if GATEWAY.gateway else None)
    measured = run(a_bench((90,)), arms=(DIRECT, other), plan=replace(PLAN, generations=1, windows_max=2))
    assert measured.arms == (DIRECT, other)
