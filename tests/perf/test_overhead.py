"""How much time does the gateway add to a request, at a steady load that one worker carries easily?

Guards  work added to every request (a middleware, a callback, a lookup): p50 moves; a callback that now and then waits
        for something: p50 hardly moves, p95 and p99 do
Limits  thresholds.yaml: scenarios.overhead
Costs   about 90 s: 2 gateways side by side, at least 4 rounds in each, a round is one window through the gateway and
        one directly to the mock
Run     pytest tests/perf --scenarios overhead
"""

import pytest

from perfgate.experiment.measurement import Measurement
from perfgate.plugin import Limits, Rounds, Stack

pytestmark = pytest.mark.scenario("overhead")


@pytest.fixture(scope="module")
def measured(stack: Stack, rounds: Rounds) -> Measurement:
    return rounds.run(stack.arms("direct", "gateway"))


def test_requests_succeed(measured: Measurement, limits: Limits) -> None:
    limits.check("error_ratio", measured)


def test_replies_come_by_the_end_of_the_tail(measured: Measurement, limits: Limits) -> None:
    limits.check("completed_ratio", measured)


@pytest.mark.parametrize("percentile", [50, 95, 99])
def test_overhead_stays_under_its_limit(measured: Measurement, limits: Limits, percentile: int) -> None:
    limits.check(f"overhead_p{percentile}_ms", measured)
