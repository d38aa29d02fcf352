"""Is the candidate slower than the baseline?

Guards  a release, a change or a configuration that costs CPU, time or memory on every request, even by a few percent
Limits  thresholds.yaml: scenarios.regression, by margins
Costs   at most the scenario's minutes: several generations of both, interleaved in short windows, until all is clear
Run     pytest tests/perf --baseline 1.79.3 --candidate 1.102.4
"""

import pytest

from perfgate.experiment.measurement import Measurement
from perfgate.plugin import Limits, Rounds, Stack

pytestmark = pytest.mark.scenario("regression")


@pytest.fixture(scope="module")
def measured(stack: Stack, rounds: Rounds) -> Measurement:
    return rounds.run(stack.arms("direct", "baseline", "candidate"))


def test_cpu_of_a_request_has_not_grown(measured: Measurement, limits: Limits) -> None:
    limits.check("cpu_per_request_ms", measured)


def test_throughput_has_not_fallen(measured: Measurement, limits: Limits) -> None:
    limits.check("throughput_rps", measured)


@pytest.mark.parametrize("percentile", [50, 95, 99])
def test_overhead_has_not_grown(measured: Measurement, limits: Limits, percentile: int) -> None:
    limits.check(f"overhead_p{percentile}_ms", measured)


def test_memory_has_not_grown(measured: Measurement, limits: Limits) -> None:
    limits.check("rss_mib", measured)
