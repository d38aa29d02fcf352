"""How do the bytes of one connection get from either end to the other, and how are they kept from it?

Comes in: two connected sockets and the fault in force. Goes out: what was read from one is sent to the other, in order,
as soon as the fault lets it; ends, too. What was read and not yet sent is underway, and bounded: who sends faster than
the other end reads has to wait, as without a proxy.

    Connection ──has two──> Direction: source ──read──> underway ──sent──> sink

Plain sockets rather than asyncio's transports: those go on sending what they hold, hang or no hang.
"""

import asyncio
import math
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fault_proxy.fault import Fault

#: What one read takes at most; also the most that is held while the sink is full.
CHUNK_BYTES: Final = 65_536
#: In each direction, under a delay. It bounds memory, and with it what passes under a delay of 1 s to 16 MiB/s.
MAX_UNDERWAY_BYTES: Final = 16 * 1024 * 1024

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # struct linger: on, 0 s


def reset(end: socket.socket) -> None:
    """Close a socket so that its peer gets a RST, whatever was still to be sent or read."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    end.close()


@dataclass(slots=True)
class Passed:
    """What was sent on in one direction, over all connections."""

    bytes: int = 0


class Connection:
    """Two ends, from the moment that both are connected until neither has more to say.

    Args:
        loop: the running event loop.
        client, target: its ends, connected and non-blocking.
        fault: in force now.
        to_target, to_client: where bytes that were sent on are counted.
        on_end: called once with this, when it has ended, and whether the fault in force ended it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        client: socket.socket,
        target: socket.socket,
        fault: Fault,
        to_target: Passed,
        to_client: Passed,
        on_end: Callable[["Connection", bool], None],
    ) -> None:
        self.loop = loop
        self.fault = fault
        self.bytes_left = fault.after_bytes
        self.is_open = True
        self._ends = (client, target)
        self._on_end = on_end
        self._directions = (Direction(self, client, target, to_target), Direction(self, target, client, to_client))
        for direction in self._directions:
            direction.proceed()

    def switch(self, fault: Fault) -> None:
        """Let another fault hold from now on, for what is underway too."""
        self.fault = fault
        self.bytes_left = None  # of `drop_after`, which holds for new connections
        for direction in self._directions:
            direction.proceed()

    def reset(self, *, by_fault: bool) -> None:
        """Reset both ends; what is underway is lost."""
        self._end(reset, by_fault)

    def direction_ended(self) -> None:
        """Close both ends once both directions have ended."""
        if all(direction.has_ended for direction in self._directions):
            self._end(socket.socket.close, by_fault=False)

    def _end(self, close: Callable[[socket.socket], None], by_fault: bool) -> None:
        self.is_open = False
        for direction in self._directions:
            direction.stop()
        for end in self._ends:
            close(end)
        self._on_end(self, by_fault)


class Direction:
    """The way from one end of a connection to the other.

    Args:
        connection: whose it is.
        source: read from.
        sink: sent to.
        passed: where bytes that were sent on are counted.
    """

    __slots__ = (
        "_connection",
        "_has_read_all",
        "_is_reading",
        "_is_sink_full",
        "_is_writing",
        "_passed",
        "_sink",
        "_source",
        "_timer",
        "_underway",
        "_underway_bytes",
        "has_ended",
    )

    def __init__(self, connection: Connection, source: socket.socket, sink: socket.socket, passed: Passed) -> None:
        self.has_ended = False
        self._connection = connection
        self._source = source
        self._sink = sink
        self._passed = passed
        #: When each piece was read, CLOCK_MONOTONIC in ns, and what; nothing is the end.
        self._underway: deque[tuple[int, bytes | memoryview]] = deque()
        self._underway_bytes = 0
        self._has_read_all = False
        self._is_sink_full = False
        self._is_reading = False
        self._is_writing = False
        self._timer: asyncio.TimerHandle | None = None

    def proceed(self) -> None:
        """Send what may leave by now; then wait for whatever comes next."""
        if not self._connection.is_open:  # the other direction has just reset it
            return
        is_held = self._connection.fault.kind == "hang"
        self._is_sink_full = False
        wait_ns = None if is_held else self._send()
        if not self._connection.is_open:
            return
        self._wait_for_time(wait_ns)
        self._wait_for_source(
            not (is_held or self._has_read_all or self._is_sink_full) and self._underway_bytes < MAX_UNDERWAY_BYTES
        )
        self._wait_for_sink(self._is_sink_full)

    def stop(self) -> None:
        """Wait for nothing any more."""
        self._wait_for_time(None)
        self._wait_for_source(False)
        self._wait_for_sink(False)

    def _send(self) -> int | None:
        """Send what is due; how long until more is, in ns, None when that is not a matter of time."""
        connection = self._connection
        delay_ns = (connection.fault.delay_ms or 0) * 1_000_000
        while self._underway:
            read_mono_ns, piece = self._underway[0]
            wait_ns = read_mono_ns + delay_ns - time.monotonic_ns()
            if delay_ns and wait_ns > 0:
                return wait_ns
            try:
                if not piece:
                    self._underway.clear()
                    self._sink.shutdown(socket.SHUT_WR)
                    self.has_ended = True
                    connection.direction_ended()
                    return None
                sent = self._sink.send(piece if connection.bytes_left is None else piece[: connection.bytes_left])
            except BlockingIOError:
                self._is_sink_full = True
                return None
            except OSError:
                connection.reset(by_fault=False)  # the sink has been; so is the source
                return None
            self._passed.bytes += sent
            self._underway_bytes -= sent
            if sent < len(piece):
                self._underway[0] = (read_mono_ns, memoryview(piece)[sent:])
            else:
                self._underway.popleft()
            if connection.bytes_left is not None:
                connection.bytes_left -= sent
                if connection.bytes_left == 0:
                    connection.reset(by_fault=True)
                    return None
        return None

    def _read(self) -> None:
        try:
            piece = self._source.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._connection.reset(by_fault=False)
            return
        self._underway.append((time.monotonic_ns(), piece))
        self._underway_bytes += len(piece)
        self._has_read_all = not piece
        self.proceed()

    def _wait_for_time(self, wait_ns: int | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wait_ns is not None:
            # Whole ms, which is what the loop's timers count in; one that rings too early is set again.
            self._timer = self._connection.loop.call_later(math.ceil(wait_ns / 1e6) / 1e3, self.proceed)

    def _wait_for_source(self, is_wanted: bool) -> None:
        if is_wanted and not self._is_reading:
            self._connection.loop.add_reader(self._source, self._read)
        elif self._is_reading and not is_wanted:
            self._connection.loop.remove_reader(self._source)
        self._is_reading = is_wanted

    def _wait_for_sink(self, is_wanted: bool) -> None:
        if is_wanted and not self._is_writing:
            self._connection.loop.add_writer(self._sink, self.proceed)
        elif self._is_writing and not is_wanted:
            self._connection.loop.remove_writer(self._sink)
        self._is_writing = is_wanted
