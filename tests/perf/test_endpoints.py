"""What does the gateway add to the endpoints beside chat completions, and does it say so itself?

Guards  work that only one endpoint's handler does, an endpoint that is translated to another and back, replies that
        have lost the header x-litellm-overhead-duration-ms, on which dashboards rest
Limits  thresholds.yaml: scenarios.endpoints
Costs   about 5 minutes: 2 gateways side by side, at least 4 rounds in each; a round is, for each endpoint, one window
        through the gateway and one directly to the mock
Run     pytest tests/perf --profile endpoints --scenarios endpoints
"""

import pytest

from perfgate.experiment.measurement import Measurement
from perfgate.experiment.metrics import API_ARMS
from perfgate.load.api import Api
from perfgate.plugin import Limits, Rounds, Stack

pytestmark = pytest.mark.scenario("endpoints")


@pytest.fixture(scope="module")
def measured(stack: Stack, rounds: Rounds) -> Measurement:
    return rounds.run([arm for api in API_ARMS for arm in stack.asking(api)])


@pytest.mark.parametrize("api", API_ARMS)
def test_requests_succeed(measured: Measurement, limits: Limits, api: Api) -> None:
    limits.check(f"{api}_error_ratio", measured)


@pytest.mark.parametrize("percentile", [50, 95])
@pytest.mark.parametrize("api", API_ARMS)
def test_overhead_stays_under_its_limit(measured: Measurement, limits: Limits, api: Api, percentile: int) -> None:
    limits.check(f"{api}_overhead_p{percentile}_ms", measured)


@pytest.mark.parametrize("api", [Api.EMBEDDINGS, Api.RESPONSES, Api.MESSAGES])  # a list of models calls no model
def test_replies_say_what_the_gateway_added(measured: Measurement, limits: Limits, api: Api) -> None:
    limits.check(f"{api}_header_missing_ratio", measured)
