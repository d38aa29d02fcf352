"""Is the process found that accepted a connection, in whichever network, and none for one that nobody has?"""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import pytest

from perfgate.measure.acceptors import AcceptorsHidden, NetworkGone, accepted_sockets, acceptors
from tests.harness.measure.conftest import network_of_its_own

#: Two connections to itself, each accepted by a child of its own; says its port, then each client's port and child.
TWO_ACCEPT: Final = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1])
clients = []
for _ in range(2):
    ready, accepted = os.pipe()
    child = os.fork()
    if child == 0:
        connection, _ = listener.accept()
        os.write(accepted, b"x")
        sys.stdin.read()
        os._exit(0)
    clients.append(socket.create_connection(listener.getsockname()))
    os.read(ready, 1)
    print(clients[-1].getsockname()[1], child)
sys.stdout.flush()
sys.stdin.read()
os.wait()
os.wait()
"""
#: Of a kernel, shortened: what every line has, in this order, is all that counts.
TABLE: Final = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0FA0 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7000 1 00 100 0 0 10 0
   1: 0100007F:0FA0 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 7001 1 00 20 4 30 10 -1
   2: 0100007F:0FA0 0100007F:C002 01 00000000:00000000 00:00000000 00000000     0        0 0 1 00 20 4 30 10 -1
   3: 0100007F:0FA0 0100007F:C003 06 00000000:00000000 03:00000A2B 00000000     0        0 7003 3 00
   4: 0100007F:C001 0100007F:0FA0 01 00000000:00000000 00:00000000 00000000     0        0 7004 1 00 20 4 30 10 -1
   5: 0100007F:1FA0 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 7005 1 00 20 4 30 10 -1
   6: 020011AC:0FA0 010011AC:C006 01 00000000:00000000 00:00000000 00000000  1000        0 7006 1 00 20 4 30 10 -1
"""
TABLE_6: Final = """\
  sl  local_address                         remote_address                        st tx rx tr when uid timeout inode
   0: 00000000000000000000000001000000:0FA0 00000000000000000000000001000000:C001 01 0:0 0:0 0 0 0 8000 1 00 20
   1: 0000000000000000FFFF00000100007F:0FA0 0000000000000000FFFF00000100007F:C002 01 0:0 0:0 0 0 0 8001 1 00 20
"""


@dataclass(frozen=True)
class Accepting:
    """TWO_ACCEPT, running: its own process, its port, and by client port the child that accepted."""

    pid: int
    port: int
    children: dict[int, int]


@contextmanager
def accepting(process: "subprocess.Popen[str]") -> Iterator[Accepting]:
    assert process.stdout is not None
    port = int(process.stdout.readline())
    pairs = [process.stdout.readline().split() for _ in range(2)]
    yield Accepting(process.pid, port, {int(client): int(child) for client, child in pairs})


@pytest.fixture
def neighbour() -> Iterator[Accepting]:
    """One in the network of this process."""
    command = [sys.executable, "-c", TWO_ACCEPT]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
        accepting(process) as running,
    ):
        yield running


@pytest.fixture
def elsewhere() -> Iterator[Accepting]:
    """One in a network of its own."""
    with network_of_its_own(TWO_ACCEPT) as process, accepting(process) as running:
        yield running


def listener_v4() -> tuple[socket.socket, str]:
    return socket.create_server(("127.0.0.1", 0)), "127.0.0.1"


def listener_v6() -> tuple[socket.socket, str]:
    return socket.create_server(("::1", 0), family=socket.AF_INET6), "::1"


def listener_mapped() -> tuple[socket.socket, str]:
    """IPv4 clients of an IPv6 socket; as 127.0.0.1 they are ::ffff:127.0.0.1 to it."""
    return socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True), "127.0.0.1"


@pytest.mark.parametrize("by_process", [False, True])
@pytest.mark.parametrize("listen", [listener_v4, listener_v6, listener_mapped])
def test_an_accepted_connection_belongs_to_who_accepted_it(
    listen: Callable[[], tuple[socket.socket, str]], by_process: bool
) -> None:
    network_of = os.getpid() if by_process else None
    try:
        listener, address = listen()
    except OSError as error:
        pytest.skip(f"this host has no IPv6: {error}")
    with listener:
        server_port = listener.getsockname()[1]
        with socket.create_connection((address, server_port)) as client:
            client_port = client.getsockname()[1]
            assert acceptors(server_port, {client_port}, network_of) == {}
            accepted, _ = listener.accept()
            with accepted:
                assert acceptors(server_port, {client_port}, network_of) == {client_port: os.getpid()}
                assert acceptors(server_port, {client_port + 1}, network_of) == {}
                assert acceptors(server_port + 1, {client_port}, network_of) == {}


def test_each_process_has_what_it_accepted_itself(neighbour: Accepting) -> None:
    assert len(set(neighbour.children.values())) == 2
    assert acceptors(neighbour.port, neighbour.children) == neighbour.children
    assert acceptors(neighbour.port, neighbour.children, neighbour.pid) == neighbour.children


def test_another_network_s_connections_are_found_by_any_process_in_it(elsewhere: Accepting) -> None:
    for process in (elsewhere.pid, *elsewhere.children.values()):
        assert acceptors(elsewhere.port, elsewhere.children, process) == elsewhere.children


def test_another_network_s_connections_are_not_in_this_one(elsewhere: Accepting) -> None:
    assert acceptors(elsewhere.port, elsewhere.children) == {}


def test_this_network_s_connections_are_not_in_another_one(neighbour: Accepting, elsewhere: Accepting) -> None:
    assert acceptors(neighbour.port, neighbour.children, elsewhere.pid) == {}


def test_a_network_whose_process_has_ended_is_an_error() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # from here on it is a zombie
        with pytest.raises(NetworkGone) as caught:
            acceptors(1, {2}, process.pid)
    assert str(caught.value) == f"process {process.pid}, in whose network connections should be accepted, is not there"
    with pytest.raises(NetworkGone):
        acceptors(1, {2}, process.pid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_who_may_not_look_at_the_processes_that_accepted_is_told_so(neighbour: Accepting) -> None:
    os.seteuid(65534)
    try:
        with pytest.raises(AcceptorsHidden) as caught:
            acceptors(neighbour.port, neighbour.children)
        assert acceptors(neighbour.port, {1}) == {}, "nobody has accepted what does not exist"
    finally:
        os.seteuid(0)
    assert str(caught.value) == (
        f"the connections to port {neighbour.port} were accepted by processes of another user, so this one cannot see "
        "which of several workers has which: run as root, or as their user, or with one worker"
    )


def test_of_a_table_only_established_connections_that_were_accepted_count() -> None:
    clients = {0, *range(0xC001, 0xC007)}
    assert accepted_sockets(TABLE, 4000, clients) == {7001: 0xC001, 7006: 0xC006}
    assert accepted_sockets(TABLE, 4000, clients - {0xC001}) == {7006: 0xC006}
    assert accepted_sockets(TABLE, 0x1FA0, clients) == {7005: 0xC001}
    assert accepted_sockets(TABLE, 0xFA, clients) == {}


def test_a_table_of_ipv6_reads_alike() -> None:
    assert accepted_sockets(TABLE_6, 4000, {0xC001, 0xC002}) == {8000: 0xC001, 8001: 0xC002}


def test_a_table_without_connections_has_none() -> None:
    assert accepted_sockets(TABLE.splitlines()[0] + "\n", 4000, {0xC001}) == {}
