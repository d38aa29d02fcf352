"""How does LiteLLM fare beside Portkey's gateway, under the load of the published comparison?

Guards  a release that falls behind: more latency, CPU or memory, or fewer requests a second, as a multiple of what
        another gateway needs for the same requests on the same host in the same minutes
Limits  thresholds.yaml: scenarios.gateways; the ratios are LiteLLM's to Portkey's
Costs   about 8 minutes: per generation LiteLLM with a database, LiteLLM without, and Portkey, in at least 3 rounds
Run     pytest tests/perf --profile published --scenarios gateways

The published comparison has 1,000 users who think for 0.5 to 1 s (here 0.75 s), 4 instances of each, and a database
behind LiteLLM alone. Here is LiteLLM with one and without, so that like is compared with like; and the users are as
many as one process on the reference host can serve, times the processes asked for (`--instances 4 --workers 4`).
"""

import pytest

from perfgate.experiment.gateway_figures import LITELLM, LITELLM_WITH_DATABASE, PORTKEY
from perfgate.experiment.measurement import Measurement
from perfgate.plugin import Limits, Rounds, Stack

pytestmark = pytest.mark.scenario("gateways")


@pytest.fixture(scope="module")
def measured(stack: Stack, rounds: Rounds) -> Measurement:
    (direct,) = stack.arms("direct")
    with_database = stack.arm(LITELLM_WITH_DATABASE, database=True)
    return rounds.run(
        [direct, with_database, stack.arm(LITELLM), stack.portkey(PORTKEY)],
        direct_window_s=3.0,
        users_times=stack.run.settings.gateway.processes,
    )


def test_requests_succeed(measured: Measurement, limits: Limits) -> None:
    limits.check("gateways_error_ratio", measured)


def test_replies_come_by_the_end_of_the_tail(measured: Measurement, limits: Limits) -> None:
    limits.check("gateways_completed_ratio", measured)


@pytest.mark.parametrize("arm", [LITELLM, LITELLM_WITH_DATABASE])
@pytest.mark.parametrize("figure", ["latency_p50", "latency_p95", "latency_p99", "throughput", "cpu", "rss"])
def test_litellm_does_not_fall_behind(measured: Measurement, limits: Limits, arm: str, figure: str) -> None:
    limits.check(f"{arm}_to_portkey_{figure}_ratio", measured)
