"""What does the switch answer, and what when it is asked wrongly?"""

import pytest

from tests.harness.fault_proxy.conftest import Between, received

pytestmark = pytest.mark.slow  # the first of each worker starts a process


def test_it_shows_the_fault_in_force(between: Between) -> None:
    assert between.proxy.control.get("/fault").json() == {"kind": "forward"}
    answer = between.proxy.control.put("/fault", json={"kind": "delay", "delay_ms": 5})
    assert (answer.status_code, answer.json()) == (200, {"kind": "delay", "delay_ms": 5})
    assert between.proxy.control.get("/fault").json() == {"kind": "delay", "delay_ms": 5}


def test_a_wrong_fault_is_a_400_in_words_and_changes_nothing(between: Between) -> None:
    between.proxy.put("delay", delay_ms=5)
    answer = between.proxy.control.put("/fault", json={"kind": "delay"})
    assert (answer.status_code, answer.json()) == (400, {"error": "PUT /fault: delay needs delay_ms"})
    assert between.proxy.control.get("/fault").json() == {"kind": "delay", "delay_ms": 5}


def test_an_unknown_path_is_a_404_that_lists_those_there_are(between: Between) -> None:
    answer = between.proxy.control.get("/faults")
    assert (answer.status_code, answer.json()) == (
        404,
        {"error": "unknown path /faults; this proxy has /health, /fault, /counts, /reset"},
    )


def test_a_wrong_method_is_a_405_that_names_the_right_ones(between: Between) -> None:
    answer = between.proxy.control.post("/fault")
    assert (answer.status_code, answer.json()) == (405, {"error": "/fault does not take POST, but GET, PUT"})


def test_a_reset_ends_the_fault_and_counts_from_zero_while_connections_stay(between: Between) -> None:
    client, target = between.pair()
    client.sendall(b"before")
    assert received(target, 6) == b"before"
    between.proxy.put("hang")
    client.sendall(b"held")
    assert between.proxy.control.post("/reset").json() == {"reset": True}
    assert received(target, 4) == b"held"
    client.sendall(b"after")
    assert received(target, 5) == b"after"
    counts = between.proxy.counts()
    assert (counts["opened"], counts["open_now"]) == (0, 1)
    assert between.proxy.control.get("/fault").json() == {"kind": "forward"}
