"""How does a request get to the server and its reply back, at the least cost to the sender?

Comes in: request bodies, each with a number. Goes out: for every request exactly one call, `replied` or `failed`, on
the `Listener`. HTTP/1.1 over asyncio transports (uvloop's, in the generator) with the httptools parser: no tasks, no
thread, no header objects on the way, and the completion is stamped where the last byte is parsed.

    HttpClient --opens and keeps--> Connection, or StreamConnection --tells--> Listener
                                                        |
                                                        +--feeds--> EventStream

Nothing is retried and nothing is redirected: what happened to a request is what the server did to it.
"""

import asyncio
import socket
import ssl
import time
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final, Protocol, cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from perfgate.load.endpoint import Endpoint
from perfgate.load.event_stream import EventStream
from perfgate.load.result import Failure
from perfgate.measure.acceptors import AcceptorsUnknown, acceptors

OVERHEAD_HEADER: Final = b"x-litellm-overhead-duration-ms"
_LENGTH_HEADERS: Final = frozenset({b"content-length", b"transfer-encoding"})
_KEPT_HEADERS: Final = _LENGTH_HEADERS | {OVERHEAD_HEADER}
#: How long the first connection of a load may take: a server that cannot accept one in this time is not there.
CONNECT_DEADLINE_S: Final = 10.0
#: From one connection opened ahead to the next: of several workers behind one listening socket, whichever wakes first
#: accepts all that has come, so by the next connection all of them should be waiting again.
CONNECT_SPACING_S: Final = 0.002
#: Beyond those that are meant to be kept, no connection that idled longer is used: its server may be about to close it
#: (gunicorn does after 2 s, uvicorn and Node.js after 5 s), and the request would be lost with it.
SPARE_IDLE_MAX_S: Final = 1.5
_IDLE: Final = -1


class Unreachable(Exception):
    """The endpoint could not be connected to, as it should be, before the load; the text says to where, and why."""


class Listener(Protocol):
    """Who is told what became of each request."""

    def replied(
        self,
        request: int,
        completed_mono_ns: int,
        status: int,
        overhead_ms: bytes | None,
        body_bytes: int,
        body_start: bytes,
    ) -> None:
        """A whole reply came; `overhead_ms` is the raw header, `body_start` the first piece of the body."""

    def failed(self, request: int, failure: Failure, text: str) -> None:
        """No whole reply came, and none will."""

    def first_token(self, request: int, at_mono_ns: int) -> None:
        """The first chunk with content of a stream came."""

    def streamed(self, request: int, chunks: int, done: bool, gaps_us: "array[int]") -> None:
        """What came of a stream, just before `replied` or `failed` says how it ended; arguments as `EventStream`'s."""


def request_head(
    endpoint: Endpoint,
    *,
    api_key: str | None,
    body_bytes: int,
    stream: bool = False,
    method: str = "POST",
    headers: Sequence[tuple[str, str]] = (),
) -> bytes:
    """Everything of a request that comes before its body; the same for every request of a load. A GET has no body."""
    of_body = ["content-type: application/json", f"content-length: {body_bytes}"] if method != "GET" else []
    lines = [
        f"{method} {endpoint.path} HTTP/1.1",
        f"host: {endpoint.host_header}",
        "user-agent: perfgate",
        f"accept: {'text/event-stream' if stream else 'application/json'}",
        *of_body,
        *([] if api_key is None else [f"authorization: Bearer {api_key}"]),
        *(f"{name}: {value}" for name, value in headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


@dataclass(frozen=True, slots=True)
class Peer:
    """An address that an endpoint resolved to; `tls` is None for http."""

    address: str
    port: int
    server_name: str
    tls: ssl.SSLContext | None

    async def connect(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        """Open one connection for that protocol; raises OSError (ssl.SSLError is one)."""
        transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: protocol,
            self.address,
            self.port,
            ssl=self.tls,
            server_hostname=self.server_name if self.tls else None,
        )
        # A request goes out as one write, so waiting for more of it could only delay it.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return transport


async def find_peer(endpoint: Endpoint) -> Peer:
    """Resolve the host once, and prove with one connection that something listens there.

    Name look-ups during a load would be measured with it. Of several addresses the first that accepts is taken.

    Raises:
        Unreachable: the name does not resolve, or no address accepts a connection (https: with a good certificate).
    """
    where = f"{endpoint.host}:{endpoint.port}"
    try:
        found = await asyncio.get_running_loop().getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: a label of the name is empty or too long
        raise Unreachable(f"the name {endpoint.host} does not resolve: {error}") from error
    tls = ssl.create_default_context() if endpoint.scheme == "https" else None
    reasons = []
    for address in dict.fromkeys(str(entry[4][0]) for entry in found):
        peer = Peer(address, endpoint.port, endpoint.host, tls)
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                transport = await peer.connect(asyncio.Protocol())
        except TimeoutError:
            reasons.append(f"{address} did not accept within {CONNECT_DEADLINE_S:g} s")
        except OSError as error:
            reasons.append(f"{address}: {error}")
        else:
            transport.close()
            return peer
    raise Unreachable(f"no connection to {where}: {'; '.join(reasons)}")


class HttpClient:
    """Sends each request on an idle connection, the longest idle first, or on a new one when none is idle.

    There is no cap on connections: whoever sends decides how many requests are in flight. Taking turns spreads the
    requests over all workers behind one listening socket, also where few requests are in flight.

    Args:
        peer: where connections go.
        head: what precedes every body (`request_head`).
        listener: told of every request's end.
        connections: as long as fewer are open, a request opens one rather than wait for its turn on another.
        processes: how many accept connections at the peer, which is on this host: of those that are opened ahead, each
            gets the same number.
        accepts_in: see `Target`.
        stream: replies are streams of events.
    """

    def __init__(
        self,
        peer: Peer,
        head: bytes,
        listener: Listener,
        *,
        connections: int = 0,
        processes: int = 1,
        accepts_in: int | None = None,
        stream: bool = False,
    ) -> None:
        self.listener: Final = listener
        self.idle: Final[deque[Connection]] = deque()
        self.open: Final[set[Connection]] = set()
        self._peer = peer
        self._head = head
        self._connections = connections
        self._processes = processes
        self._accepts_in = accepts_in
        self._new_connection = StreamConnection if stream else Connection
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[None]] = set()

    def send(self, request: int, body: bytes) -> None:
        """Send one request now; its number (>= 0) comes back to the listener."""
        if not self._connections or len(self.open) + len(self._connecting) >= self._connections:
            connection = self._longest_idle()
            if connection is not None:
                connection.send(request, self._head + body)
                return
        task = self._loop.create_task(self._connect_and_send(request, body))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def open_ahead(self) -> None:
        """Open the connections that are meant to be there from the start.

        Raises:
            Unreachable: they could not all be opened, or nobody can say which process has which.
        """
        opened, accepting = 0, 0
        deadline_s = CONNECT_DEADLINE_S + self._connections * CONNECT_SPACING_S
        try:
            async with asyncio.timeout(deadline_s):
                while len(self.idle) < self._connections:
                    connection = self._new_connection(self)
                    await self._peer.connect(connection)
                    self.idle.append(connection)
                    opened += 1
                    await asyncio.sleep(CONNECT_SPACING_S)
                    if self._processes > 1 and len(self.idle) == self._connections:
                        accepting = self._keep_equal_shares()
        except AcceptorsUnknown as error:
            raise Unreachable(str(error)) from error
        except OSError as error:  # TimeoutError is one, and has no text
            if self._processes > 1 and opened >= self._connections:
                raise Unreachable(
                    f"of {opened} connections to {self._peer.address}:{self._peer.port}, {accepting} of "
                    f"{self._processes} processes accepted any share, where each should have had "
                    f"{self._connections // self._processes}"
                ) from error
            raise Unreachable(
                f"{opened} of {self._connections} connections to {self._peer.address}:{self._peer.port} could be "
                f"opened: {str(error) or f'no more within {deadline_s:g} s'}"
            ) from error

    async def close(self) -> None:
        """Drop every connection; the listener hears nothing of requests that are still in flight."""
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for connection in tuple(self.open):
            connection.abandon()

    def _keep_equal_shares(self) -> int:
        """Drop what any process has accepted beyond its share, and what none has; how many processes have accepted."""
        connection_of = {connection.local_port: connection for connection in self.idle}
        by_process: dict[int, list[Connection]] = {}
        for port, process in acceptors(self._peer.port, connection_of, self._accepts_in).items():
            by_process.setdefault(process, []).append(connection_of[port])
        share = self._connections // self._processes
        shares = [kept[:share] for kept in by_process.values()]
        # In turn, so that requests that follow each other go to different processes.
        kept = [connection for turn in zip_longest(*shares) for connection in turn if connection is not None]
        for connection in connection_of.values():
            if connection not in kept:
                connection.abandon()
        self.idle.clear()
        self.idle.extend(kept)
        return len(by_process)

    def _longest_idle(self) -> "Connection | None":
        spare_since_mono_ns = None
        while self.idle:
            connection = self.idle.popleft()
            if not connection.usable:
                continue
            if len(self.idle) < max(1, self._connections):
                return connection
            if spare_since_mono_ns is None:
                spare_since_mono_ns = time.monotonic_ns() - round(SPARE_IDLE_MAX_S * 1e9)
            if connection.idle_since_mono_ns > spare_since_mono_ns:
                return connection
            connection.abandon()
        return None

    async def _connect_and_send(self, request: int, body: bytes) -> None:
        connection = self._new_connection(self)
        try:
            await self._peer.connect(connection)
        except ConnectionRefusedError as error:
            self.listener.failed(request, Failure.CONNECT_REFUSED, str(error))
        except ssl.SSLError as error:
            self.listener.failed(request, Failure.TLS_FAILED, str(error))
        except OSError as error:
            self.listener.failed(request, Failure.CONNECT_FAILED, str(error))
        else:
            connection.send(request, self._head + body)


class Connection(asyncio.Protocol):
    """One connection: at most one request at a time, kept alive between them if the server does."""

    def __init__(self, client: HttpClient) -> None:
        self.usable = False
        self.idle_since_mono_ns = 0
        self._client = client
        self._transport: asyncio.Transport | None = None
        self._parser: HttpResponseParser | None = None
        self._request = _IDLE
        self._requests_sent = 0
        self._reply_began = False
        self._headers_complete = False
        self._headers: dict[bytes, bytes] = {}
        self._body_bytes = 0
        self._body_start = b""
        self._keep = False

    @property
    def local_port(self) -> int:
        """Our end's port; 0 when the connection is lost."""
        return int(self._transport.get_extra_info("sockname")[1]) if self._transport is not None else 0

    def send(self, request: int, data: bytes) -> None:
        """Write one request; only when `usable`, or just connected."""
        self._request = request
        self._requests_sent += 1
        self._reply_began = False
        if self._transport is None:  # lost between connecting and this call
            self._lost(None)
        else:
            self._transport.write(data)

    def abandon(self) -> None:
        """Drop the connection and forget its request."""
        self._request = _IDLE
        self._drop()

    # asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready to send."""
        self._transport = cast("asyncio.Transport", transport)
        self._parser = HttpResponseParser(self)
        self.usable = True
        self.idle_since_mono_ns = time.monotonic_ns()
        self._client.open.add(self)

    def data_received(self, data: bytes) -> None:
        """Parse; the callbacks below run inside."""
        self._reply_began = True
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except HttpParserCallbackError:  # a fault of ours in a callback must not read as the server's
            raise
        except (HttpParserError, HttpParserUpgrade) as error:
            self._fail(Failure.BAD_REPLY, f"{_words(error)} in {data[:80]!r}")
            self._drop()
            return
        if self._request == _IDLE:
            # Only now, with all data parsed, may the connection serve another request.
            if self._keep:
                self._keep = False
                self.idle_since_mono_ns = time.monotonic_ns()
                self._client.idle.append(self)
            else:
                self._drop()

    def eof_received(self) -> None:
        """The server will send no more; asyncio closes the transport next."""
        self._lost(None)

    def connection_lost(self, error: Exception | None) -> None:
        """The end, by whichever side."""
        self._lost(error)
        self._transport = None
        self._parser = None  # it points back here: without the collector that cycle would live on
        self._client.open.discard(self)

    # the parser calls these

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the few headers that matter."""
        name = name.lower()
        if name in _KEPT_HEADERS:
            self._headers[name] = value

    def on_headers_complete(self) -> None:
        """From here on an end of the connection may be the end of the body."""
        self._headers_complete = True

    def on_body(self, body: bytes) -> None:
        """Count; keep the first piece for the words of an error."""
        if not self._body_bytes:
            self._body_start = body
        self._body_bytes += len(body)

    def on_message_complete(self) -> None:
        """Stamp and report a whole reply."""
        assert self._parser is not None
        if self._parser.get_status_code() < 200:  # interim: the reply itself follows
            self._headers_complete = False
            self._headers.clear()
        elif self._request != _IDLE:
            self._keep = self._parser.should_keep_alive()
            self._report()
        else:  # a reply that nobody asked for
            self._keep = False

    def _report(self) -> None:
        completed_mono_ns = time.monotonic_ns()
        assert self._parser is not None
        request, overhead = self._request, self._headers.get(OVERHEAD_HEADER)
        body_bytes, body_start = self._body_bytes, self._body_start
        self._request = _IDLE
        self._forget_reply()
        status = self._parser.get_status_code()
        self._client.listener.replied(request, completed_mono_ns, status, overhead, body_bytes, body_start)

    def _forget_reply(self) -> None:
        self._headers_complete = False
        self._headers.clear()
        self._body_bytes = 0
        self._body_start = b""

    def _lost(self, error: Exception | None) -> None:
        self.usable = False
        if self._request == _IDLE:
            return
        if error is None and self._headers_complete and not self._headers.keys() & _LENGTH_HEADERS:
            self._report()  # a body without a length ends with its connection
        elif self._requests_sent > 1 and not self._reply_began:
            text = "the server closed a kept-alive connection before any of the reply (its idle time-out, or its end)"
            self._fail(Failure.KEPT_ALIVE_CLOSED, text if error is None else f"{text}: {error}")
        elif error is None:
            self._fail(Failure.CONNECTION_CLOSED, f"the server closed the connection {self._progress()}")
        else:
            self._fail(Failure.CONNECTION_RESET, f"{error} {self._progress()}")

    def _progress(self) -> str:
        if not self._reply_began:
            return "before any of the reply"
        return f"after {self._body_bytes} bytes of the body" if self._headers_complete else "within the reply's headers"

    def _fail(self, failure: Failure, text: str) -> None:
        if self._request != _IDLE:
            request, self._request = self._request, _IDLE
            self._client.listener.failed(request, failure, text)

    def _drop(self) -> None:
        self.usable = False
        if self._transport is not None:
            self._transport.abort()


class StreamConnection(Connection):
    """A connection whose replies are streams of events; other replies than 2xx are read as a `Connection` does."""

    def __init__(self, client: HttpClient) -> None:
        super().__init__(client)
        self._events = EventStream()
        self._received_mono_ns = 0

    def send(self, request: int, data: bytes) -> None:
        """As `Connection.send`."""
        self._events = EventStream()
        super().send(request, data)

    def data_received(self, data: bytes) -> None:
        """As `Connection.data_received`; all events in one packet have one instant."""
        self._received_mono_ns = time.monotonic_ns()
        super().data_received(data)

    def on_body(self, body: bytes) -> None:
        """Read the events."""
        super().on_body(body)
        if not self._is_streaming():
            return
        events = self._events
        began = events.first_token_mono_ns
        events.feed(body, self._received_mono_ns)
        if not began and events.first_token_mono_ns:
            self._client.listener.first_token(self._request, events.first_token_mono_ns)

    def _report(self) -> None:
        if not self._is_streaming():
            super()._report()
        elif fault := self._events.fault("the reply ended"):
            self._fail(*fault)
            self._forget_reply()
        else:
            self._tell_what_came()
            super()._report()

    def _fail(self, failure: Failure, text: str) -> None:
        if self._is_streaming():
            self._tell_what_came()
            if failure in (Failure.CONNECTION_CLOSED, Failure.CONNECTION_RESET):
                failure, text = self._events.fault(text) or (failure, text)
        super()._fail(failure, text)

    def _tell_what_came(self) -> None:
        events = self._events
        self._client.listener.streamed(self._request, events.chunks, events.done, events.gaps_us)

    def _is_streaming(self) -> bool:
        return (
            self._request != _IDLE
            and self._headers_complete
            and self._parser is not None
            and 200 <= self._parser.get_status_code() < 300
        )


def _words(error: Exception) -> str:
    return "a change of protocol (101)" if isinstance(error, HttpParserUpgrade) else str(error)
