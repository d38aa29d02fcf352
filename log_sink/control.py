"""How does whoever measures tell the sink how to behave, and learn what it has received?

Comes in: ASGI's scope, receive and send, of the control port, which no mode touches. Goes out: JSON.
"""

import dataclasses
import os
from collections.abc import Awaitable, Callable
from typing import Final

from log_sink.app import Sink
from log_sink.asgi import (
    BodyTooLarge,
    Message,
    Receive,
    Reply,
    Send,
    error_reply,
    gets,
    json_reply,
    whole_body,
    wrong_method,
)
from log_sink.modes import BadMode, Dead, ModeInForce, parsed
from log_sink.ports import DataPorts

#: More than any mode takes.
MAX_BODY_BYTES: Final = 65_536

_Call = Callable[[bytes], Awaitable[Reply]]


class Control:
    """The control port, as an ASGI app.

    Args:
        sink: asked and told.
        ports: closed and opened.
        announce_token: shown by /health, so that whoever started the process knows that it talks to it.
    """

    def __init__(self, sink: Sink, ports: DataPorts, announce_token: str | None) -> None:
        self._sink = sink
        self._ports = ports
        self._announce_token = announce_token
        self._calls: dict[str, dict[str, _Call]] = {
            "/health": {"GET": self._health},
            "/ports": {"GET": self._get_ports},
            "/mode": {"GET": self._get_mode, "PUT": self._put_mode},
            "/counts": {"GET": self._get_counts, "DELETE": self._delete_counts},
            "/ids": {"GET": self._get_ids},
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        method, path = scope["method"], scope["path"]
        try:
            body = await whole_body(receive, MAX_BODY_BYTES)
        except BodyTooLarge as error:
            await gets(send, error_reply(413, f"{method} {path}: {error}."))
            return
        if body is None:  # the client left in the middle of its request
            return
        by_method = self._calls.get(path)
        if by_method is None:
            reply = error_reply(404, f"Unknown path {path}; the control port has {', '.join(self._calls)}.")
        elif method not in by_method:
            reply = wrong_method(method, path, list(by_method))
        else:
            try:
                reply = await by_method[method](body)
            except BadMode as error:
                reply = error_reply(400, f"{method} {path}: {error}")
        await gets(send, reply)

    async def _health(self, _: bytes) -> Reply:
        return json_reply({"status": "ok", "pid": os.getpid(), "announce_token": self._announce_token})

    async def _get_ports(self, _: bytes) -> Reply:
        return json_reply(self._ports.numbers)

    async def _get_mode(self, _: bytes) -> Reply:
        return json_reply(dataclasses.asdict(self._sink.mode.mode))

    async def _put_mode(self, body: bytes) -> Reply:
        mode = parsed(body)
        self._sink.mode = ModeInForce(mode)
        if isinstance(mode, Dead):
            await self._ports.close()
        else:
            await self._ports.open()
        return await self._get_mode(b"")

    async def _get_counts(self, _: bytes) -> Reply:
        return json_reply(dataclasses.asdict(self._sink.counts.value()))

    async def _delete_counts(self, _: bytes) -> Reply:
        self._sink.reset()
        return json_reply({"reset": True})

    async def _get_ids(self, _: bytes) -> Reply:
        return json_reply({format_: records.ids() for format_, records in self._sink.counts.records.items()})
