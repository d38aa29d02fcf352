"""Can every job that exists be run, and does it keep its key to itself?"""

from typing import Any

import pytest

from perfgate.load.api import Api
from perfgate.load.job import LoadJob, Target
from perfgate.load.schedule import ClosedLoop, OpenLoop

TARGET = Target("http://h/", "m")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"seed": -1}, "seed=-1 must not be negative"),
        ({"in_flight_cap": 0}, "in_flight_cap=0 must be at least 1"),
        ({"payload_bytes": 3}, "payload_bytes=3 must be from 36"),
        ({"targets": ()}, r"targets=\(\) must hold at least one target"),
        ({"schedule": ClosedLoop(6, 0, 1), "in_flight_cap": 5}, "users=6 must not be more than in_flight_cap=5"),
        ({"connections": -1}, "connections=-1 must not be negative"),
        (
            {"connections": 3, "targets": (TARGET, TARGET), "in_flight_cap": 5},
            "connections=3 to each of 2 targets must not be more in total than in_flight_cap=5",
        ),
        ({"turns_per_session": -1}, "turns_per_session=-1 must not be negative"),
        ({"turns_per_session": 1, "api": Api.REALTIME}, "turns_per_session=1 goes with users of realtime sessions"),
        (
            {"turns_per_session": 1, "schedule": ClosedLoop(6, 0, 1)},
            "turns_per_session=1 goes with users of realtime sessions",
        ),
        ({"connections": 2, "api": Api.REALTIME}, "connections=2 go with requests: a session has one of its own"),
        ({"stream": True, "api": Api.MESSAGES}, "stream=True goes with chat completions, not with api=messages"),
        ({"cpus": (0, -2)}, r"cpus=\(0, -2\) must not be negative"),
    ],
)
def test_a_job_that_cannot_be_run_says_why(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        LoadJob(**{"targets": (TARGET,), "schedule": OpenLoop(10, 0, 1), **fields})


def test_as_many_users_and_connections_as_the_cap_allows_are_allowed() -> None:
    job = LoadJob((TARGET, TARGET), ClosedLoop(6, 0, 1), in_flight_cap=6, connections=3)
    assert (job.schedule, job.connections) == (ClosedLoop(6, 0, 1), 3)


def test_a_target_accepts_in_a_process_or_nowhere_in_particular() -> None:
    assert Target("http://h/", "m").accepts_in is None
    assert Target("http://h/", "m", accepts_in=1).accepts_in == 1
    with pytest.raises(ValueError, match="accepts_in=0 must be the id of a process"):
        Target("http://h/", "m", accepts_in=0)


def test_prompts_differ_unless_they_are_asked_to_be_the_same() -> None:
    assert not LoadJob((TARGET,), OpenLoop(10, 0, 1)).same_prompt


def test_a_target_needs_a_whole_url() -> None:
    with pytest.raises(ValueError, match="must begin with http:// or https://"):
        Target("h/", "m")


@pytest.mark.parametrize("key", ["", "sk-1\n", "sk 1", "schlüssel"])
def test_a_key_that_cannot_stand_in_a_header_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ValueError, match="api_key must be printable ASCII") as refused:
        Target("http://h/", "m", key)
    assert not key or key not in str(refused.value)


def test_the_key_is_not_in_the_repr() -> None:
    assert "sk-hidden" not in repr(Target("http://h/", "m", "sk-hidden"))


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ((("X-Provider", "openai"),), "headers: 'X-Provider' must be the name of a header, in lower case"),
        ((("x provider", "a"),), "headers: 'x provider' must be the name of a header"),
        ((("", "a"),), "headers: '' must be the name of a header"),
        ((("content-length", "1"),), "headers: content-length is not for the caller to set"),
        ((("authorization", "Bearer x"),), "headers: authorization is not for the caller to set"),
        ((("x-a", "1"), ("x-a", "2")), "headers: x-a must not be there twice"),
        ((("x-a", ""),), "headers: the value of x-a must be printable ASCII"),
        ((("x-a", "1 "),), "headers: the value of x-a must be printable ASCII"),
        ((("x-a", "1\r\nx-b: hidden"),), "headers: the value of x-a must be printable ASCII"),
        ((("x-a", "schlüssel-hidden"),), "headers: the value of x-a must be printable ASCII"),
    ],
)
def test_headers_that_cannot_be_sent_are_refused_and_their_values_not_repeated(
    headers: tuple[tuple[str, str], ...], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason) as refused:
        Target("http://h/", "m", headers=headers)
    assert "hidden" not in str(refused.value)


def test_a_value_may_hold_blanks_and_is_not_in_the_repr() -> None:
    target = Target("http://h/", "m", headers=(("x-a", "a hidden value"),))
    assert dict(target.headers) == {"x-a": "a hidden value"}
    assert "hidden" not in repr(target)
