"""Has a table as many rounds as its time allows, and is what it takes planned as it is run?

Nothing is started: bench and generator are fakes.
"""

from dataclasses import replace
from typing import Final, cast

import pytest

from perfgate.experiment.arms import DATABASE_FLUSH_MAX_S
from perfgate.experiment.bench import StackBench
from perfgate.experiment.rounds import SETTLE_S, WINDOW_EXTRA_S
from perfgate.experiment.start_plan import MIGRATE_S, START_S, START_WITH_DATABASE_S
from perfgate.reproduce import running
from perfgate.reproduce.instances import INSTANCES_TABLE
from perfgate.reproduce.logging_callbacks import GCS_TABLE, LANGSMITH_TABLE
from perfgate.reproduce.plan import MINUTES
from perfgate.reproduce.portkey import PORTKEY_TABLE
from perfgate.reproduce.realtime import REALTIME_TABLE
from perfgate.reproduce.redis import REDIS_TABLE
from perfgate.reproduce.reproduced import Reproduced
from perfgate.reproduce.running import BENCH_S, ROUNDS
from perfgate.reproduce.tables import TABLES
from tests.harness.reproduce.test_http_table import Answering, differing, reproduction

ALL: Final = (INSTANCES_TABLE, REALTIME_TABLE, PORTKEY_TABLE, GCS_TABLE, LANGSMITH_TABLE, REDIS_TABLE)


def run_within(left_s: float) -> Reproduced:
    asked = replace(reproduction(), time_left_s=lambda: left_s)
    return INSTANCES_TABLE.run(cast(StackBench, Answering()), asked)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rounds_that_fit", "rounds"),
    [(100.0, ROUNDS), (ROUNDS + 0.1, ROUNDS), (ROUNDS - 0.1, ROUNDS - 1), (0.0, 2), (-5.0, 2)],
)
def test_where_time_is_short_there_are_fewer_rounds_but_two(rounds_that_fit: float, rounds: int) -> None:
    found = run_within(rounds_that_fit * INSTANCES_TABLE.load(reproduction()).round_s)
    assert found.measurement is not None
    assert len(found.measurement.windows) == 3 * rounds
    assert differing(found)["length"].here.startswith(f"{rounds} windows of 12 s")
    # Nobody has looked before the end: intervals are of 95 %.
    assert (found.measurement.look, found.measurement.looks) == (1, 1)


def test_a_table_is_planned_with_all_its_rounds() -> None:
    load = INSTANCES_TABLE.load(reproduction())
    assert INSTANCES_TABLE.planned_s(reproduction()) == pytest.approx(load.starting_s + ROUNDS * load.round_s)
    windows_s = sum(
        schedule.warm_up_s + schedule.window_s
        for schedule in (running.DIRECT, INSTANCES_TABLE.schedule(reproduction().scale), load.schedule)
    )
    assert windows_s < load.round_s < 1.5 * windows_s


def test_starts_are_planned_by_their_processes_and_databases() -> None:
    """Six processes on two databases, against two without any."""
    instances, redis = (table.load(reproduction()) for table in (INSTANCES_TABLE, REDIS_TABLE))
    planned_s = BENCH_S + 2 * MIGRATE_S + 6 * START_WITH_DATABASE_S
    settling_s = SETTLE_S + WINDOW_EXTRA_S
    assert instances.starting_s == pytest.approx(planned_s + 2 * (settling_s + DATABASE_FLUSH_MAX_S / 2))
    assert redis.starting_s == pytest.approx(BENCH_S + 2 * START_S + 2 * settling_s)


def test_all_tables_together_are_planned_within_25_minutes_on_two_cores() -> None:
    """With room for starts that take half as long again, as on a slower host."""
    assert [table.name for table in ALL] == list(TABLES)
    planned_s = sum(table.planned_s(reproduction()) for table in ALL)
    late_s = 0.5 * sum(table.load(reproduction()).starting_s for table in ALL)
    assert planned_s + late_s < MINUTES * 60


@pytest.mark.parametrize("name", list(TABLES))
def test_another_load_has_other_words(name: str) -> None:
    table = TABLES[name]
    assert table.load_words(reproduction(1)) == table.load_words(reproduction(1))
    assert table.load_words(reproduction(1)) != table.load_words(reproduction(8))
    assert table.load_words(reproduction(1)) != table.load_words(reproduction(1, litellm="1.79.3"))
