"""What does PostgreSQL behind the gateway cost, and is every request written down?

Guards  virtual keys that are looked up for every request, spend that is written request by request, rows of the spend
        log that are missing or there twice, a key's spend that does not add up, pools that open too many connections
Limits  thresholds.yaml: scenarios.database
Costs   about 4 minutes: per generation one gateway with a database and one without, in at least 3 rounds; a window ends
        when everything is written
Run     pytest tests/perf --profile gate --scenarios database --prisma-engine native
"""

import pytest

from perfgate.experiment.measurement import Measurement
from perfgate.plugin import Limits, Rounds, Stack

pytestmark = pytest.mark.scenario("database")


@pytest.fixture(scope="module")
def measured(stack: Stack, rounds: Rounds) -> Measurement:
    (direct,) = stack.arms("direct")
    return rounds.run([direct, stack.arm("gateway", database=True), stack.arm("without")], direct_window_s=1.0)


def test_requests_succeed(measured: Measurement, limits: Limits) -> None:
    limits.check("error_ratio", measured)


def test_replies_come_by_the_end_of_the_tail(measured: Measurement, limits: Limits) -> None:
    limits.check("completed_ratio", measured)


def test_every_request_is_one_row_of_the_spend_log(measured: Measurement, limits: Limits) -> None:
    limits.check("spend_rows_missing_ratio", measured)


def test_the_spend_of_the_key_adds_up(measured: Measurement, limits: Limits) -> None:
    limits.check("key_spend_error_ratio", measured)


def test_pools_open_no_more_connections_than_they_may(measured: Measurement, limits: Limits) -> None:
    limits.check("connections_ratio", measured)


@pytest.mark.parametrize("percentile", [50, 95])
def test_latency_of_the_database_path_stays_under_its_limit(
    measured: Measurement, limits: Limits, percentile: int
) -> None:
    limits.check(f"added_p{percentile}_ms", measured)


def test_cpu_of_the_database_path_stays_under_its_limit(measured: Measurement, limits: Limits) -> None:
    limits.check("added_cpu_per_request_ms", measured)
