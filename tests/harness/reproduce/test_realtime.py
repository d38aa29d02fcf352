"""Are 200 sessions held where the page has fewer for the host's cores, with as many turns a second for each core?

Nothing is started: bench and generator are fakes.
"""

from dataclasses import replace
from typing import Any, cast

import pytest

from perfgate.experiment.bench import StackBench
from perfgate.experiment.gateway_figures import LITELLM
from perfgate.load.api import Api
from perfgate.load.schedule import ClosedLoop
from perfgate.measure.histogram import Histogram
from perfgate.reproduce.published import SETTINGS
from perfgate.reproduce.realtime import OPENED_PER_CORE_S, PAYLOAD_BYTES, REALTIME_TABLE
from perfgate.reproduce.reproduced import Difference, Reproduced
from perfgate.reproduce.running import ROUNDS
from perfgate.reproduce.scale import PUBLISHED_CORES, scale_of
from perfgate.stack.litellm import REALTIME_MODEL
from tests.harness.experiment.test_rounds import FakeBench
from tests.harness.reproduce.test_http_table import differing, reproduction
from tests.harness.synthetic import load_result


class Holding(FakeBench):
    """Every window holds all sessions but one, and loses that one."""

    def __init__(self) -> None:
        super().__init__()
        run = self.generator.run

        def answer(job: Any, **rest: Any) -> Any:
            run(job, **rest)
            return replace(
                load_result(10.0, requests=900, first_token_ms=5.0),
                session_opening=Histogram.of_us([20_000] * job.schedule.users),
                sessions_held_min=job.schedule.users - 1,
                sessions_lost=1,
            )

        self.generator.run = answer  # type: ignore[method-assign]


def run(cores: int = 1) -> tuple[Reproduced, FakeBench]:
    bench = Holding()
    return REALTIME_TABLE.run(cast(StackBench, bench), reproduction(cores)), bench


@pytest.mark.parametrize("cores", [1, 2, 3, 4, 8, PUBLISHED_CORES])
def test_each_core_has_as_many_turns_a_second_as_on_the_page(cores: int) -> None:
    load = REALTIME_TABLE.schedule(scale_of("auto", cores))
    assert load.users >= 200
    offered_rps, published_rps = load.users / load.mean_think_time_s, SETTINGS.users / SETTINGS.mean_think_time_s
    assert offered_rps / cores == pytest.approx(published_rps / PUBLISHED_CORES, rel=0.01)


@pytest.mark.parametrize("cores", [1, 4, PUBLISHED_CORES])
def test_all_sessions_are_open_and_have_taken_a_turn_before_the_window(cores: int) -> None:
    load = REALTIME_TABLE.schedule(scale_of("auto", cores))
    assert load.spawn_per_s is not None
    assert load.spawn_per_s <= OPENED_PER_CORE_S * cores
    assert load.users / load.spawn_per_s + load.longest_think_time_s <= load.warm_up_s


def test_where_the_host_has_the_cores_users_are_the_page_s() -> None:
    load = REALTIME_TABLE.schedule(scale_of("full", PUBLISHED_CORES))
    assert (load.users, load.think_time_s, load.think_time_max_s) == (1_000, 0.5, 1.0)


@pytest.mark.slow
class TestRun:
    def test_sessions_are_asked_for_with_a_gateway_and_without_under_one_load(self) -> None:
        found, bench = run()
        assert len(bench.window_jobs) == 2 * ROUNDS
        assert {(job.api, job.payload_bytes, job.turns_per_session) for job in bench.window_jobs} == {
            (Api.REALTIME, PAYLOAD_BYTES, 0)
        }
        assert {target.model for job in bench.window_jobs for target in job.targets} == {REALTIME_MODEL}
        (schedule,) = {job.schedule for job in bench.window_jobs}
        assert isinstance(schedule, ClosedLoop)
        assert schedule.users == 200
        ((spec, _),) = bench.started
        assert (spec.every_api, spec.database, spec.instances) == (True, False, 1)
        assert found.table == "realtime"

    def test_it_is_set_beside_the_page_with_what_the_gateway_adds(self) -> None:
        found, _ = run()
        rows = {row.figure: row for row in found.rows}
        assert (rows["median_ms"].published, rows["throughput_rps"].published) == (59, 1207)
        assert rows["overhead_p50_ms"].measured == pytest.approx(0, abs=0.2)
        assert rows["opening_p50_ms"].measured == pytest.approx(20, rel=0.001)
        assert rows["held_sessions"].measured == 199
        assert [law.arm for law in found.law] == [LITELLM]
        assert found.caveats[0] == (
            "of 200 sessions 199 were held at any time of every window; of the 600 of all windows 3 did not end in "
            "good order"
        )

    def test_settings_that_are_not_the_page_s_are_named(self) -> None:
        found = differing(run()[0])
        assert found["users"] == Difference("users", "1,000", "200")
        assert found["think time"].here == "1.61 to 3.23 s, evenly spread"
        assert found["their start"].here == "25 a second, all are there after 8 s"
        assert found["database"] == Difference("database", "PostgreSQL", "none")
        assert found["a request"].page == "not said"
        assert found["instances of a gateway"].page == "4"
