"""Does a body come in whole and within bounds, does a wait last as long as told, and is a client that left noticed?"""

import asyncio
import time
import tracemalloc
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

import pytest
import uvloop

from log_sink.asgi import BodyTooLarge, Message, Receive, gets, json_reply, stays, whole_body

Value = TypeVar("Value")

GONE: Message = {"type": "http.disconnect"}


def run(claim: Coroutine[Any, Any, Value]) -> Value:
    """On the event loop that the sink has."""
    return uvloop.run(claim)


def receiving(messages: Iterable[Message]) -> Receive:
    """A client that says these, then stays silent."""
    rest = iter(messages)

    async def receive() -> Message:
        for message in rest:
            return message
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    return receive


def parts(*bodies: bytes) -> list[Message]:
    more: list[Message] = [{"type": "http.request", "body": body, "more_body": True} for body in bodies]
    return [*more[:-1], {**more[-1], "more_body": False}]


@pytest.mark.parametrize("bodies", [(b"",), (b"abc",), (b"a", b"", b"bc")])
def test_a_body_is_all_of_its_parts(bodies: tuple[bytes, ...]) -> None:
    assert run(whole_body(receiving(parts(*bodies)), at_most_bytes=3)) == b"".join(bodies)


def test_a_client_that_leaves_in_its_middle_has_sent_none() -> None:
    assert run(whole_body(receiving([*parts(b"a", b"b")[:1], GONE]), at_most_bytes=3)) is None


def test_a_body_beyond_the_limit_is_read_to_its_end_and_not_kept() -> None:
    part_bytes, count = 100_000, 100
    messages = (
        {"type": "http.request", "body": bytes(part_bytes), "more_body": number + 1 < count} for number in range(count)
    )
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge, match="the body has 10,000,000 bytes, and no more than 250,000 are read"):
            run(whole_body(receiving(messages), at_most_bytes=250_000))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < part_bytes * count / 2
    assert next(messages, None) is None


def test_a_wait_is_never_shorter_than_told() -> None:
    async def shortest_s(delay_s: float) -> float:
        waited_s = []
        for _ in range(50):
            started_mono_s = time.monotonic()
            assert await stays(receiving([]), delay_s)
            waited_s.append(time.monotonic() - started_mono_s)
        return min(waited_s)

    for delay_s in (0.0004, 0.001):
        assert run(shortest_s(delay_s)) >= delay_s


@pytest.mark.parametrize("delay_s", [3600.0, None])
def test_a_wait_ends_when_the_client_leaves(delay_s: float | None) -> None:
    assert not run(stays(receiving([GONE]), delay_s))


@pytest.mark.parametrize(("words", "is_there"), [(None, True), ("the handler is closed", False)])
def test_an_answer_to_a_closed_connection_reaches_nobody(words: str | None, is_there: bool) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        if words is not None:
            raise RuntimeError(f"unable to perform operation: {words}")
        sent.append(message)

    assert run(gets(send, json_reply({"a": 1}, 202))) is is_there
    if is_there:
        assert (sent[0]["status"], sent[1]["body"]) == (202, b'{"a": 1}')


def test_any_other_fault_of_a_connection_is_not_hidden() -> None:
    async def send(_: Message) -> None:
        raise RuntimeError("another fault")

    with pytest.raises(RuntimeError, match="another fault"):
        run(gets(send, json_reply({})))
