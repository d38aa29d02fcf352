"""How does a request come in whole, and how does an answer go out to a client that may have left?

Comes in: ASGI's `receive` and `send` of one request. Goes out: its body, and whether an answer was handed over.
Knows nothing of records.
"""

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_JSON: Final = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    Args:
        status: of HTTP.
        body: JSON.
        headers: beside content type and length.
    """

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())


def json_reply(value: Any, status: int = 200) -> Reply:
    """Any JSON value; dictionary keys become texts."""
    return Reply(status, json.dumps(value).encode())


def error_reply(status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    """An error, in the form that Google's APIs give it; the others in question look at the status alone."""
    return Reply(status, json.dumps({"error": {"code": status, "message": message}}).encode(), headers)


def wrong_method(method: str, path: str, allowed: list[str]) -> Reply:
    """The answer to a known path asked with a method that it does not take."""
    names = ", ".join(allowed)
    return error_reply(405, f"{path} does not take {method}, but {names}.", ((b"allow", names.encode()),))


class BodyTooLarge(ValueError):
    """A body had more bytes than are read; it has come in to its end, and was thrown away."""


async def whole_body(receive: Receive, at_most_bytes: int) -> bytes | None:
    """The request's body; None when the client left before its end.

    Raises:
        BodyTooLarge: it has more than `at_most_bytes`.
    """
    parts: list[bytes] = []
    read_bytes = 0
    while (message := await receive())["type"] == "http.request":
        part = message.get("body", b"")
        read_bytes += len(part)
        if read_bytes <= at_most_bytes:
            parts.append(part)
        if not message.get("more_body"):
            if read_bytes > at_most_bytes:
                raise BodyTooLarge(f"the body has {read_bytes:,} bytes, and no more than {at_most_bytes:,} are read")
            return b"".join(parts)
    return None


async def leaves(receive: Receive) -> None:
    """Wait until the client is gone; it has sent its whole request, so it has nothing more to say."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def stays(receive: Receive, delay_s: float | None) -> bool:
    """Wait so long and never less, None for ever; False as soon as the client is gone."""
    until_mono_s = math.inf if delay_s is None else time.monotonic() + delay_s
    leaving = asyncio.ensure_future(leaves(receive))
    try:
        # Again, since an event loop's timers have whole milliseconds and may ring early.
        while not leaving.done() and (left_s := until_mono_s - time.monotonic()) > 0:
            await asyncio.wait({leaving}, timeout=None if delay_s is None else left_s)
        return not leaving.done()
    finally:
        leaving.cancel()


async def gets(send: Send, reply: Reply) -> bool:
    """Hand an answer to the client's connection; False when that is closed already."""
    headers = [_JSON, (b"content-length", b"%d" % len(reply.body)), *reply.headers]
    try:
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})
    except RuntimeError as error:
        # The connection is closed, and uvloop says so before uvicorn has been told.
        if "the handler is closed" not in str(error):
            raise
        return False
    return True
