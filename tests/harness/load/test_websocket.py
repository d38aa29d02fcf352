"""Does a WebSocket say once and in words how it went, against a server that does what each test tells it to?"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest
import uvloop
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

from perfgate.load import websocket as websocket_module
from perfgate.load.endpoint import Endpoint
from perfgate.load.http_client import Peer
from perfgate.load.result import Failure
from perfgate.load.websocket import WebSocket
from tests.harness.load.conftest import WATCHDOG_S, eventually

#: What a server sends once it is asked for the upgrade: events, raw bytes, or None to hang up.
Answer = Event | bytes | None


@dataclass
class Server(asyncio.Protocol):
    """One connection, which gets these answers; sees what the client says, and agrees to its close or hangs up."""

    answers: Sequence[Answer]
    agrees: bool = True
    seen: list[Event] = field(default_factory=list)
    head: bytes = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self.protocol = WSConnection(ConnectionType.SERVER)

    def data_received(self, data: bytes) -> None:
        self.head = self.head or data
        self.protocol.receive_data(data)
        for event in self.protocol.events():
            self.seen.append(event)
            if isinstance(event, Request):
                self.answer()
            if isinstance(event, CloseConnection):
                if self.agrees:
                    self.transport.write(self.protocol.send(event.response()))
                self.transport.close()

    def answer(self) -> None:
        for answer in self.answers:
            if answer is None:
                self.transport.close()
            elif isinstance(answer, bytes):
                self.transport.write(answer)
            else:
                self.transport.write(self.protocol.send(answer))

    def heard(self) -> list[str]:
        return [event.data for event in self.seen if isinstance(event, TextMessage)]


@dataclass
class Notes:
    """A listener that writes everything down."""

    opens: int = 0
    texts: list[str] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    ends: list[tuple[Failure | None, str]] = field(default_factory=list)

    def opened(self) -> None:
        self.opens += 1

    def heard(self, text: str, at_mono_ns: int) -> None:
        self.texts.append(text)
        self.stamps.append(at_mono_ns)

    def ended(self, failure: Failure | None, text: str) -> None:
        self.ends.append((failure, text))


def talked(
    *answers: Answer,
    until: Callable[[Notes, Server], bool] = lambda notes, server: bool(notes.ends),
    then: Callable[[WebSocket], None] = lambda socket: None,
    api_key: str | None = None,
    agrees: bool = True,
) -> tuple[Notes, Server]:
    """Connect to a server of these answers, wait for something, do something, wait for the end."""

    async def run() -> tuple[Notes, Server]:
        notes, server = Notes(), Server(answers, agrees)
        listening = await asyncio.get_running_loop().create_server(lambda: server, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        socket = WebSocket(Endpoint("http", "127.0.0.1", port, "/v1/realtime?model=m"), api_key, notes)
        try:
            async with asyncio.timeout(WATCHDOG_S):
                await Peer("127.0.0.1", port, "127.0.0.1", None).connect(socket)
                await eventually(lambda: until(notes, server))
                then(socket)
                await eventually(lambda: bool(notes.ends))
        finally:
            listening.close()
        return notes, server

    return uvloop.run(run())


OPEN = AcceptConnection()


def test_texts_go_both_ways_in_order_and_are_stamped() -> None:
    notes, server = talked(
        OPEN,
        Message("one"),
        Message("two ✓"),
        until=lambda notes, server: len(notes.texts) == 2,
        then=say_and_close,
    )
    assert (notes.opens, notes.texts) == (1, ["one", "two ✓"])
    assert 0 < notes.stamps[0] <= notes.stamps[1]
    assert server.heard() == ["a", "b"]


def test_a_message_in_parts_is_one_and_bytes_are_text() -> None:
    notes, _ = talked(OPEN, Message("ab", message_finished=False), Message("cd"), Message(b"ef"), None)
    assert notes.texts == ["abcd", "ef"]


def test_the_upgrade_names_path_and_key_and_offers_no_compression() -> None:
    _, server = talked(OPEN, None, api_key="sk-7")
    assert server.head.startswith(b"GET /v1/realtime?model=m HTTP/1.1\r\n")
    assert b"\r\nauthorization: Bearer sk-7\r\n" in server.head
    assert b"extensions" not in server.head.lower()
    _, keyless = talked(OPEN, None)
    assert b"authorization" not in keyless.head


def test_a_ping_is_answered() -> None:
    _, server = talked(
        OPEN,
        Ping(b"there?"),
        until=lambda notes, server: any(isinstance(event, Pong) for event in server.seen),
        then=lambda socket: socket.close(),
    )
    assert [event.payload for event in server.seen if isinstance(event, Pong)] == [b"there?"]


def say_and_close(socket: WebSocket) -> None:
    socket.say("a", "b")
    socket.close()


@pytest.mark.parametrize(("agrees", "text"), [(True, "closed"), (False, "closed without a word of the server's")])
def test_a_close_of_ours_ends_without_a_failure_whatever_the_server_says(agrees: bool, text: str) -> None:
    def close_twice(socket: WebSocket) -> None:
        socket.close()
        socket.close()

    notes, server = talked(OPEN, until=lambda notes, server: bool(notes.opens), then=close_twice, agrees=agrees)
    assert notes.ends == [(None, text)]
    assert [event.code for event in server.seen if isinstance(event, CloseConnection)] == [1000]


@pytest.mark.parametrize(
    ("answers", "failure", "text"),
    [
        (
            (OPEN, CloseConnection(1013, "try again later")),
            Failure.SESSION_CLOSED,
            "the server closed the session with code 1013 (try again later)",
        ),
        (
            (OPEN, CloseConnection(1000)),
            Failure.SESSION_CLOSED,
            "the server closed the session with code 1000",
        ),
        ((OPEN, None), Failure.CONNECTION_CLOSED, "the server closed the connection without a close frame"),
        ((None,), Failure.CONNECTION_CLOSED, "the server closed the connection within the handshake"),
        (
            (
                RejectConnection(status_code=401, headers=[(b"content-length", b"4")], has_body=True),
                RejectData(b"nope"),
            ),
            Failure.HANDSHAKE_REFUSED,
            "HTTP 401: nope",
        ),
        ((RejectConnection(status_code=403),), Failure.HANDSHAKE_REFUSED, "HTTP 403: "),
    ],
)
def test_an_end_that_is_not_ours_is_told_once_with_its_kind_and_reason(
    answers: tuple[Answer, ...], failure: Failure, text: str
) -> None:
    notes, _ = talked(*answers)
    assert notes.ends == [(failure, text)]


@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"])
def test_what_is_no_websocket_is_a_bad_reply(answer: bytes) -> None:
    ((failure, _),) = talked(answer)[0].ends
    assert failure is Failure.BAD_REPLY


def test_a_frame_that_breaks_the_protocol_ends_it() -> None:
    notes, _ = talked(OPEN, b"\xff\xff\xff\xff")
    assert [failure for failure, _ in notes.ends] == [Failure.BAD_REPLY]


def test_a_message_beyond_all_measure_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_module, "MAX_MESSAGE_CHARS", 10)
    notes, _ = talked(OPEN, Message("x" * 6, message_finished=False), Message("y" * 6))
    assert notes.ends == [(Failure.BAD_REPLY, "a message of more than 10 characters")]
    assert notes.texts == []


def test_one_that_is_abandoned_says_nothing_more() -> None:
    async def run() -> list[tuple[Failure | None, str]]:
        notes, server = Notes(), Server([OPEN, Message("one")])
        listening = await asyncio.get_running_loop().create_server(lambda: server, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        socket = WebSocket(Endpoint("http", "127.0.0.1", port, "/"), None, notes)
        await Peer("127.0.0.1", port, "127.0.0.1", None).connect(socket)
        await eventually(lambda: bool(notes.texts))
        socket.abandon()
        socket.say("lost")
        await eventually(server.transport.is_closing)
        listening.close()
        return notes.ends

    assert uvloop.run(run()) == []


def test_bytes_of_a_message_that_are_no_text_are_shown_as_such() -> None:
    notes, _ = talked(OPEN, BytesMessage(b"\xff{}"), None)
    assert notes.texts == ["\ufffd{}"]
