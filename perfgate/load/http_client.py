"""How does a request get to the server and its reply back, at the least cost to the sender?

Comes in: request bodies, each with a number. Goes out: for every request exactly one call, `replied` or `failed`, on
the `Listener`. HTTP/1.1 over asyncio transports (uvloop's, in the generator) with the httptools parser: no tasks, no
thread, no header objects on the way, and the completion is stamped where the last byte is parsed.

    HttpClient --opens and keeps--> Connection --tells--> Listener

Nothing is retried and nothing is redirected: what happened to a request is what the server did to it.
"""

import asyncio
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Final, Protocol, cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from perfgate.load.endpoint import Endpoint
from perfgate.load.result import Failure

OVERHEAD_HEADER: Final = b"x-litellm-overhead-duration-ms"
_LENGTH_HEADERS: Final = frozenset({b"content-length", b"transfer-encoding"})
_KEPT_HEADERS: Final = _LENGTH_HEADERS | {OVERHEAD_HEADER}
#: How long the first connection of a load may take: a server that cannot accept one in this time is not there.
CONNECT_DEADLINE_S: Final = 10.0
_IDLE: Final = -1


class Unreachable(Exception):
    """No connection to the endpoint could be made before the load; the text says to where, and why."""


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


def request_head(endpoint: Endpoint, *, api_key: str | None, body_bytes: int) -> bytes:
    """Everything of a POST that comes before its body; the same for every request of a load."""
    lines = [
        f"POST {endpoint.path} HTTP/1.1",
        f"host: {endpoint.host_header}",
        "user-agent: perfgate",
        "accept: application/json",
        "content-type: application/json",
        f"content-length: {body_bytes}",
        *([] if api_key is None else [f"authorization: Bearer {api_key}"]),
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
    """Sends each request on an idle connection, the last used first, or on a new one when none is idle.

    There is no cap on connections: whoever sends decides how many requests are in flight.

    Args:
        peer: where connections go.
        head: what precedes every body (`request_head`).
        listener: told of every request's end.
    """

    def __init__(self, peer: Peer, head: bytes, listener: Listener) -> None:
        self.listener: Final = listener
        self.idle: Final[list[Connection]] = []
        self.open: Final[set[Connection]] = set()
        self._peer = peer
        self._head = head
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[None]] = set()

    def send(self, request: int, body: bytes) -> None:
        """Send one request now; its number (>= 0) comes back to the listener."""
        while self.idle:
            connection = self.idle.pop()
            if connection.usable:
                connection.send(request, self._head + body)
                return
        task = self._loop.create_task(self._connect_and_send(request, body))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def close(self) -> None:
        """Drop every connection; the listener hears nothing of requests that are still in flight."""
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for connection in tuple(self.open):
            connection.abandon()

    async def _connect_and_send(self, request: int, body: bytes) -> None:
        connection = Connection(self)
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
        self._headers_complete = False
        self._headers.clear()
        self._body_bytes = 0
        self._body_start = b""
        status = self._parser.get_status_code()
        self._client.listener.replied(request, completed_mono_ns, status, overhead, body_bytes, body_start)

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


def _words(error: Exception) -> str:
    return "a change of protocol (101)" if isinstance(error, HttpParserUpgrade) else str(error)
