"""Which rate of requests can the gateway hold, and what happens to latency on the way there?

Guards  a release that still looks well at a steady load and breaks down at a lower rate than the one before it did
Limits  thresholds.yaml: scenarios.capacity; its objective says what a rate has to keep to
Costs   about 7 minutes: four gateways, each of which is searched by itself, and generator and mock without one, all
        interleaved; a capacity within 20 % of theirs is INVALID
Run     pytest tests/perf --profile published --scenarios capacity
"""

import pytest

from perfgate.experiment.measurement import Measurement
from perfgate.plugin import CapacitySearch, Limits

pytestmark = pytest.mark.scenario("capacity")


@pytest.fixture(scope="module")
def measured(capacity_search: CapacitySearch) -> Measurement:
    return capacity_search.run()


def test_the_rate_that_is_held_is_high_enough(measured: Measurement, limits: Limits) -> None:
    limits.check("capacity_rps", measured)
