"""Does every request end exactly once, with what the server really did to it?"""

import asyncio
import ssl
import time
from array import array
from collections.abc import Iterable
from itertools import chain, cycle
from typing import Any

import pytest
import uvloop

from perfgate.load.endpoint import Endpoint
from perfgate.load.http_client import HttpClient, Peer, StreamConnection, Unreachable, find_peer, request_head
from perfgate.load.result import Failure
from tests.harness.load.conftest import (
    WATCHDOG_S,
    Close,
    LocalhostTls,
    Read,
    Reset,
    Script,
    Toy,
    eventually,
    toy_server,
)

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
HEAD = request_head(Endpoint("http", "localhost", 80, "/x"), api_key=None, body_bytes=4)
BODY = b"ping"
#: What a request came to: status, overhead header, length and start of the body; or the failure and its text.
End = tuple[int, bytes | None, int, bytes] | tuple[Failure, str]
OK_END: End = (200, None, 2, b"hi")


class Ends:
    """A listener that keeps the end of each request; a second end of one request is an error of the loop."""

    def __init__(self) -> None:
        self._ends: dict[int, asyncio.Future[End]] = {}
        self.first_tokens: list[int] = []
        #: Of every stream, in the order of their ends: its request, chunks, whether [DONE] came, number of gaps.
        self.streams: list[tuple[int, int, bool, int]] = []

    async def of(self, request: int) -> End:
        async with asyncio.timeout(WATCHDOG_S):
            return await self._end(request)

    def replied(
        self,
        request: int,
        completed_mono_ns: int,
        status: int,
        overhead_ms: bytes | None,
        body_bytes: int,
        body_start: bytes,
    ) -> None:
        self._end(request).set_result((status, overhead_ms, body_bytes, body_start))

    def failed(self, request: int, failure: Failure, text: str) -> None:
        self._end(request).set_result((failure, text))

    def first_token(self, request: int, at_mono_ns: int) -> None:
        assert 0 < at_mono_ns <= time.monotonic_ns()
        self.first_tokens.append(request)

    def streamed(self, request: int, chunks: int, done: bool, gaps_us: "array[int]") -> None:
        assert not self._end(request).done()
        self.streams.append((request, chunks, done, len(gaps_us)))

    def _end(self, request: int) -> asyncio.Future[End]:
        return self._ends.setdefault(request, asyncio.get_running_loop().create_future())


def client_of(toy: Toy, ends: Ends, **options: Any) -> HttpClient:
    return HttpClient(Peer("127.0.0.1", toy.port, "localhost", None), HEAD, ends, **options)


async def one_after_another(requests: int, scripts: Iterable[Script]) -> tuple[list[End], Toy]:
    """Send that many requests, each when the one before has ended."""
    ends = Ends()
    async with toy_server(*scripts) as toy:
        client = client_of(toy, ends)
        found = []
        for request in range(requests):
            client.send(request, BODY)
            found.append(await ends.of(request))
        await client.close()
    return found, toy


def ends_of(*scripts: Script, requests: int = 1) -> tuple[list[End], Toy]:
    return uvloop.run(one_after_another(requests, scripts))


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        pytest.param(OK, OK_END, id="content_length"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", (204, None, 0, b""), id="no_body"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n6\r\n there\r\n0\r\n\r\n",
            (200, None, 8, b"hi"),
            id="chunked",
        ),
        pytest.param(b"HTTP/1.1 429 Slow\r\nContent-Length: 4\r\n\r\nwait", (429, None, 4, b"wait"), id="error_status"),
        pytest.param(
            b"HTTP/1.1 302 Over there\r\nlocation: /y\r\ncontent-length: 0\r\n\r\n", (302, None, 0, b""), id="302"
        ),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, OK_END, id="interim_reply_first"),
        pytest.param(
            OK.replace(b"content-length", b"X-LiteLLM-Overhead-Duration-MS: 1.5\r\ncontent-length"),
            (200, b"1.5", 2, b"hi"),
            id="overhead_header",
        ),
    ],
)
def test_a_whole_reply_is_read_and_its_connection_used_again(reply: bytes, expected: End) -> None:
    found, toy = ends_of([Read, reply, Read, OK], requests=2)
    assert found == [expected, OK_END]
    assert toy.connections == 1
    assert toy.requests == [HEAD + BODY] * 2


def test_a_reply_may_come_in_pieces() -> None:
    found, _ = ends_of([Read, *(OK[i : i + 1] for i in range(len(OK)))])
    assert found == [OK_END]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        pytest.param(OK.replace(b"content-", b"connection: close\r\ncontent-"), OK_END, id="with_length"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nuntil the end", (200, None, 13, b"until the end"), id="ended_by_eof"),
        pytest.param(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", OK_END, id="http_1_0"),
    ],
)
def test_a_connection_that_the_server_will_close_is_not_used_again(reply: bytes, expected: End) -> None:
    found, toy = ends_of([Read, reply, Close], [Read, OK], requests=2)
    assert found == [expected, OK_END]
    assert toy.connections == 2


def test_a_connection_announced_to_close_is_not_used_even_while_it_is_open() -> None:
    _, toy = ends_of([Read, OK.replace(b"content-", b"connection: close\r\ncontent-")], [Read, OK], requests=2)
    assert toy.request_connections == [0, 1]


async def connections_used(*, at_once: int, then: int) -> list[int]:
    """On which connection each request came: some at once, so that each opens one, then some one after another."""
    ends, all_came = Ends(), asyncio.Event()
    first_holds_back: list[Script] = [chain([Read, all_came, OK], cycle([Read, OK])) for _ in range(at_once)]
    async with toy_server(*first_holds_back) as toy:
        client = client_of(toy, ends)
        for request in range(at_once):
            client.send(request, BODY)
        await eventually(lambda: len(toy.requests) == at_once)
        all_came.set()
        for request in range(at_once):
            await ends.of(request)
        for request in range(at_once, at_once + then):
            client.send(request, BODY)
            await ends.of(request)
        await client.close()
        return toy.request_connections[at_once:]


def test_idle_connections_take_turns() -> None:
    used = uvloop.run(connections_used(at_once=3, then=6))
    assert sorted(used[:3]) == [0, 1, 2]
    assert used[3:] == used[:3]


def test_spare_connections_that_idled_for_long_are_not_used_but_the_last_one_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("perfgate.load.http_client.SPARE_IDLE_MAX_S", 0)
    used = uvloop.run(connections_used(at_once=3, then=3))
    assert len(set(used)) == 1


def test_connections_that_are_meant_to_be_there_are_opened_ahead_and_take_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("perfgate.load.http_client.SPARE_IDLE_MAX_S", 0)  # none of these is a spare one

    async def used() -> tuple[int, list[int]]:
        ends = Ends()
        scripts: list[Script] = [cycle([Read, OK]) for _ in range(4)]
        async with toy_server(*scripts) as toy:
            client = client_of(toy, ends, connections=3)
            await client.open_ahead()
            await eventually(lambda: toy.connections == 3)
            for request in range(6):
                client.send(request, BODY)
                await ends.of(request)
            await client.close()
            return toy.connections, toy.request_connections

    assert uvloop.run(used()) == (3, [0, 1, 2, 0, 1, 2])


def test_a_connection_that_the_server_closed_is_replaced_when_it_is_needed() -> None:
    async def used() -> tuple[list[End], list[int]]:
        ends, close_now = Ends(), asyncio.Event()
        async with toy_server([Read, OK, close_now, Close], [Read, OK, Read, OK], [Read, OK, Read, OK]) as toy:
            client = client_of(toy, ends, connections=2)
            await client.open_ahead()
            for request in range(4):
                if request == 2:
                    close_now.set()
                    await eventually(lambda: len(client.open) == 1)
                client.send(request, BODY)
                await ends.of(request)
            await client.close()
            return [await ends.of(request) for request in range(4)], toy.request_connections

    assert uvloop.run(used()) == ([OK_END] * 4, [0, 1, 2, 1])


def test_more_requests_than_connections_open_more() -> None:
    async def opened() -> int:
        ends, all_came = Ends(), asyncio.Event()
        scripts: list[Script] = [[Read, all_came, OK]] * 3
        async with toy_server(*scripts) as toy:
            client = client_of(toy, ends, connections=1)
            await client.open_ahead()
            for request in range(3):
                client.send(request, BODY)
            await eventually(lambda: len(toy.requests) == 3)
            all_came.set()
            assert [await ends.of(request) for request in range(3)] == [OK_END] * 3
            await client.close()
            return toy.connections

    assert uvloop.run(opened()) == 3


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError("no route"), "1 of 2 connections to 127.0.0.1:9 could be opened: no route"),
        (None, "1 of 2 connections to 127.0.0.1:9 could be opened: no more within 0.054 s"),
    ],
)
def test_connections_that_cannot_be_opened_ahead_end_the_load_before_it_begins(
    monkeypatch: pytest.MonkeyPatch, error: OSError | None, text: str
) -> None:
    monkeypatch.setattr("perfgate.load.http_client.CONNECT_DEADLINE_S", 0.05)
    tried: list[asyncio.Protocol] = []

    async def connect(self: Peer, protocol: asyncio.Protocol) -> None:
        tried.append(protocol)
        if len(tried) == 2:
            if error is not None:
                raise error
            await asyncio.Event().wait()

    monkeypatch.setattr(Peer, "connect", connect)

    async def refused() -> str:
        client = HttpClient(Peer("127.0.0.1", 9, "h", None), HEAD, Ends(), connections=2)
        with pytest.raises(Unreachable) as failed:
            await client.open_ahead()
        return str(failed.value)

    assert uvloop.run(refused()) == text


def test_a_connection_closed_while_idle_costs_no_request() -> None:
    async def found() -> tuple[End, int]:
        ends, close_now = Ends(), asyncio.Event()
        async with toy_server([Read, OK, close_now, Close], [Read, OK]) as toy:
            client = client_of(toy, ends)
            client.send(0, BODY)
            await ends.of(0)
            close_now.set()
            await eventually(lambda: not client.open)
            client.send(1, BODY)
            end = await ends.of(1)
            await client.close()
            return end, toy.connections

    assert uvloop.run(found()) == (OK_END, 2)


@pytest.mark.parametrize("end", [Close, Reset])
def test_a_kept_alive_connection_that_ends_under_a_request_is_named_and_nothing_is_sent_again(
    end: type[Close] | type[Reset],
) -> None:
    found, toy = ends_of([Read, OK, Read, end], [Read, OK], requests=2)
    assert found[1][0] == Failure.KEPT_ALIVE_CLOSED
    assert "the server closed a kept-alive connection before any of the reply" in str(found[1][1])
    assert (len(toy.requests), toy.connections) == (2, 1)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ([], "the server closed the connection before any of the reply"),
        ([b"HTTP/1.1 200 OK\r\ncontent-le"], "the server closed the connection within the reply's headers"),
        ([OK[:-1]], "the server closed the connection after 1 bytes of the body"),
        (
            [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n"],
            "the server closed the connection after 2 bytes of the body",
        ),
    ],
)
def test_a_connection_closed_before_the_whole_reply_says_how_far_it_got(reply: list[bytes], text: str) -> None:
    found, _ = ends_of([Read, *reply, Close])
    assert found == [(Failure.CONNECTION_CLOSED, text)]


def test_a_connection_reset_within_the_reply_is_told_from_a_closed_one() -> None:
    (failure, text, *_), *_ = ends_of([Read, OK[:-1], Reset])[0]
    assert failure == Failure.CONNECTION_RESET
    assert "reset by peer" in str(text)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "in b'SSH-2.0-OpenSSH_9.6"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\nhi", "Invalid character in Content-Length"),
        (
            b"HTTP/1.1 101 Switch\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
            "a change of protocol (101) in b'HTTP/1.1",
        ),
    ],
)
def test_what_is_not_http_is_a_bad_reply_that_shows_its_bytes_and_ends_the_connection(reply: bytes, text: str) -> None:
    found, toy = ends_of([Read, reply], [Read, OK], requests=2)
    assert found[0][0] == Failure.BAD_REPLY
    assert text in str(found[0][1])
    assert found[1] == OK_END
    assert toy.connections == 2


@pytest.mark.parametrize("surplus", [OK, b"garbage\r\n\r\n"])
def test_a_reply_that_nobody_asked_for_is_given_to_no_request(surplus: bytes) -> None:
    found, toy = ends_of([Read, OK + surplus, Read, OK], [Read, OK], requests=2)
    assert found == [OK_END, OK_END]
    assert toy.request_connections == [0, 1]


def test_a_refused_connection_is_named() -> None:
    async def found() -> End:
        async with toy_server() as toy:
            pass
        ends = Ends()
        client_of(toy, ends).send(0, BODY)
        return await ends.of(0)

    failure, text = uvloop.run(found())[:2]
    assert failure == Failure.CONNECT_REFUSED
    assert "refused" in str(text)


def test_any_other_failure_to_connect_is_named() -> None:
    async def found() -> End:
        ends = Ends()
        no_family_takes_this = Peer("::ffff:255.255.255.255", 9, "localhost", None)
        HttpClient(no_family_takes_this, HEAD, ends).send(0, BODY)
        return await ends.of(0)

    assert uvloop.run(found())[0] == Failure.CONNECT_FAILED


def test_closing_the_client_tells_of_no_end_and_leaves_no_connection() -> None:
    async def left() -> tuple[int, bool]:
        ends, never = Ends(), asyncio.Event()
        async with toy_server([Read, never]) as toy:
            client = client_of(toy, ends)
            client.send(0, BODY)
            await eventually(lambda: bool(toy.requests))
            await client.close()
            await eventually(lambda: not client.open)
            never.set()
            told = asyncio.ensure_future(ends.of(0))
            await asyncio.sleep(0)
            was_told = told.done()
            told.cancel()
            return len(client.open), was_told

    assert uvloop.run(left()) == (0, False)


def test_a_request_head_names_host_length_and_key() -> None:
    head = request_head(Endpoint("http", "h", 4000, "/v1/x?y=z"), api_key="sk-7", body_bytes=12)
    assert head.startswith(b"POST /v1/x?y=z HTTP/1.1\r\nhost: h:4000\r\n")
    assert b"\r\ncontent-length: 12\r\n" in head
    assert head.endswith(b"\r\nauthorization: Bearer sk-7\r\n\r\n")
    assert b"authorization" not in HEAD


def test_a_request_head_says_what_the_caller_wants_it_to_say() -> None:
    headers = (("x-portkey-provider", "openai"), ("x-portkey-custom-host", "http://127.0.0.1:8090/v1"))
    head = request_head(Endpoint("http", "h", 80, "/"), api_key="sk-7", body_bytes=1, headers=headers)
    assert b"\r\nauthorization: Bearer sk-7\r\nx-portkey-provider: openai\r\n" in head
    assert head.endswith(b"\r\nx-portkey-custom-host: http://127.0.0.1:8090/v1\r\n\r\n")


def test_a_request_head_asks_for_json_or_for_a_stream_of_events() -> None:
    assert b"\r\naccept: application/json\r\n" in HEAD
    stream = request_head(Endpoint("http", "h", 80, "/"), api_key=None, body_bytes=1, stream=True)
    assert b"\r\naccept: text/event-stream\r\n" in stream


def test_a_get_has_nothing_of_a_body() -> None:
    head = request_head(Endpoint("http", "h", 80, "/v1/models"), api_key="k", body_bytes=0, method="GET")
    assert head.startswith(b"GET /v1/models HTTP/1.1\r\n")
    assert b"content-" not in head


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
FIRST, SECOND, DONE = b'data: {"content": "a"}\n\n', b'data: {"content": "b"}\n\n', b"data: [DONE]\n\n"
LAST = b"0\r\n\r\n"


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


PING = b": ping\n\n"
#: The rest of the first event, a comment and the second event.
ACROSS = chunked(FIRST[9:] + PING + SECOND)


async def streamed(scripts: Iterable[Script], requests: int = 1) -> tuple[list[End], Ends, Toy]:
    """Ask for that many streams, each when the one before has ended."""
    ends = Ends()
    async with toy_server(*scripts) as toy:
        client = client_of(toy, ends, stream=True)
        found = []
        for request in range(requests):
            client.send(request, BODY)
            found.append(await ends.of(request))
        await client.close()
    return found, ends, toy


@pytest.mark.parametrize(
    "packets",
    [
        pytest.param([STREAM_HEAD, chunked(FIRST), chunked(SECOND), chunked(DONE), LAST], id="one_each"),
        pytest.param([STREAM_HEAD + chunked(FIRST + SECOND + DONE) + LAST], id="all_in_one"),
        pytest.param(
            [STREAM_HEAD + chunked(FIRST[:9]), ACROSS[:20], ACROSS[20:] + chunked(DONE) + LAST],
            id="across",
        ),
    ],
)
def test_a_whole_stream_is_a_reply_and_its_connection_used_again(packets: list[bytes]) -> None:
    length = len(FIRST + SECOND + DONE) + (len(PING) if ACROSS[20:] in packets[-1] else 0)
    found, ends, toy = uvloop.run(streamed([[Read, *packets] * 2], requests=2))
    assert [end[:3] for end in found] == [(200, None, length)] * 2
    assert ends.first_tokens == [0, 1]
    assert ends.streams == [(0, 2, True, 1), (1, 2, True, 1)]
    assert toy.connections == 1


class Deaf(asyncio.Transport):
    """A transport to nowhere."""

    def write(self, data: Any) -> None:
        pass


def test_every_split_of_a_streamed_reply_is_the_same_reply() -> None:
    reply = STREAM_HEAD + chunked(FIRST + SECOND[:5]) + chunked(SECOND[5:] + DONE) + LAST

    async def all_splits() -> None:
        for at in range(1, len(reply)):
            ends = Ends()
            connection = StreamConnection(HttpClient(Peer("127.0.0.1", 9, "h", None), HEAD, ends, stream=True))
            connection.connection_made(Deaf())
            connection.send(0, BODY)
            for piece in (reply[:at], reply[at:]):
                connection.data_received(piece)
            assert (await ends.of(0))[:3] == (200, None, len(FIRST + SECOND + DONE)), at
            assert (ends.first_tokens, ends.streams) == ([0], [(0, 2, True, 1)]), at

    uvloop.run(all_splits())


def test_a_stream_without_a_length_ends_with_its_connection() -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    found, ends, _ = uvloop.run(streamed([[Read, head + FIRST + DONE, Close], [Read, head + FIRST, Close]], requests=2))
    assert found[0][:3] == (200, None, len(FIRST + DONE))
    assert found[1] == (Failure.STREAM_CUT_SHORT, "the reply ended; 1 chunk had come, but no [DONE]")
    assert ends.streams == [(0, 1, True, 0), (1, 1, False, 0)]


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (Close, "the server closed the connection after 48 bytes of the body; 2 chunks had come, but no [DONE]"),
        (Reset, "reset by peer after 48 bytes of the body; 2 chunks had come, but no [DONE]"),
    ],
)
def test_a_stream_whose_connection_ends_before_done_is_cut_short(end: type[Close] | type[Reset], text: str) -> None:
    async def found() -> tuple[End, Ends]:
        ends, read = Ends(), asyncio.Event()
        async with toy_server([Read, STREAM_HEAD + chunked(FIRST + SECOND), read, end]) as toy:
            client = client_of(toy, ends, stream=True)
            client.send(0, BODY)
            await eventually(lambda: bool(ends.first_tokens))  # a reset throws away what has not been read
            read.set()
            return await ends.of(0), ends

    (failure, words, *_), ends = uvloop.run(found())
    assert failure == Failure.STREAM_CUT_SHORT
    assert str(words).endswith(text)
    assert ends.streams == [(0, 2, False, 1)]


def test_a_stream_that_ends_in_good_order_without_done_is_cut_short_and_its_connection_used_again() -> None:
    replies: Script = [Read, STREAM_HEAD + chunked(FIRST) + LAST, Read, STREAM_HEAD + chunked(FIRST + DONE) + LAST]
    found, ends, toy = uvloop.run(streamed([replies], requests=2))
    assert found[0] == (Failure.STREAM_CUT_SHORT, "the reply ended; 1 chunk had come, but no [DONE]")
    assert found[1][:3] == (200, None, len(FIRST + DONE))
    assert ends.streams == [(0, 1, False, 0), (1, 1, True, 0)]
    assert toy.connections == 1


def test_a_stream_with_done_whose_connection_ends_before_the_reply_does_is_no_whole_reply() -> None:
    found, ends, _ = uvloop.run(streamed([[Read, STREAM_HEAD + chunked(FIRST + DONE), Close]]))
    length = len(FIRST + DONE)
    assert found == [(Failure.CONNECTION_CLOSED, f"the server closed the connection after {length} bytes of the body")]
    assert ends.streams == [(0, 1, True, 0)]


def test_an_error_within_a_stream_is_its_end_whatever_comes_after_it() -> None:
    error = b'data: {"error": {"message": "upstream is gone"}}\n\n'
    replies: list[Script] = [
        [Read, STREAM_HEAD + chunked(FIRST + error) + chunked(DONE) + LAST],
        [Read, STREAM_HEAD + chunked(error), Close],
    ]
    for script, chunks in zip(replies, (2, 1), strict=True):
        found, ends, _ = uvloop.run(streamed([script]))
        assert found == [(Failure.STREAM_ERROR, '{"error": {"message": "upstream is gone"}}')]
        assert [one[1] for one in ends.streams] == [chunks]


def test_a_whole_reply_to_one_who_asked_for_a_stream_is_a_stream_cut_short() -> None:
    (end,), ends, _ = uvloop.run(streamed([[Read, OK]]))
    assert end == (Failure.STREAM_CUT_SHORT, "the reply ended; 0 chunks had come, but no [DONE]")
    assert ends.first_tokens == []


def test_an_error_status_is_no_stream_whatever_its_body_says() -> None:
    body = FIRST + b"no"
    reply = b"HTTP/1.1 429 Slow\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    found, ends, toy = uvloop.run(streamed([[Read, reply, Read, reply]], requests=2))
    assert found == [(429, None, len(body), body)] * 2
    assert (ends.first_tokens, ends.streams, toy.connections) == ([], [], 1)


def test_a_stream_that_never_began_fails_as_any_reply_does() -> None:
    scripts: list[Script] = [[Read, Close], [Read, b"nonsense\r\n\r\n"]]
    found, ends, _ = uvloop.run(streamed(scripts, requests=2))
    assert [end[0] for end in found] == [Failure.CONNECTION_CLOSED, Failure.BAD_REPLY]
    assert ends.streams == []


def test_a_stream_that_nobody_asked_for_is_given_to_no_request() -> None:
    stream = STREAM_HEAD + chunked(FIRST + DONE) + LAST
    found, ends, toy = uvloop.run(streamed([[Read, stream + stream, Read, stream], [Read, stream]], requests=2))
    assert [end[0] for end in found] == [200, 200]
    assert ends.streams == [(0, 1, True, 0), (1, 1, True, 0)]
    assert toy.request_connections == [0, 1]


def test_https_works_with_a_certificate_that_is_trusted(
    monkeypatch: pytest.MonkeyPatch, localhost_tls: LocalhostTls
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(localhost_tls.trusted_pem))

    async def found() -> End:
        ends = Ends()
        # One connection is find_peer's trial; the server may or may not see it before the other.
        async with toy_server([Read, OK], [Read, OK], tls=localhost_tls.server) as toy:
            client = HttpClient(await find_peer(Endpoint("https", "localhost", toy.port, "/")), HEAD, ends)
            client.send(0, BODY)
            end = await ends.of(0)
            await client.close()
            return end

    assert uvloop.run(found()) == OK_END


def test_a_certificate_that_is_not_trusted_ends_the_load_before_it_begins(
    monkeypatch: pytest.MonkeyPatch, localhost_tls: LocalhostTls
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)

    async def found() -> End:
        async with toy_server([], [], tls=localhost_tls.server) as toy:
            with pytest.raises(Unreachable, match="certificate verify failed"):
                await find_peer(Endpoint("https", "localhost", toy.port, "/"))
            ends = Ends()
            HttpClient(Peer("127.0.0.1", toy.port, "localhost", ssl.create_default_context()), HEAD, ends).send(0, BODY)
            return await ends.of(0)

    assert uvloop.run(found())[0] == Failure.TLS_FAILED


@pytest.mark.parametrize("listens_on", ["127.0.0.1", "::1"])
def test_of_the_addresses_of_a_name_the_one_that_accepts_is_taken(listens_on: str) -> None:
    async def found() -> str:
        async with toy_server([], host=listens_on) as toy:
            host = "localhost" if listens_on == "127.0.0.1" else listens_on
            return (await find_peer(Endpoint("http", host, toy.port, "/"))).address

    assert uvloop.run(found()) == listens_on


def test_a_target_where_nothing_listens_is_unreachable() -> None:
    async def nothing() -> None:
        async with toy_server() as toy:
            pass
        await find_peer(Endpoint("http", "127.0.0.1", toy.port, "/"))

    with pytest.raises(Unreachable, match=r"no connection to 127\.0\.0\.1:\d+: 127\.0\.0\.1: .*refused"):
        uvloop.run(nothing())


@pytest.mark.parametrize("name", ["..", "a" * 64 + ".test"])
def test_a_name_that_does_not_resolve_is_unreachable(name: str) -> None:
    with pytest.raises(Unreachable, match=r"the name .* does not resolve: "):
        uvloop.run(find_peer(Endpoint("http", name, 80, "/")))


def test_a_target_that_never_accepts_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfgate.load.http_client.CONNECT_DEADLINE_S", 0.05)

    async def silent(self: Peer, protocol: asyncio.Protocol) -> asyncio.Transport:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(Peer, "connect", silent)
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1 did not accept within 0\.05 s"):
        uvloop.run(find_peer(Endpoint("http", "127.0.0.1", 9, "/")))
