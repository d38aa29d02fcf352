"""How much CPU does a request cost the gateway, and does its memory keep growing?

Guards  a release that does more for every request (CPU is the cheapest and quietest figure), and a leak
Limits  thresholds.yaml: scenarios.resources
Costs   about 60 s: 2 gateways side by side, at least 4 rounds in each
Run     pytest tests/perf --scenarios resources
"""

import pytest

from perfgate.experiment.measurement import Measurement
from perfgate.plugin import Limits, Rounds, Stack

pytestmark = pytest.mark.scenario("resources")


@pytest.fixture(scope="module")
def measured(stack: Stack, rounds: Rounds) -> Measurement:
    return rounds.run(stack.arms("direct", "gateway"), direct_window_s=1.0)


def test_requests_succeed(measured: Measurement, limits: Limits) -> None:
    limits.check("error_ratio", measured)


def test_replies_come_by_the_end_of_the_tail(measured: Measurement, limits: Limits) -> None:
    limits.check("completed_ratio", measured)


def test_cpu_per_request_stays_under_its_limit(measured: Measurement, limits: Limits) -> None:
    limits.check("cpu_per_request_ms", measured)


def test_memory_does_not_keep_growing(measured: Measurement, limits: Limits) -> None:
    limits.check("rss_growth_mib_per_1000_requests", measured)
