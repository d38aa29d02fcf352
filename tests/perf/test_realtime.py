"""Can the gateway open realtime sessions, hold hundreds of them, and pass their events on in time?

Guards  work added to every event of a session, a connect to the endpoint that blocks all others, sessions that are
        dropped or grow slow when there are many
Limits  thresholds.yaml: scenarios.realtime
Costs   about 5 minutes: 2 gateways side by side, 3 rounds in each; a round is one window through the gateway and one
        directly to the mock, in which 200 sessions are opened, talked to and closed
Run     pytest tests/perf --profile endpoints --scenarios realtime
"""

import pytest

from perfgate.experiment.measurement import Measurement
from perfgate.load.api import Api
from perfgate.plugin import Limits, Rounds, Stack

pytestmark = pytest.mark.scenario("realtime")


@pytest.fixture(scope="module")
def measured(stack: Stack, rounds: Rounds) -> Measurement:
    return rounds.run(stack.asking(Api.REALTIME))


def test_turns_succeed(measured: Measurement, limits: Limits) -> None:
    limits.check("error_ratio", measured)


def test_responses_end_by_the_end_of_the_tail(measured: Measurement, limits: Limits) -> None:
    limits.check("completed_ratio", measured)


def test_every_session_is_held(measured: Measurement, limits: Limits) -> None:
    limits.check("held_sessions", measured)


@pytest.mark.parametrize("percentile", [50, 95])
def test_sessions_open_within_their_limit(measured: Measurement, limits: Limits, percentile: int) -> None:
    limits.check(f"session_opening_overhead_p{percentile}_ms", measured)


@pytest.mark.parametrize("percentile", [50, 95])
def test_the_first_delta_comes_within_its_limit(measured: Measurement, limits: Limits, percentile: int) -> None:
    limits.check(f"first_token_overhead_p{percentile}_ms", measured)


@pytest.mark.parametrize("percentile", [50, 95])
def test_the_response_is_done_within_its_limit(measured: Measurement, limits: Limits, percentile: int) -> None:
    limits.check(f"overhead_p{percentile}_ms", measured)
