"""Is a table run with the page's users on its own gateways, and what differs from the page named?

Nothing is started: bench and generator are fakes.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, cast

import pytest

from perfgate.errors import StackFailed
from perfgate.experiment.bench import StackBench
from perfgate.experiment.gateway_figures import LITELLM, LITELLM_WITH_DATABASE, PORTKEY
from perfgate.load.schedule import ClosedLoop
from perfgate.reproduce.document import document
from perfgate.reproduce.http_table import WINDOW_S
from perfgate.reproduce.instances import INSTANCES_TABLE
from perfgate.reproduce.logging_callbacks import GCS_TABLE, LANGSMITH_TABLE
from perfgate.reproduce.portkey import PORTKEY_TABLE
from perfgate.reproduce.published import BY_HOST, BY_URL
from perfgate.reproduce.redis import REDIS_TABLE
from perfgate.reproduce.reproduced import Difference, Reproduced
from perfgate.reproduce.running import DIRECT, ROUNDS
from perfgate.reproduce.scale import scale_of
from perfgate.reproduce.table import Reproduction, Table
from perfgate.settings import settings_of
from tests.harness.experiment.test_rounds import FakeBench
from tests.harness.report.conftest import APPARATUS
from tests.harness.reproduce.conftest import measured, silent
from tests.harness.synthetic import load_result

TABLES_OF_HTTP: Final = (INSTANCES_TABLE, PORTKEY_TABLE, GCS_TABLE, LANGSMITH_TABLE, REDIS_TABLE)


class Answering(FakeBench):
    """Every window of a gateway has so many requests that succeed, but for so many first ones, which have none."""

    def __init__(self, failed: int = 0, silent_windows: int = 0) -> None:
        super().__init__()
        self.mock_delay_ms = 20.0
        run = self.generator.run
        silent_left = silent_windows

        def answer(job: Any, **rest: Any) -> Any:
            nonlocal silent_left
            run(job, **rest)
            # What settles a gateway has no warm-up, and what asks the mock alone is at a rate.
            if silent_left and isinstance(job.schedule, ClosedLoop) and job.schedule.warm_up_s:
                silent_left -= 1
                return load_result(10.0, requests=0)
            return load_result(10.0, requests=1_500, failed=failed)

        self.generator.run = answer  # type: ignore[method-assign]


def reproduction(cores: int = 1, **options: str) -> Reproduction:
    texts = {f"perfgate_{name}": text for name, text in {"litellm": "1.106.2", "seed": "7", **options}.items()}
    return Reproduction(settings_of(texts.get, {}), scale_of("auto", cores), cores, APPARATUS)


def run(table: Table, bench: FakeBench | None = None, cores: int = 1, **options: str) -> tuple[Reproduced, FakeBench]:
    bench = Answering() if bench is None else bench
    return table.run(cast(StackBench, bench), reproduction(cores, **options)), bench


def differing(found: Reproduced) -> dict[str, Difference]:
    return {difference.setting: difference for difference in found.differences}


@pytest.mark.slow
class TestRun:
    def test_the_page_s_users_are_scaled_and_all_arms_interleaved(self) -> None:
        found, bench = run(INSTANCES_TABLE)
        loads = [job.schedule for job in bench.window_jobs]
        users = [load for load in loads if isinstance(load, ClosedLoop)]
        (load,) = set(users)
        assert (load.users, load.spawn_per_s, load.window_s) == (62, 31, WINDOW_S)
        assert (load.think_time_s, load.think_time_max_s) == (0.5, 1.0)
        assert len(users) == 2 * ROUNDS
        assert loads.count(DIRECT) == ROUNDS
        assert [(spec.instances, spec.workers, spec.database) for spec, _ in bench.started] == [
            (2, 1, True),
            (4, 1, True),
        ]
        assert bench.closed == 1
        assert (found.table, found.seed, found.gateway) == ("instances", 7, "litellm 1.106.2")

    def test_it_is_set_beside_the_page_with_its_windows(self) -> None:
        found, _ = run(INSTANCES_TABLE)
        assert len(found.rows) == 30
        assert [ratio.arm for ratio in found.ratios] == ["4 instances"] * 5
        assert [law.arm for law in found.law] == ["2 instances", "4 instances"]
        assert found.failed == {"2 instances": 0, "4 instances": 0}
        assert found.measurement is not None
        assert len(found.measurement.windows) == 3 * ROUNDS

    def test_what_a_small_host_cannot_show_is_said(self) -> None:
        found, _ = run(INSTANCES_TABLE)
        (caveat,) = found.caveats
        assert "4 instances of 1 are 4 processes, and gateways have 1 core here" in caveat
        assert run(INSTANCES_TABLE, cores=4)[0].caveats == ()

    @pytest.mark.parametrize("table", [GCS_TABLE, LANGSMITH_TABLE], ids=["gcs", "langsmith"])
    def test_logging_is_held_against_the_same_gateway_without_it(self, table: Table) -> None:
        found, bench = run(table)
        basic, logging = (spec for spec, _ in bench.started)
        assert (basic.callback, logging.callback) == (None, table.callback)
        assert replace(logging, callback=None) == basic
        assert basic.database
        assert differing(found)["where records go"].page == "the real service"

    def test_redis_is_told_of_in_both_ways_at_a_load_that_can_show_it(self) -> None:
        found, bench = run(REDIS_TABLE, cores=2)
        assert [spec.redis for spec, _ in bench.started] == ["url", "host_port"]
        assert not any(spec.database for spec, _ in bench.started)
        users = [job.schedule for job in bench.window_jobs if isinstance(job.schedule, ClosedLoop)]
        assert {(load.users, load.think_time_s) for load in users} == {(16, 0.0)}
        assert found.law == ()
        assert differing(found)["their start"].here == "within the first second, spread evenly"
        assert {row.published for row in found.rows} == {None}
        assert any("about 80 requests/s fewer" in caveat for caveat in found.caveats)
        assert "none: users who think would set the throughput" in differing(found)["think time"].here

    def test_portkey_stands_beside_litellm_with_a_database_and_without(self) -> None:
        found, bench = run(PORTKEY_TABLE, cores=2)
        by_product = [(spec.product, spec.instances, spec.workers, spec.database) for spec, _ in bench.started]
        assert by_product == [("portkey", 2, 1, False), ("litellm", 2, 1, True), ("litellm", 2, 1, False)]
        assert [row.arm for row in found.rows if row.figure == "median_ms"] == [PORTKEY, LITELLM_WITH_DATABASE, LITELLM]
        assert {(ratio.arm, ratio.than) for ratio in found.ratios} == {
            (LITELLM_WITH_DATABASE, PORTKEY),
            (LITELLM, PORTKEY),
            (LITELLM_WITH_DATABASE, LITELLM),
        }
        requests = {row.arm: (row.published, row.measured) for row in found.rows if row.figure == "requests"}
        assert requests[PORTKEY] == (293_796, 1_500 * ROUNDS)
        assert requests[LITELLM] == (None, 1_500 * ROUNDS)
        assert any("portkey 979, litellm_with_database 1,041 a second" in caveat for caveat in found.caveats)
        assert len(found.law) == 3

    def test_settings_that_portkey_s_table_has_of_its_own_are_named(self) -> None:
        found = differing(run(PORTKEY_TABLE)[0])
        assert found["Portkey"] == Difference("Portkey", "v1.14.0", "1.15.2")
        assert found["LiteLLM"] == Difference("LiteLLM", "v1.79.1-stable", "litellm 1.106.2")
        assert found["instances of a gateway"] == Difference("instances of a gateway", "4", "1")
        assert found["length"].page == "5 minutes"

    def test_locust_sends_windows_without_a_gateway_as_users_too(self) -> None:
        """It knows no rates."""
        found, bench = run(INSTANCES_TABLE, load="locust", locust_workers="2")
        loads = [job.schedule for job in bench.window_jobs]
        assert all(isinstance(load, ClosedLoop) for load in loads)
        direct = [load for load in loads if load.window_s == DIRECT.window_s]
        assert len(direct) == ROUNDS
        for load in direct:
            assert isinstance(load, ClosedLoop)
            assert load.users / load.think_time_s == pytest.approx(DIRECT.offered_rps)
        assert "Locust's FastHttpUser, workers: 2 here" in differing(found)["load generator"].here

    def test_a_gateway_that_answers_nothing_is_no_row_of_a_table(self) -> None:
        with pytest.raises(StackFailed, match=r"the table instances cannot be made: .*4,500 http_500"):
            run(INSTANCES_TABLE, Answering(failed=1_500))

    @pytest.mark.parametrize("table", TABLES_OF_HTTP, ids=lambda table: table.name)
    def test_a_window_without_an_answer_is_told_of_and_the_table_is_made(self, table: Table) -> None:
        found, _ = run(table, Answering(silent_windows=1))
        (unanswered,) = found.unanswered
        assert (unanswered.windows, unanswered.of) == (1, ROUNDS)
        times = [row for row in found.rows if row.figure == "median_ms" and row.times == "requests"]
        assert {row.note for row in times if row.arm == unanswered.arm} == {f"of {ROUNDS - 1} of {ROUNDS} windows"}
        assert {row.note for row in times if row.arm != unanswered.arm} == {""}
        assert all(row.measured is not None for row in times)
        assert f"**No request of {unanswered.arm} was answered in 1 of {ROUNDS} windows; " in document([found])


@pytest.mark.slow
class TestDifferences:
    def test_every_setting_that_is_another_one_is_named(self) -> None:
        found = differing(run(INSTANCES_TABLE, prisma_engine="wasm")[0])
        assert found["users"] == Difference("users", "1,000", "62")
        assert found["workers of an instance"] == Difference("workers of an instance", "4", "1")
        assert found["machine of an instance"].here.startswith("all instances of all arms share 1 core of one host")
        assert found["their start"] == Difference(
            "their start", "500 a second, all are there after 2 s", "31 a second, all are there after 2 s"
        )
        assert found["its engine in LiteLLM (Prisma)"].here == "wasm"
        assert found["LiteLLM"].here == "litellm 1.106.2"
        assert found["length"].here == "3 windows of 12 s for each arm, interleaved in random order"
        assert not {"database", "Redis", "think time", "instances of a gateway"} & found.keys()

    def test_and_none_that_is_the_same(self) -> None:
        found = differing(run(INSTANCES_TABLE, cores=16)[0])
        same = {"users", "their start", "think time", "workers of an instance", "its engine in LiteLLM (Prisma)"}
        assert not same & found.keys()

    def test_a_table_without_a_database_says_so(self) -> None:
        found = differing(run(REDIS_TABLE)[0])
        assert found["database"] == Difference("database", "PostgreSQL", "none")
        assert found["Redis"].page == "not used"


def test_a_loss_of_nothing_is_not_a_share() -> None:
    """Told of by host, Redis' gateway answered nothing in one round."""
    once = silent(measured({BY_URL: 100.0, BY_HOST: 90.0}), BY_HOST, 1)
    _, found, _ = REDIS_TABLE.caveats(scale_of("auto", 1), once)
    assert found == (
        "measured: -36.7 of 73.3 requests/s; their share cannot be said: reproduce: in a round no request of arm "
        "'redis_host' was answered"
    )
    other = silent(measured({BY_URL: 100.0, BY_HOST: 90.0}), BY_URL, 1)
    assert REDIS_TABLE.caveats(scale_of("auto", 1), other)[1] == (
        "measured: +36.7 of 110.0 requests/s, a loss of 33.3 % (0.0 to 100.0)"
    )


def test_loads_are_those_of_the_tables() -> None:
    tables: Sequence[Any] = (INSTANCES_TABLE, PORTKEY_TABLE, GCS_TABLE, LANGSMITH_TABLE)
    assert {table.schedule(scale_of("auto", 16)).users for table in tables} == {1_000}
