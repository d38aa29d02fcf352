"""Are published rates read, and taken for those of hosts like the one they were found on alone?"""

from typing import Any

import pytest

from perfgate.errors import BadInput
from perfgate.selftest.published import published
from tests.harness.recorded_runs import rates_of

HOST = {"cpu_model": "EPYC", "cores_allowed": 2, "architecture": "x86_64", "memory_bytes": 24 * 2**30, "load_1m": 0.1}


def test_those_of_a_profile_are_told_with_their_intervals() -> None:
    rates = published(rates_of(HOST), "rates.json")
    (rate,) = rates.of_profile("release")
    assert (rate.dose, rate.gates) == ("none", 2000)
    assert (rate.fail.value, rate.fail.low, rate.fail.high) == (0.012, 0.004, 0.02)
    assert rates.of_profile("gate") == ()


@pytest.mark.parametrize(
    ("changes", "is_of"),
    [
        ({}, True),
        ({"load_1m": 9.0}, True),
        ({"memory_bytes": 23 * 2**30}, True),
        ({"memory_bytes": 16 * 2**30}, False),
        ({"cores_allowed": 4}, False),
        ({"cpu_model": "Xeon"}, False),
        ({"architecture": "aarch64"}, False),
    ],
    ids=str,
)
def test_a_host_like_it_has_its_cpu_cores_and_memory(changes: dict[str, Any], is_of: bool) -> None:
    assert published(rates_of(HOST), "rates.json").is_of({**HOST, **changes}) is is_of


def test_a_host_of_which_nothing_is_known_is_not_like_it() -> None:
    assert not published(rates_of({}), "rates.json").is_of({})


@pytest.mark.parametrize("content", [b"", b"[]", b'{"rates": []}', b"no"])
def test_what_holds_no_rates_is_refused(content: bytes) -> None:
    with pytest.raises(BadInput, match=r"rates\.json does not hold the rates of a selftest \("):
        published(content, "rates.json")
