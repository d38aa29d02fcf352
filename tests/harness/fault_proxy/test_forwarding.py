"""Does everything get through, in both directions, when nothing is wrong?"""

import random
import resource
import select
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.harness.fault_proxy.conftest import Between, received, reset, resets

pytestmark = pytest.mark.slow  # the first of each worker starts a process

MIB: Final = 1 << 20
MANY: Final = 2_000
#: More than the kernel's buffers and the proxy's take together.
ENDLESS_BYTES: Final = 256 * MIB


def noise(length: int) -> bytes:
    """Bytes in which no piece is like another."""
    return random.Random(7).randbytes(length)


def in_background(send: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def taken_until_full(end: socket.socket, at_most: int) -> int:
    """How much can be sent until, for a second, no more is taken."""
    end.setblocking(False)
    piece, taken = b"x" * MIB, 0
    while taken < at_most and select.select([], [end], [], 1.0)[1]:
        taken += end.send(piece)
    end.setblocking(True)
    return taken


def test_bytes_pass_both_ways_and_are_counted(between: Between) -> None:
    client, target = between.pair()
    client.sendall(b"question")
    assert received(target, 8) == b"question"
    target.sendall(b"the answer")
    assert received(client, 10) == b"the answer"
    assert between.proxy.counts() == {
        "opened": 1,
        "open_now": 1,
        "ended": 0,
        "reset": 0,
        "refused": 0,
        "bytes_to_target": 8,
        "bytes_to_client": 10,
    }


def test_a_large_transfer_arrives_byte_by_byte_while_another_goes_the_other_way(between: Between) -> None:
    client, target = between.pair()
    up, down = noise(16 * MIB), noise(12 * MIB)[::-1]
    senders = [in_background(lambda: client.sendall(up)), in_background(lambda: target.sendall(down))]
    got: list[bytes] = []
    reader = in_background(lambda: got.append(received(client, len(down))))
    assert received(target, len(up)) == up
    for thread in (*senders, reader):
        thread.join()
    assert got == [down]


def test_one_end_may_be_done_while_the_other_still_speaks(
    between: Between, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    client, target = between.pair()
    client.sendall(b"all I have to say")
    client.shutdown(socket.SHUT_WR)
    assert received(target, 100) == b"all I have to say"
    target.sendall(b"still ")
    assert received(client, 6) == b"still "
    assert between.proxy.counts()["open_now"] == 1
    target.sendall(b"here")
    target.close()
    assert received(client, 100) == b"here"
    eventually(lambda: between.proxy.counts()["open_now"] == 0)
    assert (between.proxy.counts()["ended"], between.proxy.counts()["reset"]) == (1, 0)


@pytest.mark.parametrize("who", ["client", "target"])
def test_a_reset_by_either_end_reaches_the_other_and_is_no_fault(
    who: str, between: Between, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    client, target = between.pair()
    one, other = (client, target) if who == "client" else (target, client)
    reset(one)
    assert resets(other)
    eventually(lambda: between.proxy.counts()["ended"] == 1)
    assert between.proxy.counts()["reset"] == 0


def test_a_reset_by_an_end_that_was_done_speaking_is_noticed_by_who_sends_to_it(
    between: Between, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    client, target = between.pair()
    target.shutdown(socket.SHUT_WR)
    assert received(client, 1) == b""
    reset(target)
    client.sendall(b"are you there?")
    eventually(lambda: between.proxy.counts()["ended"] == 1)


def test_who_sends_more_than_the_other_end_reads_has_to_wait(between: Between) -> None:
    client, target = between.pair()
    taken = taken_until_full(client, ENDLESS_BYTES)
    assert taken < ENDLESS_BYTES
    client.shutdown(socket.SHUT_WR)
    assert received(target, ENDLESS_BYTES) == b"x" * taken


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 3 * MANY), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
def test_thousands_of_connections_are_carried_at_once(between: Between) -> None:
    clients = [between.connect() for _ in range(MANY)]
    targets = [between.accept() for _ in range(MANY)]
    for number, client in enumerate(clients):
        client.sendall(b"%06d" % number)
    assert {received(target, 6) for target in targets} == {b"%06d" % number for number in range(MANY)}
    counts = between.proxy.counts()
    assert (counts["opened"], counts["open_now"], counts["bytes_to_target"]) == (MANY, MANY, 6 * MANY)
    between.proxy.put("cut")
    assert all(resets(end) for end in (*clients, *targets))
    assert between.proxy.counts()["reset"] == MANY
