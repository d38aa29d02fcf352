"""Does each fault do what it is called, to connections that are open and to new ones, and does it end?"""

import socket
import time
from collections.abc import Callable
from itertools import cycle, islice

import pytest

from tests.harness.fault_proxy.conftest import Between, received, reset, resets
from tests.harness.fault_proxy.test_forwarding import ENDLESS_BYTES, MIB, in_background, noise, taken_until_full

pytestmark = pytest.mark.slow  # the first of each worker starts a process


def send_to_the_end(end: socket.socket, data: bytes) -> None:
    end.sendall(data)
    end.shutdown(socket.SHUT_WR)


def is_refused(between: Between) -> bool:
    try:
        between.connect()
    except ConnectionRefusedError:
        return True
    return False


def test_a_delay_is_never_shorter_in_either_direction_than_asked_for(between: Between) -> None:
    client, target = between.pair()
    between.proxy.put("delay", delay_ms=40)
    for one, other in ((client, target), (target, client)):
        sent_mono_s = time.monotonic()
        one.sendall(b"x")
        assert received(other, 1) == b"x"
        assert time.monotonic() - sent_mono_s >= 0.040


def test_a_longer_delay_holds_for_what_is_underway_too(between: Between) -> None:
    client, target = between.pair()
    between.proxy.put("delay", delay_ms=600_000)
    client.sendall(b"late")
    assert between.passes_nothing(target)
    between.proxy.put("delay", delay_ms=1)
    assert received(target, 4) == b"late"


def test_a_delay_limits_no_bandwidth_many_pieces_are_underway_at_once(between: Between) -> None:
    client, target = between.pair()
    data = noise(8 * MIB)
    between.proxy.put("delay", delay_ms=600_000)
    client.sendall(data)  # returns, although nobody reads: the proxy and the kernel have it all
    assert between.passes_nothing(target)
    between.proxy.put("forward")
    assert received(target, len(data)) == data


def test_a_large_transfer_under_a_delay_arrives_byte_by_byte_with_its_end(between: Between) -> None:
    client, target = between.pair()
    data = noise(24 * MIB)
    between.proxy.put("delay", delay_ms=20)
    sender = in_background(lambda: send_to_the_end(client, data))
    assert received(target, len(data) + 1) == data
    sender.join()


def test_what_is_underway_under_a_delay_is_bounded(between: Between) -> None:
    client, target = between.pair()
    between.proxy.put("delay", delay_ms=600_000)
    taken = taken_until_full(client, ENDLESS_BYTES)
    assert taken < ENDLESS_BYTES
    client.shutdown(socket.SHUT_WR)
    between.proxy.put("forward")
    assert received(target, ENDLESS_BYTES) == b"x" * taken


def test_an_end_is_delayed_like_the_bytes_before_it(between: Between) -> None:
    client, target = between.pair()
    between.proxy.put("delay", delay_ms=600_000)
    client.shutdown(socket.SHUT_WR)
    assert between.passes_nothing(target)
    between.proxy.put("forward")
    assert received(target, 1) == b""


def test_a_cut_resets_what_is_open_and_refuses_what_is_new_until_it_ends(between: Between) -> None:
    pairs = [between.pair() for _ in range(3)]
    between.proxy.put("cut")
    assert all(resets(end) for pair in pairs for end in pair)
    assert is_refused(between)
    counts = between.proxy.counts()
    assert (counts["opened"], counts["open_now"], counts["reset"], counts["refused"]) == (3, 0, 3, 0)
    between.proxy.put("forward")
    client, target = between.pair()
    client.sendall(b"again")
    assert received(target, 5) == b"again"


def test_during_a_cut_nobody_else_is_given_the_port(between: Between) -> None:
    between.proxy.put("cut")
    with socket.socket() as thief, pytest.raises(OSError, match="Address already in use"):
        thief.bind(("127.0.0.1", between.proxy.port))
    between.proxy.put("cut")
    assert is_refused(between)
    between.proxy.put("forward")
    assert between.pair()


def test_a_hang_lets_nothing_pass_and_loses_nothing(between: Between) -> None:
    client, target = between.pair()
    between.proxy.put("hang")
    client.sendall(b"question")
    target.sendall(b"answer")
    assert between.passes_nothing(client, target)
    between.proxy.put("forward")
    assert received(target, 8) == b"question"
    assert received(client, 6) == b"answer"


def test_a_hang_holds_what_a_delay_had_underway(between: Between) -> None:
    client, target = between.pair()
    between.proxy.put("delay", delay_ms=600_000)
    client.sendall(b"underway")
    assert between.passes_nothing(target)
    between.proxy.put("hang")
    assert between.passes_nothing(target)
    between.proxy.put("forward")
    assert received(target, 8) == b"underway"


@pytest.mark.parametrize("who", ["client", "target"])
def test_a_hang_holds_back_a_reset_too(who: str, between: Between) -> None:
    client, target = between.pair()
    client.sendall(b"x")
    assert received(target, 1) == b"x"
    one, other = (client, target) if who == "client" else (target, client)
    between.proxy.put("hang")
    reset(one)
    assert between.passes_nothing(other)
    between.proxy.put("forward")
    assert resets(other)


def test_new_connections_are_accepted_in_a_hang_and_reach_the_target_when_it_ends(
    between: Between, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    between.proxy.put("hang")
    client = between.connect()
    client.sendall(b"anybody?")
    client.shutdown(socket.SHUT_WR)
    eventually(lambda: between.proxy.counts()["open_now"] == 1)
    assert between.passes_nothing(client)
    assert not between.has_reached_the_target()
    between.proxy.put("forward")
    target = between.accept()
    assert received(target, 100) == b"anybody?"
    target.sendall(b"yes")
    target.close()
    assert received(client, 100) == b"yes"


def test_a_cut_ends_a_hang_for_connections_that_never_reached_the_target(
    between: Between, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    between.proxy.put("hang")
    client = between.connect()
    eventually(lambda: between.proxy.counts()["open_now"] == 1)
    between.proxy.put("cut")
    assert resets(client)
    counts = between.proxy.counts()
    assert (counts["opened"], counts["open_now"], counts["reset"]) == (1, 0, 1)


def test_a_large_transfer_survives_every_switch_in_its_middle(between: Between) -> None:
    client, target = between.pair()
    data = noise(32 * MIB)
    sender = in_background(lambda: send_to_the_end(client, data))
    got = []
    faults: tuple[tuple[str, dict[str, int]], ...] = (
        ("hang", {}),
        ("forward", {}),
        ("delay", {"delay_ms": 3}),
        ("hang", {}),
        ("delay", {"delay_ms": 1}),
        ("drop_after", {"after_bytes": 1}),
    )
    for kind, figures in islice(cycle(faults), 16):
        between.proxy.put(kind, **figures)
        if kind == "hang":
            between.proxy.put("forward")
        got.append(received(target, MIB))
    got.append(received(target, len(data)))
    assert b"".join(got) == data
    sender.join()


def test_in_the_middle_of_a_transfer_a_hang_stops_it_and_its_end_lets_it_go_on(between: Between) -> None:
    client, target = between.pair()
    data = noise(32 * MIB)
    sender = in_background(lambda: send_to_the_end(client, data))
    got = received(target, MIB)
    between.proxy.put("hang")
    sent_on = between.proxy.counts()["bytes_to_target"]
    got += received(target, sent_on - len(got))
    assert len(got) < len(data)
    assert between.passes_nothing(target)
    between.proxy.put("forward")
    assert got + received(target, len(data)) == data
    sender.join()


def test_drop_after_resets_each_new_connection_after_so_many_bytes_of_both_directions(between: Between) -> None:
    older_client, older_target = between.pair()
    between.proxy.put("drop_after", after_bytes=1000)
    for _ in range(2):
        client, target = between.pair()
        client.sendall(b"q" * 600)
        assert received(target, 600) == b"q" * 600
        target.sendall(b"a" * 5000)
        assert received(client, 400) == b"a" * 400
        assert resets(client)
        assert resets(target)
    older_client.sendall(b"q" * 2000)
    assert received(older_target, 2000) == b"q" * 2000
    counts = between.proxy.counts()
    assert (counts["reset"], counts["bytes_to_target"], counts["bytes_to_client"]) == (2, 3200, 800)


def test_a_connection_that_was_accepted_before_is_not_new_to_drop_after(between: Between) -> None:
    between.proxy.put("hang")
    client = between.connect()
    while between.proxy.counts()["opened"] == 0:
        pass
    between.proxy.put("drop_after", after_bytes=1000)
    target = between.accept()
    client.sendall(b"q" * 2000)
    assert received(target, 2000) == b"q" * 2000


def test_connections_of_drop_after_are_safe_once_it_has_ended(between: Between) -> None:
    between.proxy.put("drop_after", after_bytes=10)
    client, target = between.pair()
    client.sendall(b"12345")
    assert received(target, 5) == b"12345"
    between.proxy.put("forward")
    client.sendall(b"678901234567890")
    assert received(target, 15) == b"678901234567890"
