"""Is a fleet that cannot be named, and one that can known by its address?"""

import pytest

from perfgate.load.locust_fleet import DEFAULT_BIND, LocustFleet


def test_workers_of_this_host_alone_need_no_address_that_others_know() -> None:
    fleet = LocustFleet(workers=2, bind="0.0.0.0:5557")
    assert (fleet.total, fleet.address, fleet.words) == (2, ("127.0.0.1", 0), "2 here")


def test_others_come_to_where_they_are_told() -> None:
    fleet = LocustFleet(workers=1, expect_workers=3, bind="10.0.0.5:6000")
    assert (fleet.total, fleet.address, fleet.words) == (4, ("10.0.0.5", 6000), "1 here and 3 elsewhere")
    assert LocustFleet(0, 3).words == "3 elsewhere"


def test_unless_told_otherwise_the_master_listens_on_loopback() -> None:
    assert LocustFleet(0, 1).address == ("127.0.0.1", 5557)
    assert DEFAULT_BIND == "127.0.0.1:5557"


@pytest.mark.parametrize(
    ("workers", "expected", "bind", "message"),
    [
        (0, 0, DEFAULT_BIND, "workers=0 and expect_workers=0: somebody has to send"),
        (-1, 2, DEFAULT_BIND, "workers=-1 must be from 0 to 1000"),
        (0, 1001, DEFAULT_BIND, "expect_workers=1001 must be from 0 to 1000"),
        (0, 1, "5557", "bind=5557 must be HOST:PORT with a port from 1 to 65535, as in 127.0.0.1:5557"),
        (0, 1, "here:0", "bind=here:0 must be HOST:PORT with a port from 1 to 65535, as in 127.0.0.1:5557"),
        (0, 1, "here:65536", "bind=here:65536 must be HOST:PORT with a port from 1 to 65535, as in 127.0.0.1:5557"),
        (0, 1, ":5557", "bind=:5557 must be HOST:PORT with a port from 1 to 65535, as in 127.0.0.1:5557"),
    ],
)
def test_what_cannot_be_is_refused(workers: int, expected: int, bind: str, message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        LocustFleet(workers, expected, bind)
    assert str(refused.value) == message
