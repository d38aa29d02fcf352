"""Is the time that gateways take to start counted by processes, databases and what they are asked first?"""

import pytest

from perfgate.experiment.arms import GatewaySpec
from perfgate.experiment.rounds import SETTLE_REQUESTS, SETTLE_S, WINDOW_EXTRA_S
from perfgate.experiment.start_plan import (
    MIGRATE_S,
    START_PORTKEY_S,
    START_S,
    START_WITH_DATABASE_S,
    GatewayStart,
    settling_s,
    starting_s,
)
from perfgate.load.schedule import ClosedLoop, OpenLoop
from perfgate.stack.sources import PortkeyRelease, Release

RELEASE = Release("1.106.2")


@pytest.mark.parametrize(
    ("spec", "planned_s"),
    [
        (GatewaySpec(RELEASE), START_S),
        (GatewaySpec(RELEASE, instances=4, workers=2), 8 * START_S),
        (GatewaySpec(RELEASE, database=True), MIGRATE_S + START_WITH_DATABASE_S),
        (GatewaySpec(RELEASE, instances=4, database=True), MIGRATE_S + 4 * START_WITH_DATABASE_S),
        (GatewaySpec(PortkeyRelease(), instances=2), 2 * START_PORTKEY_S),
    ],
    ids=str,
)
def test_every_process_takes_its_time_and_all_instances_of_a_gateway_share_a_database(
    spec: GatewaySpec, planned_s: float
) -> None:
    assert GatewayStart.of(spec).planned_s == planned_s


def test_what_is_started_at_once_takes_as_long_as_all_of_it() -> None:
    one, with_database = GatewayStart(), GatewayStart(2, has_database=True)
    assert starting_s([one, with_database, one]) == 2 * START_S + MIGRATE_S + 2 * START_WITH_DATABASE_S
    assert starting_s([]) == 0


def test_an_open_loop_settles_a_gateway_by_its_requests_and_a_closed_one_by_time() -> None:
    four, four_of_many = GatewayStart(4), GatewayStart(4, endpoints=3)
    rate = OpenLoop(offered_rps=50, warm_up_s=1, window_s=4)
    each_s = 4 * SETTLE_REQUESTS / 50 + WINDOW_EXTRA_S
    assert settling_s([four], rate, SETTLE_S) == pytest.approx(each_s)
    assert settling_s([four, four_of_many], rate, SETTLE_S) == pytest.approx((1 + 3) * each_s)
    users = ClosedLoop(users=30, warm_up_s=4, window_s=12, think_time_s=0.5, think_time_max_s=1.0, spawn_per_s=10)
    assert settling_s([four], users, SETTLE_S) == pytest.approx(SETTLE_S + WINDOW_EXTRA_S)
    assert settling_s([four], users, 0.0) == pytest.approx(1.0 + WINDOW_EXTRA_S), "each user has a turn"
