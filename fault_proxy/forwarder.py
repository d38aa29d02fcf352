"""Who connects, which fault is in force, and what has happened so far?

Comes in: an address to listen on, a target, and faults, one at a time. Goes out: connections to the target, and counts.
Knows nothing of HTTP.
"""

import asyncio
import socket
import sys
from typing import Final

from fault_proxy.connection import Connection, Passed, reset
from fault_proxy.fault import FORWARD, Fault

#: As many connections as a burst opens at once; the kernel cuts it to net.core.somaxconn.
BACKLOG: Final = 4096
#: Then the connections that are open have their turn.
ACCEPTED_AT_ONCE: Final = 64
#: Of file descriptors: for what is not a connection that is forwarded, control calls among it.
KEPT_DESCRIPTORS: Final = 64


class Forwarder:
    """A port that leads to a target; its own for as long as this lives, while nobody listens on it too.

    Args:
        host: address to listen on.
        port: 0 takes a free one.
        target: host and port; the host is looked up anew for each connection.
        max_descriptors: file descriptors that this process may have; a connection takes two.

    Raises:
        OSError: the address cannot be had.
    """

    def __init__(self, host: str, port: int, target: tuple[str, int], max_descriptors: int) -> None:
        # Bound and never listening: while a cut has the listening socket closed, nobody else is given the port.
        self._claim = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._claim.bind((host, port))
        self.address: tuple[str, int] = self._claim.getsockname()
        self.target = target
        self.fault = FORWARD
        self._max_connections = max(1, (max_descriptors - KEPT_DESCRIPTORS) // 2)
        self._is_full = False
        self._listener: socket.socket | None = self._listening()
        self._connections: set[Connection] = set()
        self._dialling: dict[asyncio.Task[None], socket.socket] = {}
        self._opened = self._ended = self._reset = self._refused = 0
        self._to_target, self._to_client = Passed(), Passed()

    def start(self) -> None:
        """Accept connections from now on, in the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._flows = asyncio.Event()
        self._flows.set()
        self._watch()

    def switch(self, fault: Fault) -> None:
        """Let a fault hold from now on; when this returns, it does."""
        if fault.kind != "cut" and self._listener is None:
            self._listener = self._listening()
            self._watch()
        self.fault = fault
        if fault.kind == "hang":
            self._flows.clear()
        else:
            self._flows.set()
        if fault.kind == "cut":
            self._cut()
        else:
            for connection in list(self._connections):
                connection.switch(fault)

    def reset_counts(self) -> None:
        """Count from zero; connections that are open stay so."""
        self._opened = self._ended = self._reset = self._refused = 0
        self._to_target.bytes = self._to_client.bytes = 0

    def counts(self) -> dict[str, int]:
        """What has happened since the start, or since the counts were last reset."""
        return {
            "opened": self._opened,
            "open_now": self._open_now,
            "ended": self._ended,
            "reset": self._reset,
            "refused": self._refused,
            "bytes_to_target": self._to_target.bytes,
            "bytes_to_client": self._to_client.bytes,
        }

    @property
    def _open_now(self) -> int:
        return len(self._connections) + len(self._dialling)

    def _listening(self) -> socket.socket:
        listener = socket.create_server(self.address, backlog=BACKLOG)
        listener.setblocking(False)
        return listener

    def _watch(self) -> None:
        self._is_full = False
        if self._listener is not None:
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        assert self._listener is not None, "it is watched only while it is there"
        for _ in range(ACCEPTED_AT_ONCE):
            if self._open_now >= self._max_connections:
                self._is_full = True
                self._loop.remove_reader(self._listener)
                print(
                    f"fault_proxy: {self._open_now} connections are open, as many as `ulimit -n` allows; others wait",
                    file=sys.stderr,
                )
                return
            try:
                client, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            self._opened += 1
            task = self._loop.create_task(self._dial(client, self.fault))
            self._dialling[task] = client

    async def _dial(self, client: socket.socket, accepted_under: Fault) -> None:
        """Connect a client to the target, under the fault that is in force by then."""
        me = asyncio.current_task()
        assert me is not None
        target = None
        try:
            # As with a process that stands still: it sees a connection once it goes on.
            while self.fault.kind == "hang":
                await self._flows.wait()
            target = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            for end in (client, target):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.sock_connect(target, self.target)
        except OSError as error:
            if isinstance(error, ConnectionResetError):  # it was connected, and reset before we looked
                self._ended += 1
            else:
                self._refused += 1
            reset(client)
            if target is not None:
                target.close()
        except asyncio.CancelledError:  # a cut, which has reset the client
            if target is not None:
                reset(target)
        else:
            connection = Connection(
                self._loop, client, target, accepted_under, self._to_target, self._to_client, self._on_end
            )
            self._connections.add(connection)
            if self.fault is not accepted_under:
                connection.switch(self.fault)
        finally:
            self._dialling.pop(me, None)
            self._make_room()

    def _cut(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for connection in list(self._connections):
            connection.reset(by_fault=True)
        for task, client in self._dialling.items():
            reset(client)
            task.cancel()
        self._reset += len(self._dialling)
        self._dialling.clear()

    def _on_end(self, connection: Connection, by_fault: bool) -> None:
        self._connections.discard(connection)
        if by_fault:
            self._reset += 1
        else:
            self._ended += 1
        self._make_room()

    def _make_room(self) -> None:
        """Accept again when a connection has ended that others waited for."""
        if self._is_full and self._open_now < self._max_connections:
            self._watch()
