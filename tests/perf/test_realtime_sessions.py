"""How many realtime sessions can the gateway open, and what does each cost?

Guards  work added to every session: its handshake, authentication, connecting to the endpoint, logging it at its end
Limits  thresholds.yaml: scenarios.realtime_sessions
Costs   about 2 minutes: 2 gateways side by side, at least 4 rounds in each; 8 users who open a session, take one turn
        in it, close it and open the next
Run     pytest tests/perf --profile endpoints --scenarios realtime_sessions
"""

import pytest

from perfgate.experiment.measurement import Measurement
from perfgate.load.api import Api
from perfgate.plugin import Limits, Rounds, Stack

pytestmark = pytest.mark.scenario("realtime_sessions")


@pytest.fixture(scope="module")
def measured(stack: Stack, rounds: Rounds) -> Measurement:
    return rounds.run(stack.asking(Api.REALTIME))


def test_sessions_succeed(measured: Measurement, limits: Limits) -> None:
    limits.check("error_ratio", measured)


def test_enough_sessions_are_opened(measured: Measurement, limits: Limits) -> None:
    limits.check("opened_sessions_per_s", measured)


def test_cpu_of_a_session_stays_under_its_limit(measured: Measurement, limits: Limits) -> None:
    limits.check("cpu_per_request_ms", measured)
