"""How long do the slowest requests take when clients come at random, as independent users do?

Guards  queues: Poisson arrivals bunch up, so that a gateway that is slow now and then makes many wait
Limits  thresholds.yaml: scenarios.latency
Costs   about 70 s: 2 gateways side by side, at least 5 rounds in each; the direct windows are short, they only show
        that generator and mock are fit
Run     pytest tests/perf --scenarios latency
"""

import pytest

from perfgate.experiment.measurement import Measurement
from perfgate.plugin import Limits, Rounds, Stack

pytestmark = pytest.mark.scenario("latency")


@pytest.fixture(scope="module")
def measured(stack: Stack, rounds: Rounds) -> Measurement:
    return rounds.run(stack.arms("direct", "gateway"), direct_window_s=1.0)


def test_requests_succeed(measured: Measurement, limits: Limits) -> None:
    limits.check("error_ratio", measured)


def test_replies_come_by_the_end_of_the_tail(measured: Measurement, limits: Limits) -> None:
    limits.check("completed_ratio", measured)


@pytest.mark.parametrize("percentile", [95, 99])
def test_latency_stays_under_its_limit(measured: Measurement, limits: Limits, percentile: int) -> None:
    limits.check(f"latency_p{percentile}_ms", measured)
