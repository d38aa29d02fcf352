"""How do throughput and latency go with the number of instances and of workers, and how many workers do best here?

Guards  instances or workers that stand in each other's way, errors that come with a second process, a number of workers
        above that of cores which costs more than it brings; LiteLLM's published law that four instances have half the
        median of two
Limits  thresholds.yaml: scenarios.instances; the law is shown and INVALID where four instances have no core each
Costs   about 5 minutes: per generation 1, 2 and 4 instances and 1 to as many workers as there are cores, interleaved
Run     pytest tests/perf --profile published --scenarios instances
"""

import pytest

from perfgate.experiment.measurement import Measurement
from perfgate.experiment.sizes import Size
from perfgate.plugin import Limits, Rounds, Stack

pytestmark = pytest.mark.scenario("instances")


@pytest.fixture(scope="module")
def measured(stack: Stack, rounds: Rounds, scenario: str) -> Measurement:
    return rounds.run([*stack.arms("direct"), *stack.by_size(scenario)])


def test_requests_succeed_with_every_size(measured: Measurement, limits: Limits) -> None:
    limits.check("size_error_ratio", measured)


def test_replies_come_by_the_end_of_the_tail_with_every_size(measured: Measurement, limits: Limits) -> None:
    limits.check("size_completed_ratio", measured)


def test_more_workers_than_cores_lose_little(measured: Measurement, limits: Limits) -> None:
    limits.check("workers_beyond_cores_loss_ratio", measured)


def test_four_instances_have_half_the_median_of_two(measured: Measurement, limits: Limits, stack: Stack) -> None:
    four = Size(instances=4, workers=stack.run.settings.gateway.workers)
    limits.check("instances_2_to_4_p50_ratio", measured, lacks=four.lacks_cores(stack.gateway_cores))
