"""Does every request end exactly once, with what the server really did to it?"""

import asyncio
import ssl
from collections.abc import Iterable

import pytest
import uvloop

from perfgate.load.endpoint import Endpoint
from perfgate.load.http_client import HttpClient, Peer, Unreachable, find_peer, request_head
from perfgate.load.result import Failure
from tests.harness.load.conftest import (
    LOCALHOST_PEM,
    WATCHDOG_S,
    Close,
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

    def _end(self, request: int) -> asyncio.Future[End]:
        return self._ends.setdefault(request, asyncio.get_running_loop().create_future())


def client_of(toy: Toy, ends: Ends) -> HttpClient:
    return HttpClient(Peer("127.0.0.1", toy.port, "localhost", None), HEAD, ends)


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


def test_of_idle_connections_the_last_used_serves_first() -> None:
    async def used() -> list[int]:
        ends, second_may_end = Ends(), asyncio.Event()
        async with toy_server([Read, OK, Read, OK], [Read, second_may_end, OK, Read, OK]) as toy:
            client = client_of(toy, ends)
            client.send(0, BODY)
            client.send(1, BODY)
            replies = {asyncio.ensure_future(ends.of(request)) for request in (0, 1)}
            await asyncio.wait(replies, return_when=asyncio.FIRST_COMPLETED)
            second_may_end.set()
            await asyncio.wait(replies)
            client.send(2, BODY)
            await ends.of(2)
            await client.close()
            return toy.request_connections

    assert uvloop.run(used())[2] == 1


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


def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(LOCALHOST_PEM)
    return context


def test_https_works_with_a_certificate_that_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(LOCALHOST_PEM))

    async def found() -> End:
        ends = Ends()
        # One connection is find_peer's trial; the server may or may not see it before the other.
        async with toy_server([Read, OK], [Read, OK], tls=server_tls()) as toy:
            client = HttpClient(await find_peer(Endpoint("https", "localhost", toy.port, "/")), HEAD, ends)
            client.send(0, BODY)
            end = await ends.of(0)
            await client.close()
            return end

    assert uvloop.run(found()) == OK_END


def test_a_certificate_that_is_not_trusted_ends_the_load_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)

    async def found() -> End:
        async with toy_server([], [], tls=server_tls()) as toy:
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
