"""Does a streamed reply have the events, the instants and the end that it was told to have?"""

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mock_openai.behaviour import Behaviour, Chunks, Stall
from mock_openai.in_force import Ruling
from mock_openai.reply import ChatReplies
from tests.harness.mock_openai.conftest import DEADLINE_S, RunningMock, started

Eventually = Callable[[Callable[[], bool]], None]


def events_of(text: str) -> list[Any]:
    """The data of every event, as JSON but for the last, [DONE]."""
    *events, done, rest = text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


def content_of(events: list[Any]) -> str:
    return "".join(choice["delta"].get("content", "") for event in events for choice in event["choices"])


def test_a_stream_names_the_role_then_its_content_then_why_it_ends(mock: RunningMock) -> None:
    reply = mock.chat("mock-chunks-3-every-0ms+reply-10b", stream=True)
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = events_of(reply.text)
    assert [event["choices"][0]["delta"].keys() for event in events] == [
        {"role", "content", "refusal"},
        {"content"},
        {"content"},
        {"content"},
        set(),
    ]
    assert content_of(events) == "The quick "
    assert [event["choices"][0]["finish_reason"] for event in events] == [None] * 4 + ["stop"]


def test_all_events_of_a_stream_share_an_id_that_no_other_reply_has(mock: RunningMock) -> None:
    streams = [events_of(mock.chat("m", stream=True).text) for _ in range(2)]
    ids = [{event["id"] for event in events} for events in streams]
    assert [len(of_one) for of_one in ids] == [1, 1]
    assert len(ids[0] | ids[1] | {mock.chat("m").json()["id"]}) == 3
    assert {(event["object"], event["model"]) for event in streams[0]} == {("chat.completion.chunk", "m")}


def test_a_stream_says_the_same_as_the_whole_reply(mock: RunningMock) -> None:
    model = "mock-reply-1000b"
    whole = mock.chat(model).json()["choices"][0]["message"]["content"]
    assert content_of(events_of(mock.chat(model, stream=True).text)) == whole


def test_usage_comes_before_the_end_when_it_is_asked_for(mock: RunningMock) -> None:
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    *before, last = events_of(mock.chat("mock-reply-100b", **asked).text)
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 25
    assert last["usage"]["total_tokens"] == 25 + last["usage"]["prompt_tokens"]
    assert {event["usage"] for event in before} == {None}
    assert all("usage" not in event for event in events_of(mock.chat("mock-reply-100b", stream=True).text))


@pytest.mark.parametrize("stream", [False, None, 0])
def test_what_does_not_ask_for_a_stream_gets_a_whole_reply(mock: RunningMock, stream: object) -> None:
    assert mock.chat("m", stream=stream).headers["content-type"] == "application/json"


def test_a_stream_that_is_cut_has_its_chunks_and_no_end(mock: RunningMock) -> None:
    body = {"model": "mock-chunks-5-every-0ms+cut-after-2-chunks", "messages": [], "stream": True}
    received, ended = b"", "in good order"
    with mock.client.stream("POST", "/v1/chat/completions", json=body) as reply:
        parts = reply.iter_raw()
        try:
            for part in parts:
                received += part
        except httpx.RemoteProtocolError as error:
            ended = str(error)
    assert "incomplete chunked read" in ended
    assert reply.status_code == 200
    assert received.count(b"data: ") == 3  # the role, and two with content
    assert b"[DONE]" not in received


def test_counts_add_up_over_whole_cut_and_abandoned_streams(mock: RunningMock, eventually: Eventually) -> None:
    mock.chat("m", stream=True)
    with pytest.raises(httpx.RemoteProtocolError):
        mock.chat("mock-cut-after-1-chunks", stream=True)
    body = {"model": "mock-chunks-2-every-60000ms", "messages": [], "stream": True}
    with mock.client.stream("POST", "/v1/chat/completions", json=body) as reply:
        parts = reply.iter_raw()
        next(parts)
        assert mock.counts()["in_service"] == 1
    eventually(lambda: mock.counts()["in_service"] == 0)
    counts = mock.counts()
    ends = (counts["received"], counts["replied_by_status"], counts["cut"], counts["disconnected"])
    assert ends == (3, {"200": 1}, 1, 1)


def test_an_error_is_no_stream(mock: RunningMock) -> None:
    reply = mock.chat("mock-error-503-rate-1-retry-after-7s", stream=True)
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "7")
    assert reply.json()["error"]["code"] == "mock_error"


@pytest.mark.slow
def test_neither_a_cut_nor_a_client_that_leaves_is_reported_as_a_fault(eventually: Eventually) -> None:
    """uvicorn would complain of a reply that was not completed, and uvloop of a connection that is closed."""
    with started() as mock:
        with pytest.raises(httpx.RemoteProtocolError):
            mock.chat("mock-cut-after-1-chunks", stream=True)
        leave_before_the_reply_of_the_first_of_two(mock)
        eventually(lambda: mock.counts()["in_service"] == 0)
        mock.process.terminate()
        _, errors = mock.process.communicate(timeout=DEADLINE_S)
        assert errors == ""


def test_a_client_of_several_requests_that_leaves_before_the_first_reply_is_counted(
    mock: RunningMock, eventually: Eventually
) -> None:
    """uvicorn tells only the last request of a connection that its client is gone."""
    leave_before_the_reply_of_the_first_of_two(mock)
    eventually(lambda: mock.counts()["disconnected"] == 1)
    counts = mock.counts()
    assert (counts["received"], counts["replied"], counts["in_service"]) == (1, 0, 0)


def leave_before_the_reply_of_the_first_of_two(mock: RunningMock) -> None:
    request = request_bytes({"model": "mock-delay-50ms", "messages": []})
    with connected(mock) as connection:
        connection.sendall(2 * request)


def test_a_client_that_does_not_read_and_leaves_is_counted_as_disconnected(
    mock: RunningMock, eventually: Eventually
) -> None:
    """More than a connection holds, and no waits: only the write that is held up can notice it."""
    model = "m" * 1_000  # echoed in every event: 12 MB in all
    behaviour = {"chunks": {"count": 10_000, "every_ms": 0}, "reply_bytes": 10_000}
    mock.client.put("/admin/behaviour", json={"model": model, "behaviour": behaviour}).raise_for_status()
    body = {"model": model, "messages": [], "stream": True}
    with connected(mock) as connection:
        connection.sendall(request_bytes(body))
        eventually(lambda: mock.counts()["received"] == 1)
        assert mock.counts()["in_service"] == 1
    eventually(lambda: mock.counts()["in_service"] == 0)
    assert (mock.counts()["disconnected"], mock.counts()["replied"]) == (1, 0)


def request_bytes(body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\nHost: m\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content)


def connected(mock: RunningMock) -> socket.socket:
    """A connection that takes in as little as the kernel allows."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    connection.connect((mock.client.base_url.host, mock.client.base_url.port or 0))
    return connection


def test_no_chunk_comes_before_its_instant(mock: RunningMock) -> None:
    body = {"model": "mock-delay-10ms+chunks-5-every-15ms", "messages": [], "stream": True}
    sent_mono_s = time.monotonic()
    arrived_mono_s: list[float] = []
    with mock.client.stream("POST", "/v1/chat/completions", json=body) as reply:
        for line in reply.iter_lines():
            if '"delta": {"content"' in line:
                arrived_mono_s.append(time.monotonic())
    assert len(arrived_mono_s) == 5
    for number, arrived in enumerate(arrived_mono_s):
        assert arrived - sent_mono_s >= 0.010 + number * 0.015


@pytest.mark.parametrize(("reply_bytes", "chunks"), [(0, 3), (2, 5), (64, 4), (1000, 7)])
def test_content_is_spread_over_the_chunks_as_evenly_as_it_goes(reply_bytes: int, chunks: int) -> None:
    reply = ChatReplies().make_stream("m", reply_bytes, chunks, 10, include_usage=False)
    lengths = [
        len(json.loads(event.removeprefix(b"data: "))["choices"][0]["delta"]["content"]) for event in reply.contents
    ]
    assert (sum(lengths), len(lengths)) == (reply_bytes, chunks)
    assert max(lengths) - min(lengths) <= 1


def ruling(behaviour: Behaviour) -> Ruling:
    return Ruling(behaviour, leaves_mono_s=100.0, is_error=False, stalls_from_mono_s=99.0)


def test_chunks_leave_on_a_schedule_that_does_not_drift() -> None:
    leaves = [ruling(Behaviour(chunks=Chunks(20, every_ms=10))).chunk_leaves_mono_s(n) for n in range(20)]
    assert leaves == pytest.approx([100.0 + n / 100 for n in range(20)])


def test_without_a_schedule_all_chunks_are_due_at_once() -> None:
    assert {ruling(Behaviour()).chunk_leaves_mono_s(n) for n in range(4)} == {100.0}


def test_no_chunk_leaves_during_a_stall() -> None:
    stalling = ruling(Behaviour(chunks=Chunks(20, every_ms=100), stall=Stall(stall_ms=500, every_s=2)))
    # The clock starts at 99: the first stall is from 101.0 to 101.5.
    assert [stalling.chunk_leaves_mono_s(n) for n in (9, 10, 14, 15)] == pytest.approx([100.9, 101.5, 101.5, 101.5])


def test_nothing_of_a_hang_ever_leaves() -> None:
    with pytest.raises(ValueError, match="chunk 0 of a hang never leaves"):
        Ruling(Behaviour(hang=True), None, is_error=False).chunk_leaves_mono_s(0)
