"""How does one WebSocket open, carry texts both ways and end, at the least cost to its client?

Comes in: texts to say. Goes out: calls on a `WebSocketListener`: `opened`, `heard` for each whole message, and `ended`,
exactly once. RFC 6455 by wsproto, which does no I/O of its own, over asyncio transports: what arrives is stamped where
its bytes arrive, before anything is parsed. Nothing is offered to be compressed, and no pings are sent; those of the
server are answered.
"""

import asyncio
import time
from typing import Final, Protocol, cast

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from perfgate.load.endpoint import Endpoint
from perfgate.load.result import Failure

#: Of one message: more than any event of a session, so that whatever is longer is a fault and does not fill the memory.
MAX_MESSAGE_CHARS: Final = 16 * 2**20
CLOSE_NORMAL: Final = 1000
#: What of a refusal is kept; whoever shows it takes out what nobody may see, and then shortens it.
_KEPT_BYTES: Final = 2_000


class WebSocketListener(Protocol):
    """Who is told what becomes of a WebSocket."""

    def opened(self) -> None:
        """The handshake is done."""

    def heard(self, text: str, at_mono_ns: int) -> None:
        """A whole message came, its last packet at that instant."""

    def ended(self, failure: Failure | None, text: str) -> None:
        """It is over; `failure` is None when we have closed it and the server agreed, `text` is for people."""


class WebSocket(asyncio.Protocol):
    """One WebSocket; make it, connect it (`Peer.connect`), and it opens itself.

    Args:
        endpoint: whose path and query are asked for.
        api_key: sent as a bearer token; None sends none.
        listener: told of everything.
    """

    def __init__(self, endpoint: Endpoint, api_key: str | None, listener: WebSocketListener) -> None:
        headers = [(b"user-agent", b"perfgate")]
        if api_key is not None:
            headers.append((b"authorization", b"Bearer " + api_key.encode("ascii")))
        self._request = Request(host=endpoint.host_header, target=endpoint.path, extra_headers=headers)
        self._listener = listener
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._transport: asyncio.Transport | None = None
        self._parts: list[str] = []
        self._refusal = b""
        self._status = 0
        self._is_closing = False
        self._has_ended = False

    def say(self, *texts: str) -> None:
        """Send messages, as one write; does nothing once it is closing."""
        if self._protocol.state is ConnectionState.OPEN and self._transport is not None:
            self._transport.write(b"".join([self._protocol.send(Message(data=text)) for text in texts]))

    def close(self) -> None:
        """Ask for the end; `ended` follows once the server agrees. What has no session yet is dropped at once."""
        if self._is_closing:
            return
        if self._protocol.state is not ConnectionState.OPEN or self._transport is None:
            self.abandon()
            return
        self._is_closing = True
        self._transport.write(self._protocol.send(CloseConnection(code=CLOSE_NORMAL)))

    def abandon(self) -> None:
        """Drop it; the listener hears nothing more."""
        self._has_ended = True
        if self._transport is not None:
            self._transport.abort()

    # asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade, unless nobody wants it any more."""
        self._transport = cast("asyncio.Transport", transport)
        if self._has_ended:
            self._transport.abort()
        else:
            self._transport.write(self._protocol.send(self._request))

    def data_received(self, data: bytes) -> None:
        """Parse; the listener's calls run inside."""
        at_mono_ns = time.monotonic_ns()
        try:
            self._protocol.receive_data(data)
            for event in self._protocol.events():
                if self._has_ended:
                    return
                self._take(event, at_mono_ns)
        except (RemoteProtocolError, LocalProtocolError) as error:
            self._fail(Failure.BAD_REPLY, f"{error} in {data[:80]!r}")

    def connection_lost(self, error: Exception | None) -> None:
        """The end, by whichever side."""
        self._transport = None
        if self._has_ended:
            return
        if self._is_closing:
            self._end(None, "closed without a word of the server's")
        elif self._status:  # a refusal whose body was cut short is one, too
            self._refused()
        elif error is not None:
            self._end(Failure.CONNECTION_RESET, f"{error} {self._progress()}")
        else:
            self._end(Failure.CONNECTION_CLOSED, f"the server closed the connection {self._progress()}")

    def _take(self, event: Event, at_mono_ns: int) -> None:
        match event:
            case TextMessage() | BytesMessage():
                self._parts.append(
                    event.data if isinstance(event.data, str) else bytes(event.data).decode(errors="replace")
                )
                if sum(map(len, self._parts)) > MAX_MESSAGE_CHARS:
                    self._fail(Failure.BAD_REPLY, f"a message of more than {MAX_MESSAGE_CHARS:,} characters")
                elif event.message_finished:
                    text, self._parts = "".join(self._parts), []
                    self._listener.heard(text, at_mono_ns)
            case AcceptConnection():
                self._listener.opened()
            case Ping():
                self._write(event.response())
            case CloseConnection():
                self._closed(event)
            case RejectConnection():
                self._status = event.status_code
                if not event.has_body:
                    self._refused()
            case RejectData():
                self._refusal += bytes(event.data)
                if event.body_finished:
                    self._refused()

    def _closed(self, event: CloseConnection) -> None:
        if self._protocol.state is ConnectionState.OPEN:  # wsproto's way to say that a frame is none
            self._fail(Failure.BAD_REPLY, str(event.reason))
            return
        if self._protocol.state is ConnectionState.REMOTE_CLOSING:
            self._write(event.response())
        if self._transport is not None:
            self._transport.close()
        if self._is_closing:
            self._end(None, "closed")
        else:
            reason = f" ({event.reason})" if event.reason else ""
            self._end(Failure.SESSION_CLOSED, f"the server closed the session with code {int(event.code)}{reason}")

    def _refused(self) -> None:
        shown = self._refusal[:_KEPT_BYTES].decode(errors="replace")
        self._fail(Failure.HANDSHAKE_REFUSED, f"HTTP {self._status}: {shown}")

    def _fail(self, failure: Failure, text: str) -> None:
        transport = self._transport
        self._end(failure, text)
        if transport is not None:
            transport.abort()

    def _end(self, failure: Failure | None, text: str) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._listener.ended(failure, text)

    def _write(self, event: Event) -> None:
        if self._transport is not None:
            self._transport.write(self._protocol.send(event))

    def _progress(self) -> str:
        state = self._protocol.state
        return "within the handshake" if state is ConnectionState.CONNECTING else "without a close frame"
