"""Which process of this host accepted each connection?

Comes in: the port of a server, the ports that connections to it come from, and whose network they are in. Goes out:
process ids. Reads /proc: the table of connections of one network namespace says which socket each of them ends in, and
the open files of all processes, containers' too, say who holds it. Imports nothing of ours but errors.

Why one wants to know: workers that share a listening socket take connections as the kernel wakes them, and that is far
from even. Of 128 connections to two idle workers of one LiteLLM one took 113 on two cores, 85 on one core (64 when the
connections came 30 ms apart).
"""

from collections.abc import Collection
from pathlib import Path
from typing import Final

import psutil

from perfgate.errors import StackFailed

#: How the kernel's tables write it (TCP_ESTABLISHED of include/net/tcp_states.h).
_ESTABLISHED: Final = "01"


class AcceptorsUnknown(StackFailed):
    """Base of the reasons for which nobody can say who accepts."""


class NetworkGone(AcceptorsUnknown):
    """The process whose network was to be looked at is not there."""

    def __init__(self, network_of: int) -> None:
        self.network_of = network_of
        super().__init__(f"process {network_of}, in whose network connections should be accepted, is not there")


class AcceptorsHidden(AcceptorsUnknown):
    """Somebody has accepted, but of the processes that this user may look at, none."""

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        super().__init__(
            f"the connections to port {server_port} were accepted by processes of another user, so this one cannot see "
            "which of several workers has which: run as root, or as their user, or with one worker"
        )


def acceptors(server_port: int, client_ports: Collection[int], network_of: int | None = None) -> dict[int, int]:
    """The process that holds the server's end of each connection; takes tens of milliseconds.

    Args:
        server_port: where the connections go.
        client_ports: where they come from.
        network_of: a process in whose network namespace the server accepts; None is this process's own.

    Returns:
        Process id by client port, of those that have been accepted.

    Raises:
        NetworkGone: there is no such process.
        AcceptorsHidden: not one of those that accepted is a process that this user may look at.
    """
    sockets: dict[int, int] = {}
    for table in _tables(network_of):
        sockets |= accepted_sockets(table, server_port, client_ports)
    return {sockets[inode]: process for inode, process in _holders(sockets, server_port).items()}


def accepted_sockets(table: str, server_port: int, client_ports: Collection[int]) -> dict[int, int]:
    """The established connections of a /proc/PID/net/tcp or tcp6 whose server's end has been accepted.

    Addresses do not matter, so IPv4, IPv6 and IPv4 mapped into IPv6 read alike.

    Args:
        table: its whole text.
        server_port: their port on our side.
        client_ports: their ports on the other side.

    Returns:
        Client port by the inode of the server's end; one that still waits to be accepted has none yet.
    """
    sockets = {}
    ending = f":{server_port:04X}"
    for line in table.splitlines()[1:]:
        _, local, remote, state, _, _, _, _, _, inode, *_ = line.split()
        if state == _ESTABLISHED and local.endswith(ending) and inode != "0":
            client_port = int(remote.rpartition(":")[2], 16)
            if client_port in client_ports:
                sockets[int(inode)] = client_port
    return sockets


def _tables(network_of: int | None) -> list[str]:
    folder = Path("/proc", "self" if network_of is None else str(network_of), "net")
    try:
        tables = [(folder / "tcp").read_text()]
    except OSError:
        if network_of is None:
            raise
        raise NetworkGone(network_of) from None
    try:
        tables.append((folder / "tcp6").read_text())
    except OSError:
        pass  # a kernel without IPv6; or it has ended meanwhile, and holds nothing
    return tables


def _holders(sockets: Collection[int], server_port: int) -> dict[int, int]:
    """The process that holds each socket; of several, which have it from one another, that of the lowest id."""
    wanted = {f"socket:[{inode}]": inode for inode in sockets}
    found: dict[int, int] = {}
    is_hidden = False
    for process in sorted(psutil.pids()):
        if len(found) == len(wanted):
            break
        try:
            files = list(Path("/proc", str(process), "fd").iterdir())
        except PermissionError:
            is_hidden = True
            continue
        except OSError:  # it has ended in the meantime
            continue
        for file in files:
            inode = wanted.get(_target(file))
            if inode is not None:
                found.setdefault(inode, process)
    if wanted and not found and is_hidden:
        raise AcceptorsHidden(server_port)
    return found


def _target(file: Path) -> str:
    """What an open file is; empty when it was closed in the meantime."""
    try:
        return str(file.readlink())
    except OSError:
        return ""
