"""Do windows come in the order, number and share that a plan says, and what does a dying gateway leave?

Nothing is started: the bench is a fake whose generator notes every job and answers with a made-up result.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Final

import psutil
import pytest

from perfgate.errors import BadInput, StackFailed
from perfgate.experiment.arms import Arm, GatewaySpec
from perfgate.experiment.measurement import LedgerUse, Measurement, SinkUse
from perfgate.experiment.rounds import (
    CONNECTIONS_PER_WORKER,
    SETTLE_REQUESTS,
    SETTLE_S,
    WINDOW_EXTRA_S,
    Progress,
    RoundsPlan,
    run_rounds,
)
from perfgate.load.api import Api
from perfgate.load.job import LoadJob, Target
from perfgate.load.result import LoadResult
from perfgate.load.schedule import ClosedLoop, OpenLoop
from perfgate.measure.process_tree import TreeSnapshot, snapshot
from perfgate.stack.backend import BackendName
from perfgate.stack.litellm import RedisBy
from perfgate.stack.sources import Release, RunningUrl
from tests.harness.synthetic import NEW, OLD, load_result

STEADY: Final = OpenLoop(offered_rps=50, warm_up_s=2, window_s=4)
DIRECT: Final = Arm("direct", None)
GATEWAY: Final = Arm("gateway", GatewaySpec(Release("1.106.2")))
OTHER: Final = Arm("other", GatewaySpec(Release("1.79.3")))
PLAN: Final = RoundsPlan(generations=2, per_generation=3, per_generation_max=5)
MOCK_URL: Final = "http://127.0.0.1:9/v1/chat/completions"
CONTAINER_MOCK_URL: Final = "http://127.0.0.2:9/v1/chat/completions"


@dataclass
class FakeLedger:
    """Everything is written, `missing` rows excepted."""

    missing: int = 0
    calls: list[str] = field(default_factory=list)

    def open(self) -> None:
        self.calls.append("open")

    def close(self, requests: int) -> LedgerUse:
        self.calls.append(f"close {requests}")
        return LedgerUse(requests, requests - self.missing, 1.0, 1.0, 0.5, 3, 10)


@dataclass
class FakeLogLedger:
    """Everything is logged, one record excepted."""

    calls: list[str] = field(default_factory=list)
    during: Callable[[], None] = lambda: None

    def open(self) -> None:
        self.calls.append("open")

    def close(self, requests: int, *, quiet_s: float = 1.0) -> SinkUse:
        self.calls.append(f"close {requests}")
        self.during()
        return SinkUse(requests, requests - 1, requests - 1, 0.5)


@dataclass
class FakeGateway:
    """Its processes are those of the test itself."""

    chat_urls: tuple[str, ...]
    pids: tuple[int, ...]
    api_key: str | None = "sk-ours"
    death: StackFailed | None = None
    ledger: FakeLedger | None = None
    log_ledger: FakeLogLedger | None = None
    in_containers: bool = False

    def targets(self, model: str, api: Api = Api.CHAT_COMPLETIONS) -> tuple[Target, ...]:
        return tuple(Target(api.below(url), model, self.api_key) for url in self.chat_urls)

    def uses(self) -> list[TreeSnapshot]:
        return [snapshot(pid) for pid in self.pids]

    def tree_uses(self) -> list[TreeSnapshot]:
        return self.uses() if self.in_containers else []

    def check_alive(self) -> None:
        if self.death is not None:
            raise self.death


@dataclass
class FakeGenerator:
    """Runs no load; `during` is called in mid-window with the number of the job, from 1."""

    jobs: list[LoadJob] = field(default_factory=list)
    during: Callable[[int], None] = lambda number: None

    def run(self, job: LoadJob, *, on_event: Callable[[str], None] | None = None) -> LoadResult:
        self.jobs.append(job)
        tell = on_event or (lambda name: None)
        tell("window_opened")
        self.during(len(self.jobs))
        tell("window_closed")
        tell("drained")
        return load_result(10.0)


@dataclass
class FakeBench:
    generator: FakeGenerator = field(default_factory=FakeGenerator)
    started: list[tuple[GatewaySpec, FakeGateway]] = field(default_factory=list)
    closed: int = 0
    unasked: tuple[str, ...] = ()
    mock_death: StackFailed | None = None
    upstream: int | None = 0
    generator_cpus: tuple[int, ...] = (0,)
    mock_delay_ms: float = 20.0

    def direct_url(self, backend: BackendName, api: Api = Api.CHAT_COMPLETIONS) -> str:
        return api.below(MOCK_URL if backend == "processes" else CONTAINER_MOCK_URL)

    def upstream_requests(self, backend: BackendName) -> int | None:
        """Seven more each time that anybody asks."""
        if self.upstream is not None:
            self.upstream += 7
        return self.upstream

    def start_gateways(self, specs: Sequence[GatewaySpec], until_closed: ExitStack) -> Sequence[FakeGateway]:
        def close() -> None:
            self.closed += 1

        until_closed.callback(close)
        for spec in specs:
            first = 1000 + 10 * len(self.started)
            urls = tuple(f"http://127.0.0.1:{first + n}/v1/chat/completions" for n in range(spec.instances))
            pids = () if isinstance(spec.source, RunningUrl) else (os.getpid(),) * spec.instances
            ledger = FakeLedger(missing=2) if spec.database else None
            in_containers = spec.backend == "containers"
            log_ledger = FakeLogLedger() if spec.callback else None
            gateway = FakeGateway(urls, pids, ledger=ledger, log_ledger=log_ledger, in_containers=in_containers)
            self.started.append((spec, gateway))
        return [gateway for _, gateway in self.started]

    def check_alive(self) -> None:
        if self.mock_death is not None:
            raise self.mock_death

    def unasked_differences(self, baseline: GatewaySpec, candidate: GatewaySpec) -> Sequence[str]:
        return self.unasked

    @property
    def window_jobs(self) -> list[LoadJob]:
        """Every job but those that settle a gateway."""
        return self.generator.jobs[len(self.started) :]

    @property
    def settle_jobs(self) -> list[LoadJob]:
        return self.generator.jobs[: len(self.started)]


@pytest.fixture
def bench() -> FakeBench:
    return FakeBench()


def run(
    bench: FakeBench, arms: Sequence[Arm] = (DIRECT, GATEWAY), schedule: OpenLoop | ClosedLoop = STEADY, **rest: Any
) -> Measurement:
    asked: dict[str, Any] = {
        "plan": PLAN,
        "seed": 7,
        "until": lambda measurement: False,
        "time_left_s": lambda: 1e9,
    } | rest
    return run_rounds(bench, "overhead", arms, schedule, asked.pop("plan"), **asked)


class TestOrder:
    def test_every_round_has_one_window_of_every_arm(self, bench: FakeBench) -> None:
        measurement = run(bench)
        rounds = {(window.generation, window.round) for window in measurement.windows}
        assert rounds == {(generation, number) for generation in range(2) for number in range(5)}
        for generation, number in rounds:
            of_round = [w for w in measurement.windows if (w.generation, w.round) == (generation, number)]
            assert {window.arm for window in of_round} == {"direct", "gateway"}
            assert [window.position for window in of_round] == [0, 1]

    def test_a_round_is_over_before_the_next_begins(self, bench: FakeBench) -> None:
        windows = run(bench).windows
        pairs = [windows[i : i + 2] for i in range(0, len(windows), 2)]
        assert all((a.generation, a.round) == (b.generation, b.round) for a, b in pairs)

    def test_generations_take_turns_from_round_to_round(self, bench: FakeBench) -> None:
        windows = run(bench).windows
        blocks = [windows[i : i + 4] for i in range(0, len(windows), 4)]
        assert [{window.round for window in block} for block in blocks] == [{n} for n in range(5)]
        assert all({window.generation for window in block} == {0, 1} for block in blocks)

    @pytest.mark.slow
    def test_the_order_is_random_within_rounds_and_blocks(self, bench: FakeBench) -> None:
        windows = run(bench, plan=RoundsPlan(2, 20, 20)).windows
        assert {window.arm for window in windows[::2]} == {"direct", "gateway"}
        assert {window.generation for window in windows[::4]} == {0, 1}

    @pytest.mark.slow
    def test_the_same_seed_gives_the_same_order_and_another_another(self) -> None:
        orders = [
            [(w.arm, w.generation, w.seed) for w in run(FakeBench(), plan=RoundsPlan(2, 10, 10), seed=seed).windows]
            for seed in (7, 7, 8)
        ]
        assert orders[0] == orders[1] != orders[2]

    def test_every_window_has_a_seed_of_its_own_and_its_load_has_it(self, bench: FakeBench) -> None:
        windows = run(bench).windows
        assert len({window.seed for window in windows}) == len(windows)
        assert [job.seed for job in bench.window_jobs] == [window.seed for window in windows]


class TestEndpoints:
    def test_each_arm_asks_its_endpoint_with_and_without_a_gateway(self, bench: FakeBench) -> None:
        direct = replace(DIRECT, name="messages_direct", api=Api.MESSAGES)
        measurement = run(bench, (direct, replace(GATEWAY, name="messages", api=Api.MESSAGES)))
        urls = {window.arm: set[str]() for window in measurement.windows}
        for window, job in zip(measurement.windows, bench.window_jobs, strict=True):
            assert job.api is Api.MESSAGES
            urls[window.arm].add(job.targets[0].url)
        assert urls["messages_direct"] == {"http://127.0.0.1:9/v1/messages"}
        assert {url.rpartition("/v1/")[2] for url in urls["messages"]} == {"messages"}


class TestSessions:
    def of(self, bench: FakeBench, schedule: OpenLoop | ClosedLoop, **rest: Any) -> list[LoadJob]:
        spec = replace(GATEWAY.gateway, workers=2) if GATEWAY.gateway is not None else None
        arms = (replace(DIRECT, api=Api.REALTIME), Arm("gateway", spec, api=Api.REALTIME))
        run(bench, arms, schedule, plan=RoundsPlan(1, 1, 1), **rest)
        return bench.window_jobs

    def test_users_keep_their_sessions_for_so_many_turns_and_open_no_connections_ahead(self, bench: FakeBench) -> None:
        jobs = self.of(bench, ClosedLoop(9, warm_up_s=1, window_s=2), turns_per_session=3)
        assert {(job.api, job.turns_per_session, job.connections) for job in jobs} == {(Api.REALTIME, 3, 0)}
        assert {job.targets[0].url.rpartition("/")[2] for job in jobs} == {"realtime"}

    def test_windows_at_a_rate_beside_them_have_a_session_for_each_request(self, bench: FakeBench) -> None:
        users = ClosedLoop(9, warm_up_s=1, window_s=2)
        jobs = self.of(bench, users, turns_per_session=3, direct_schedule=STEADY)
        assert {(type(job.schedule), job.turns_per_session) for job in jobs} == {(ClosedLoop, 3), (OpenLoop, 0)}


class TestGateways:
    def test_each_generation_starts_each_gateway_once(self, bench: FakeBench) -> None:
        run(bench, (DIRECT, GATEWAY, OTHER))
        assert [spec for spec, _ in bench.started] == [GATEWAY.gateway, OTHER.gateway] * 2
        assert bench.closed == 1

    def test_arms_with_an_equal_gateway_share_its_process(self, bench: FakeBench) -> None:
        on = replace(GATEWAY, name="fault_on", model="burn-cpu-5ms")
        measurement = run(bench, (GATEWAY, on))
        assert len(bench.started) == 2
        urls = {
            (window.generation, job.targets[0].url)
            for window, job in zip(measurement.windows, bench.window_jobs, strict=True)
        }
        assert len(urls) == 2

    def test_each_arm_is_loaded_where_it_is_and_asked_for_its_model(self, bench: FakeBench) -> None:
        direct, other = replace(DIRECT, model="upstream"), replace(OTHER, model="theirs")
        measurement = run(bench, (direct, GATEWAY, other))
        for window, job in zip(measurement.windows, bench.window_jobs, strict=True):
            (target,) = job.targets
            if window.arm == "direct":
                assert (target.url, target.model, target.api_key) == (MOCK_URL, "upstream", None)
            else:
                place = 2 * window.generation + (window.arm == "other")
                assert target.url == bench.started[place][1].chat_urls[0]
                assert target.api_key == "sk-ours"
                assert target.model == ("theirs" if window.arm == "other" else GATEWAY.model)

    def test_the_use_of_a_gateway_is_measured_and_that_of_the_direct_arm_is_none(self, bench: FakeBench) -> None:
        for window in run(bench).windows:
            assert (window.gateway is None) == (window.arm == "direct")

    def test_requests_before_the_window_count_for_the_growth_of_memory(self, bench: FakeBench) -> None:
        use = next(window.gateway for window in run(bench).windows if window.gateway is not None)
        assert use.requests == 200 + 2 * 50  # the made-up result's, and the warm-up's of STEADY
        closed = ClosedLoop(users=4, warm_up_s=2, window_s=4)
        use = next(window.gateway for window in run(FakeBench(), schedule=closed).windows if window.gateway is not None)
        assert use.requests == 200 + 100

    def test_one_that_runs_already_is_loaded_but_not_measured(self, bench: FakeBench) -> None:
        arm = Arm("gateway", GatewaySpec(RunningUrl("http://h:1")))
        assert all(window.gateway is None for window in run(bench, (DIRECT, arm)).windows)
        assert len(bench.window_jobs) == 20


class TestBackends:
    def test_each_arm_is_direct_on_its_own_backend(self, bench: FakeBench) -> None:
        inside = Arm("direct_inside", None, direct_on="containers")
        measurement = run(bench, (DIRECT, inside))
        for window, job in zip(measurement.windows, bench.window_jobs, strict=True):
            assert job.targets[0].url == (CONTAINER_MOCK_URL if window.arm == "direct_inside" else MOCK_URL)

    def test_cpu_of_containers_is_read_in_two_ways(self, bench: FakeBench) -> None:
        assert GATEWAY.gateway is not None
        inside = Arm("inside", replace(GATEWAY.gateway, backend="containers"))
        for window in run(bench, (GATEWAY, inside)).windows:
            assert window.gateway is not None
            assert (window.gateway.cpu_tree_s is None) == (window.arm == "gateway")

    def test_what_reached_the_mock_is_counted_for_each_gateway_window(self, bench: FakeBench) -> None:
        assert {(w.arm, w.upstream_requests) for w in run(bench).windows} == {("direct", None), ("gateway", 7)}
        assert {w.upstream_requests for w in run(FakeBench(upstream=None)).windows} == {None}

    def test_prompts_are_all_the_same_where_an_arm_says_so(self, bench: FakeBench) -> None:
        hits = replace(GATEWAY, name="hits", same_prompt=True)
        measurement = run(bench, (GATEWAY, hits))
        same = {(w.arm, job.same_prompt) for w, job in zip(measurement.windows, bench.window_jobs, strict=True)}
        assert same == {("gateway", False), ("hits", True)}


class TestDatabase:
    def test_a_window_ends_when_its_requests_are_written(self, bench: FakeBench) -> None:
        assert GATEWAY.gateway is not None
        arm = Arm("gateway", replace(GATEWAY.gateway, database=True))
        measurement = run(bench, (arm,), replace(STEADY, window_s=12), plan=RoundsPlan(1, 2, 2))
        (_, gateway), _ = bench.started[0], bench.closed
        assert gateway.ledger is not None
        # Of settling what was sent, of a window the warm-up of STEADY too.
        assert gateway.ledger.calls == ["open", "close 200", "open", "close 300", "open", "close 300"]
        assert [window.ledger for window in measurement.windows] == [LedgerUse(300, 298, 1.0, 1.0, 0.5, 3, 10)] * 2
        assert measurement.spend_rows_missing_ratio().value == pytest.approx(2 / 300)

    @pytest.mark.parametrize(("redis", "upstream", "written"), [(None, 0, 7), ("url", 0, 220), (None, None, 220)])
    def test_of_a_closed_loop_as_much_is_written_as_reached_the_endpoint_where_that_is_known(
        self, bench: FakeBench, redis: RedisBy | None, upstream: int | None, written: int
    ) -> None:
        """Users' requests in the warm-up are an estimate else: 200 in 20 s, so 20 in 2 s."""
        bench.upstream = upstream
        stored = Arm("gateway", GatewaySpec(Release("1.106.2"), database=True, redis=redis))
        run(bench, [stored], ClosedLoop(users=4, warm_up_s=2, window_s=20), plan=RoundsPlan(1, 1, 1))
        ((_, gateway),) = bench.started
        assert gateway.ledger is not None
        assert gateway.ledger.calls[-1] == f"close {written}"

    def test_a_window_that_spans_less_than_two_flushes_is_refused(self, bench: FakeBench) -> None:
        assert GATEWAY.gateway is not None
        arm = Arm("gateway", replace(GATEWAY.gateway, database=True))
        with pytest.raises(
            BadInput, match=r"scenario overhead: window_s=11.9 must be at least 12: two times of writing"
        ):
            run(bench, (arm,), replace(STEADY, window_s=11.9))
        assert bench.started == []


class TestSeveralProcesses:
    def of(
        self, bench: FakeBench, schedule: OpenLoop | ClosedLoop = STEADY, **changes: Any
    ) -> tuple[Measurement, LoadJob]:
        assert GATEWAY.gateway is not None
        arm, plan = Arm("gateway", replace(GATEWAY.gateway, **changes)), RoundsPlan(1, 1, 1)
        measurement = run(bench, (arm,), schedule, plan=plan)
        return measurement, bench.window_jobs[0]

    def test_every_instance_is_a_target(self, bench: FakeBench) -> None:
        _, job = self.of(bench, instances=3)
        assert len({target.url for target in job.targets}) == 3
        assert {target.api_key for target in job.targets} == {"sk-ours"}
        assert (job.connections, job.processes) == (0, 1)

    def test_memory_is_the_sum_over_instances(self) -> None:
        # Every instance is this process, with whatever it has started (another test's mock, perhaps).
        this = psutil.Process()
        rss_bytes = sum(process.memory_info().rss for process in [this, *this.children(recursive=True)])
        for instances in (1, 3):
            measurement, _ = self.of(FakeBench(), instances=instances)
            use = measurement.windows[0].gateway
            assert use is not None
            assert use.rss_before_bytes == pytest.approx(instances * rss_bytes, rel=0.3)
            assert use.rss_after_bytes == pytest.approx(instances * rss_bytes, rel=0.3)

    def test_cpu_is_the_sum_over_instances(self) -> None:
        burnt_s = 0.03

        def burn(number: int) -> None:
            enough_s = time.process_time() + burnt_s
            while time.process_time() < enough_s:
                pass

        measurement, _ = self.of(FakeBench(FakeGenerator(during=burn)), instances=4)
        use = measurement.windows[0].gateway
        assert use is not None
        assert use.cpu_s > 3.5 * burnt_s  # every instance is this process, so its CPU counts four times

    def test_several_workers_get_equal_shares_of_enough_connections(self, bench: FakeBench) -> None:
        _, job = self.of(bench, workers=3)
        assert (job.connections, job.processes) == (3 * CONNECTIONS_PER_WORKER, 3)
        assert bench.settle_jobs[0].processes == 3

    def test_the_users_of_a_closed_loop_all_have_a_connection(self, bench: FakeBench) -> None:
        _, job = self.of(bench, ClosedLoop(users=101, warm_up_s=1, window_s=2), workers=2, instances=2)
        assert job.connections * 2 >= 101
        assert job.connections % job.processes == 0


class TestSettling:
    def test_every_fresh_gateway_answers_some_requests_first(self, bench: FakeBench) -> None:
        run(bench, (DIRECT, replace(GATEWAY, model="theirs"), OTHER))
        assert [job.targets[0].url for job in bench.settle_jobs] == [g.chat_urls[0] for _, g in bench.started]
        assert [job.targets[0].model for job in bench.settle_jobs] == ["theirs", OTHER.model] * 2
        schedule = bench.settle_jobs[0].schedule
        assert isinstance(schedule, OpenLoop)
        assert (schedule.offered_rps, schedule.offered_in_window, schedule.warm_up_s) == (50, SETTLE_REQUESTS, 0)

    def test_each_endpoint_that_its_arms_ask_is_warmed_up_once(self, bench: FakeBench) -> None:
        arms = [replace(GATEWAY, name=str(api), api=api, model=f"for {api}") for api in (Api.EMBEDDINGS, Api.MODELS)]
        measured = run(bench, (DIRECT, *arms, replace(arms[0], name="again", model="other")), plan=RoundsPlan(1, 2, 2))
        settled = [(job.api, job.targets[0].model) for job in bench.generator.jobs[:2]]
        assert settled == [(Api.EMBEDDINGS, "for embeddings"), (Api.MODELS, "for models")]
        assert len(bench.generator.jobs) == 2 + len(measured.windows)

    def test_every_process_of_it_gets_as_many(self, bench: FakeBench) -> None:
        run(bench, (Arm("gateway", GatewaySpec(Release("1.106.2"), workers=2, instances=2)),))
        schedule = bench.settle_jobs[0].schedule
        assert isinstance(schedule, OpenLoop)
        assert schedule.offered_in_window == 4 * SETTLE_REQUESTS

    @pytest.mark.parametrize(("think_time_s", "window_s"), [(0.5, SETTLE_S), (9.0, 9.0)])
    def test_users_of_a_closed_loop_settle_it_for_a_time(
        self, bench: FakeBench, think_time_s: float, window_s: float
    ) -> None:
        run(bench, schedule=ClosedLoop(users=1, warm_up_s=1, window_s=10, think_time_s=think_time_s))
        schedule = bench.settle_jobs[0].schedule
        assert isinstance(schedule, ClosedLoop)
        assert (schedule.users, schedule.window_s, schedule.warm_up_s) == (1, window_s, 0)

    def test_users_who_come_one_by_one_are_all_there_from_the_start_while_it_settles(self, bench: FakeBench) -> None:
        published = ClosedLoop(4, warm_up_s=1, window_s=20, think_time_s=0.5, think_time_max_s=9, spawn_per_s=8)
        run(bench, schedule=published)
        schedule = bench.settle_jobs[0].schedule
        assert schedule == ClosedLoop(4, warm_up_s=0, window_s=9, think_time_s=0.5, think_time_max_s=9)


class TestLoads:
    def test_payload_cores_and_streams_are_passed_on(self, bench: FakeBench) -> None:
        run(bench, payload_bytes=123, stream=True)
        assert {(job.payload_bytes, job.cpus, job.stream) for job in bench.generator.jobs} == {(123, (0,), True)}
        plain = FakeBench()
        run(plain)
        assert {job.stream for job in plain.generator.jobs} == {False}

    def test_direct_windows_can_be_shorter(self, bench: FakeBench) -> None:
        shorter = replace(STEADY, window_s=1)
        measurement = run(bench, direct_schedule=shorter)
        for window, job in zip(measurement.windows, bench.window_jobs, strict=True):
            assert job.schedule == (shorter if window.arm == "direct" else STEADY)
        assert (measurement.schedule, measurement.direct_schedule) == (STEADY, shorter)
        assert run(FakeBench()).direct_schedule is None

    def test_the_measurement_says_how_it_was_made(self, bench: FakeBench) -> None:
        measurement = run(bench)
        assert measurement.scenario == "overhead"
        assert measurement.arms == (DIRECT, GATEWAY)
        assert measurement.schedule == STEADY
        assert (measurement.mock_delay_ms, measurement.looks, measurement.rounds_planned_max) == (20.0, 3, 10)


class TestEnd:
    def test_it_ends_at_the_first_look_that_is_clear(self, bench: FakeBench) -> None:
        looks: list[int] = []

        def until(measurement: Measurement) -> bool:
            looks.append(len(measurement.rounds))
            return len(looks) == 2

        measurement = run(bench, until=until)
        assert looks == [6, 8]  # two generations of per_generation=3 rounds, then of one more
        assert measurement.stopped == "every limit was decided"

    def test_it_ends_when_the_time_is_up_but_not_before_the_first_look(self, bench: FakeBench) -> None:
        block_s = 2 * 2 * (STEADY.warm_up_s + STEADY.window_s + WINDOW_EXTRA_S)
        for time_left_s, rounds in [(block_s - 0.1, 6), (block_s + 0.1, 10)]:
            measurement = run(FakeBench(), time_left_s=lambda left_s=time_left_s: left_s)
            assert len(measurement.rounds) == rounds
            assert measurement.stopped == ("the time is used up" if rounds == 6 else "the most rounds are done")

    def test_a_closed_loop_is_planned_by_its_times_too(self, bench: FakeBench) -> None:
        closed = ClosedLoop(users=4, warm_up_s=2, window_s=4)
        assert len(run(bench, schedule=closed, time_left_s=lambda: 1.0).rounds) == 6

    def test_it_ends_after_the_most_rounds(self, bench: FakeBench) -> None:
        assert run(bench).stopped == "the most rounds are done"

    def test_everything_measured_so_far_is_told_after_every_window(self, bench: FakeBench) -> None:
        told: list[int] = []
        run(bench, on_window=lambda measurement: told.append(len(measurement.windows)))
        assert told == list(range(1, 21))

    def test_progress_is_told_before_every_window(self, bench: FakeBench) -> None:
        told: list[Progress] = []
        run(bench, on_progress=told.append)
        assert told[0].text == "starting 2 x litellm 1.106.2"
        assert [progress.done for progress in told[1:]] == list(range(20))
        assert (told[1].planned, told[-1].planned) == (12, 20)
        assert told[1].left_s == pytest.approx(3 * 2 * 2 * (6 + WINDOW_EXTRA_S))
        assert {progress.text.split(",")[0] for progress in told[1:]} == {"direct", "gateway"}


def looked_after(plan: RoundsPlan) -> dict[int, int]:
    """Which look comes after how many rounds."""
    looks = {rounds: plan.look_after(rounds) for rounds in range(plan.per_generation_max + 1)}
    return {rounds: look for rounds, look in looks.items() if look is not None}


class TestLooks:
    @pytest.mark.parametrize(
        ("plan", "looks"),
        [
            (RoundsPlan(2, 3, 5), {3: 1, 4: 2, 5: 3}),
            (RoundsPlan(2, 3, 3), {3: 1}),
            (RoundsPlan(2, 4, 12, look_every=4), {4: 1, 8: 2, 12: 3}),
            (RoundsPlan(2, 2, 7, look_every=3), {2: 1, 5: 2, 7: 3}),
            (RoundsPlan(2, 2, 3, look_every=9), {2: 1, 3: 2}),
        ],
        ids=["every round", "one", "even", "the last one early", "only at the end"],
    )
    def test_a_plan_says_how_many_there_are_and_after_which_rounds(
        self, plan: RoundsPlan, looks: dict[int, int]
    ) -> None:
        assert looked_after(plan) == looks
        assert plan.looks == len(looks)

    def test_a_measurement_knows_which_look_it_is_at(self, bench: FakeBench) -> None:
        seen: list[tuple[int, int, int]] = []

        def until(measurement: Measurement) -> bool:
            seen.append((len(measurement.rounds), measurement.look, measurement.looks))
            return False

        measurement = run(bench, plan=RoundsPlan(2, 2, 7, look_every=3), until=until)
        assert seen == [(4, 1, 3), (10, 2, 3), (14, 3, 3)]
        assert (measurement.look, measurement.looks) == (3, 3)

    @pytest.mark.parametrize("clear_at", [1, 2])
    def test_ended_by_a_clear_answer_it_stays_at_that_look(self, bench: FakeBench, clear_at: int) -> None:
        plan = RoundsPlan(2, 2, 6, look_every=2)
        measurement = run(bench, plan=plan, until=lambda measured: measured.look == clear_at)
        assert (measurement.look, len(measurement.rounds)) == (clear_at, 4 * clear_at)
        assert measurement.stopped == "every limit was decided"

    def test_time_that_runs_out_makes_it_the_last_look_which_may_spend_all_that_is_left(self, bench: FakeBench) -> None:
        left_s = iter([1e9, 1e9, 1.0])
        measurement = run(bench, plan=RoundsPlan(2, 2, 12, look_every=4), time_left_s=lambda: next(left_s))
        assert len(measurement.rounds) == 2 * 4
        assert (measurement.look, measurement.looks) == (4, 4)
        assert measurement.stopped == "the time is used up"


COMPARED: Final = (DIRECT, OLD, NEW)


class TestComparing:
    def test_both_arms_have_processes_of_their_own_even_of_one_release(self, bench: FakeBench) -> None:
        assert OLD.gateway is not None
        same = replace(NEW, gateway=replace(OLD.gateway, apart="candidate"))
        run(bench, (DIRECT, OLD, same))
        assert [spec.apart for spec, _ in bench.started] == ["baseline", "candidate"] * 2

    def test_one_direct_window_a_block_is_enough(self, bench: FakeBench) -> None:
        plan = RoundsPlan(generations=2, per_generation=10, per_generation_max=10, one_direct=True)
        measurement = run(bench, COMPARED, plan=plan)
        direct = [window for window in measurement.windows if window.arm == "direct"]
        assert [window.round for window in direct] == list(range(10))
        assert len({window.generation for window in direct}) > 1, "in a generation that is drawn"
        assert len({window.position for window in direct}) > 1, "at a place that is drawn"
        for arm in ("baseline", "candidate"):
            assert len(measurement.of_arm(arm)) == 20

    def test_the_time_of_a_block_is_that_of_its_windows(self, bench: FakeBench) -> None:
        """Two generations of both arms, and one direct window."""
        block_s = 4 * (STEADY.warm_up_s + STEADY.window_s + WINDOW_EXTRA_S) + (2 + 1 + WINDOW_EXTRA_S)
        plan = RoundsPlan(2, 1, 2, one_direct=True)
        for left_s, rounds in ((block_s - 0.1, 2), (block_s + 0.1, 4)):
            measurement = run(
                FakeBench(),
                COMPARED,
                plan=plan,
                direct_schedule=replace(STEADY, window_s=1),
                time_left_s=lambda left_s=left_s: left_s,
            )
            assert len(measurement.rounds) == rounds

    def test_arms_that_differ_in_what_nobody_asked_for_are_not_measured(self, bench: FakeBench) -> None:
        bench.unasked = ("Python is 3.11 in baseline, 3.12 in candidate",)
        measurement = run(bench, COMPARED)
        assert (measurement.unasked, measurement.windows) == (bench.unasked, ())
        assert measurement.stopped == "nothing was measured"
        assert bench.generator.jobs == []
        assert bench.closed == 1

    def test_only_a_baseline_and_a_candidate_are_held_against_each_other(self, bench: FakeBench) -> None:
        bench.unasked = ("Python differs",)
        assert run(bench, (DIRECT, GATEWAY, OTHER)).unasked == ()
        assert run(FakeBench(), COMPARED).unasked == ()

    def test_a_plan_says_how_long_users_settle_a_gateway(self, bench: FakeBench) -> None:
        users = ClosedLoop(users=2, warm_up_s=0, window_s=0.4)
        run(bench, COMPARED, users, plan=replace(PLAN, settle_s=0.6))
        assert {job.schedule.window_s for job in bench.settle_jobs} == {0.6}


class TestFitted:
    def test_a_plan_may_get_other_rounds_once_its_gateways_are_up_and_settled(self, bench: FakeBench) -> None:
        asked: list[tuple[RoundsPlan, int, int]] = []
        told: list[Progress] = []

        def fitted(plan: RoundsPlan) -> RoundsPlan:
            asked.append((plan, len(bench.started), len(bench.generator.jobs)))
            return replace(plan, per_generation=1, per_generation_max=4, look_every=3)

        measurement = run(bench, fitted=fitted, on_progress=told.append)
        assert asked == [(PLAN, 2, 2)]
        assert len(measurement.rounds) == 2 * 4
        assert (measurement.looks, measurement.rounds_planned_max) == (2, 8)
        assert [progress.planned for progress in told[1:5]] == [4] * 4
        assert told[-1].planned == 16


class TestDeath:
    def test_a_gateway_that_dies_under_its_load_has_the_last_word(self, bench: FakeBench) -> None:
        kept: list[Measurement] = []

        def during(number: int) -> None:
            if number == 6:
                for _, gateway in bench.started:
                    gateway.death = StackFailed("litellm-1 was killed")
                raise StackFailed("the target accepts no connection")

        bench.generator.during = during
        with pytest.raises(StackFailed, match=r"^litellm-1 was killed$"):
            run(bench, (GATEWAY,), on_window=kept.append)
        assert len(kept[-1].windows) == 3  # two jobs settled, three were measured
        assert bench.closed == 1

    def test_a_load_that_fails_beside_a_living_gateway_speaks_for_itself(self, bench: FakeBench) -> None:
        def during(number: int) -> None:
            raise StackFailed("the generator hangs")

        bench.generator.during = during
        with pytest.raises(StackFailed, match=r"^the generator hangs$"):
            run(bench)

    def test_a_gateway_that_died_after_its_last_reply_ends_the_measurement(self, bench: FakeBench) -> None:
        def during(number: int) -> None:
            if number == 3:
                for _, gateway in bench.started:
                    gateway.death = StackFailed("litellm-1 ended")

        bench.generator.during = during
        with pytest.raises(StackFailed, match="litellm-1 ended"):
            run(bench, (GATEWAY,))

    def test_a_mock_that_died_ends_the_measurement_before_its_next_window(self, bench: FakeBench) -> None:
        bench.mock_death = StackFailed("mock ended")
        with pytest.raises(StackFailed, match="mock ended"):
            run(bench, (DIRECT,))
        assert bench.generator.jobs == []


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((0, 1, 1), "generations=0 and per_generation=1 must be at least 1"),
        ((1, 0, 1), "generations=1 and per_generation=0 must be at least 1"),
        ((1, 3, 2), "per_generation_max=2 < per_generation=3"),
    ],
)
def test_a_plan_without_rounds_is_refused(numbers: tuple[int, int, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RoundsPlan(*numbers)


def test_a_plan_that_never_looks_again_is_refused() -> None:
    with pytest.raises(ValueError, match="look_every=0 must be at least 1"):
        RoundsPlan(1, 1, 2, look_every=0)


class TestACallback:
    """What it logs belongs to the window whose requests it was for."""

    LOGGING: Final = Arm("candidate", GatewaySpec(Release("1.106.2"), callback="langsmith"))

    def test_records_are_counted_for_each_window(self, bench: FakeBench) -> None:
        measurement = run(bench, (self.LOGGING, OTHER))
        ((_, gateway),) = [one for one in bench.started if one[0].callback][:1]
        assert gateway.log_ledger is not None
        assert gateway.log_ledger.calls[:4] == ["open", "close 200", "open", "close 300"]
        assert {window.sink for window in measurement.windows if window.arm == "candidate"} == {
            SinkUse(300, 299, 299, 0.5)
        }
        assert {window.sink for window in measurement.windows if window.arm == "other"} == {None}

    def test_a_window_that_spans_less_than_two_flushes_is_refused(self, bench: FakeBench) -> None:
        with pytest.raises(
            BadInput, match=r"scenario overhead: window_s=1.9 must be at least 2: two times of writing, at most 1 s"
        ):
            run(bench, (self.LOGGING, OTHER), replace(STEADY, window_s=1.9))
        assert bench.started == []

    def test_what_it_costs_to_write_them_is_what_the_window_costs(self, bench: FakeBench) -> None:
        burnt_s = 0.05

        def burn() -> None:
            enough_s = time.process_time() + burnt_s
            while time.process_time() < enough_s:
                pass

        def during(number: int) -> None:
            for _, gateway in bench.started:
                if gateway.log_ledger is not None:
                    gateway.log_ledger.during = burn

        bench.generator.during = during
        for window in run(bench, (self.LOGGING, OTHER), plan=RoundsPlan(1, 2, 2)).windows:
            assert window.gateway is not None
            assert (window.gateway.cpu_s >= burnt_s) == (window.arm == "candidate")

    def test_how_long_it_writes_after_a_window_is_part_of_a_block(self, bench: FakeBench) -> None:
        left: list[float] = []
        slow = replace(PLAN, drain_s=100.0)
        run(bench, (self.LOGGING,), plan=slow, on_progress=lambda progress: left.append(progress.left_s))
        quick: list[float] = []
        run(FakeBench(), (self.LOGGING,), plan=PLAN, on_progress=lambda progress: quick.append(progress.left_s))
        assert left[1] - quick[1] == pytest.approx(PLAN.per_generation * PLAN.generations * 100.0)


def test_a_load_that_is_shown_is_one_window_of_every_gateway_before_all_others(bench: FakeBench) -> None:
    thinking = ClosedLoop(users=30, warm_up_s=1, window_s=8, think_time_s=0.75)
    measurement = run(bench, (DIRECT, GATEWAY, OTHER), shown_schedule=thinking)
    assert [window.arm for window in measurement.shown] == ["gateway", "other"]
    assert measurement.shown_schedule == thinking
    assert [job.schedule == thinking for job in bench.window_jobs][:3] == [True, True, False]
    assert len(measurement.windows) == len(bench.window_jobs) - 2
    assert run(FakeBench()).shown == ()
