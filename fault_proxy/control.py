"""Which HTTP request asks the proxy for what?

Comes in: ASGI's scope, receive and send. Goes out: JSON; an error is `{"error": "…"}`, with what was wrong.
"""

import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict
from typing import Any

from fault_proxy.fault import FORWARD, BadFault, Fault, parsed
from fault_proxy.forwarder import Forwarder

Message = MutableMapping[str, Any]
Answer = dict[str, Any]


class Control:
    """The switch of a forwarder, as an ASGI app.

    Args:
        forwarder: what is switched.
        announce_token: shown by /health, so that whoever started the process knows that it talks to it.
    """

    def __init__(self, forwarder: Forwarder, announce_token: str | None) -> None:
        self._forwarder = forwarder
        self._announce_token = announce_token
        self._calls: dict[str, dict[str, Callable[[bytes], Answer]]] = {
            "/health": {"GET": self._health},
            "/fault": {"GET": lambda _: _as_json(forwarder.fault), "PUT": self._put_fault},
            "/counts": {"GET": lambda _: forwarder.counts()},
            "/reset": {"POST": self._reset},
        }

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] != "http":
            raise ValueError(
                f"this app answers HTTP only, not {scope['type']!r}: run it with lifespan and websocket off"
            )
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
        status, answer = self._answer(scope["method"], scope["path"], body)
        text = json.dumps(answer).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(text))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text})

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, Answer]:
        by_method = self._calls.get(path)
        if by_method is None:
            return 404, {"error": f"unknown path {path}; this proxy has {', '.join(self._calls)}"}
        call = by_method.get(method)
        if call is None:
            return 405, {"error": f"{path} does not take {method}, but {', '.join(by_method)}"}
        try:
            return 200, call(body)
        except BadFault as error:
            return 400, {"error": f"{method} {path}: {error}"}

    def _health(self, _: bytes) -> Answer:
        (host, port), (target_host, target_port) = self._forwarder.address, self._forwarder.target
        return {
            "status": "ok",
            "pid": os.getpid(),
            "announce_token": self._announce_token,
            "host": host,
            "port": port,
            "target": f"{target_host}:{target_port}",
        }

    def _put_fault(self, body: bytes) -> Answer:
        self._forwarder.switch(parsed(body))
        return _as_json(self._forwarder.fault)

    def _reset(self, _: bytes) -> Answer:
        self._forwarder.switch(FORWARD)
        self._forwarder.reset_counts()
        return {"reset": True}


def _as_json(fault: Fault) -> Answer:
    return {name: value for name, value in asdict(fault).items() if value is not None}
