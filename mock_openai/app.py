"""Which request gets which reply, and when?

Comes in: ASGI's scope, receive and send. Goes out: one reply a request, whole or as a stream, or none for a hang.
Plain ASGI without a framework: the mock has to be cheaper than everything it is used to measure.
"""

import asyncio
import math
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict
from typing import Any, Final

from pydantic_core import from_json

from mock_openai.admin import BadAdminCall, SetBehaviour, SetRecording, parsed
from mock_openai.behaviour import Behaviour, UnknownBehaviour
from mock_openai.counts import UNKNOWN_PATH, Counts, Recording
from mock_openai.in_force import BehavioursInForce, Ruling
from mock_openai.instants import Instants
from mock_openai.reply import ChatReplies, Reply, error_reply, json_reply, models_reply

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Control = Callable[[bytes], Reply]

CHAT_PATHS: Final = frozenset({"/v1/chat/completions", "/chat/completions"})
MODELS_PATHS: Final = frozenset({"/v1/models", "/models"})
COUNTED_PATHS: Final = CHAT_PATHS | MODELS_PATHS

#: Listed although every name is accepted, since some clients refuse an empty list of models.
LISTED_MODEL: Final = "gpt-4o-mini"


class MockOpenAI:
    """The endpoint as an ASGI app.

    Args:
        default: behaviour of models that neither an admin call nor a `mock-…` name says anything about.
        announce_token: shown by /health, so that whoever started the process knows that it talks to it.
    """

    def __init__(self, default: Behaviour, announce_token: str | None) -> None:
        self._announce_token = announce_token
        self._created_s = int(time.time())
        self._behaviours = BehavioursInForce(default, time.monotonic())
        self._chat_replies = ChatReplies()
        self._instants: Instants | None = None  # made within the event loop, by the first request that waits
        self._counts = Counts()
        self._recording = Recording()
        self._controls: dict[str, dict[str, Control]] = {
            "/health": {"GET": self._health},
            "/admin/behaviour": {"GET": self._get_behaviour, "PUT": self._put_behaviour},
            "/admin/counts": {"GET": lambda _: json_reply(self._counts.as_json())},
            "/admin/recording": {"PUT": self._put_recording},
            "/admin/requests": {"GET": lambda _: json_reply(self._recording.as_json())},
            "/admin/reset": {"POST": self._reset},
        }
        self._controls.update((path, {"GET": self._models}) for path in MODELS_PATHS)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] != "http":
            raise ValueError(
                f"this app answers HTTP only, not {scope['type']!r}: run it with lifespan and websocket off"
            )
        method, path = scope["method"], scope["path"]
        body = await _whole_body(receive)
        if body is None:  # the client left in the middle of its request
            return
        if path in CHAT_PATHS and method == "POST":
            await self._chat(path, body, receive, send)
            return
        # A reset replaces the counts; a request is booked to the end where it was booked when it came.
        counts = self._counts if path in COUNTED_PATHS or path not in self._controls else None
        if counts is not None:
            counts.received(path if path in COUNTED_PATHS else UNKNOWN_PATH)
        reply = self._control_reply(method, path, body)
        await _send(reply, send)
        if counts is not None:
            counts.replied(reply.status)

    async def _chat(self, path: str, body: bytes, receive: Receive, send: Send) -> None:
        counts = self._counts
        counts.received(path)
        decision = self._decide(body, counts)
        if isinstance(decision, Reply):
            reply = decision
        else:
            request, ruling = decision
            if ruling.leaves_mono_s is None:
                counts.hung()
            if not await self._client_stays_until(ruling.leaves_mono_s, receive):
                counts.disconnected()
                return
            if request.get("stream") and not ruling.is_error:
                await self._stream(request, ruling, len(body), counts, receive, send)
                return
            reply = self._ruled_reply(request["model"], ruling, len(body))
        await _send(reply, send)
        counts.replied(reply.status)

    async def _stream(
        self,
        request: dict[str, Any],
        ruling: Ruling,
        prompt_bytes: int,
        counts: Counts,
        receive: Receive,
        send: Send,
    ) -> None:
        """Send a reply chunk by chunk, each at its instant, to its end or to where it is to break off."""
        behaviour = ruling.behaviour
        options = request.get("stream_options")
        reply = self._chat_replies.make_stream(
            request["model"],
            behaviour.reply_bytes,
            behaviour.chunks_count,
            prompt_bytes,
            include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        )
        await send({"type": "http.response.start", "status": 200, "headers": reply.headers})
        for number, content in enumerate(reply.contents):
            if number and not await self._client_stays_until(ruling.chunk_leaves_mono_s(number), receive):
                counts.disconnected()
                return
            events = reply.opening + content if number == 0 else content
            is_last = number + 1 == len(reply.contents)
            if number + 1 == behaviour.cut_after_chunks:
                await send({"type": "http.response.body", "body": events, "more_body": True})
                counts.cut()
                return  # uvicorn closes the connection of a reply that was not completed
            if is_last:
                events += reply.ending
            await send({"type": "http.response.body", "body": events, "more_body": not is_last})
        counts.replied(200)

    async def _client_stays_until(self, leaves_mono_s: float | None, receive: Receive) -> bool:
        """Wait until the reply may leave; False as soon as the client is gone. None waits for that alone."""
        if leaves_mono_s is not None and leaves_mono_s <= time.monotonic():
            return True
        is_waiting = True
        try:
            async with asyncio.timeout(None) as limit:
                if leaves_mono_s is not None:

                    def end() -> None:
                        if is_waiting:
                            limit.reschedule(0)  # long past: the wait ends now

                    if self._instants is None:
                        self._instants = Instants()
                    self._instants.call_at(math.ceil(leaves_mono_s * 1e9), end)
                # A client that has sent its whole request has nothing more to say than that it is gone.
                while (await receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return True
        finally:
            is_waiting = False
        return False

    def _decide(self, body: bytes, counts: Counts) -> Reply | tuple[dict[str, Any], Ruling]:
        """Either the refusal of a wrong request, or the request and what happens to it."""
        try:
            request = from_json(body, allow_inf_nan=False)
        except ValueError as error:
            return error_reply(400, f"The body is not valid JSON: {error}.")
        if not isinstance(request, dict):
            return error_reply(400, "The body must be a JSON object.")
        model = request.get("model")
        if not isinstance(model, str) or not model:
            return error_reply(400, "The body must name a model: a text that is not empty.", param="model")
        counts.received_for(model)
        if self._recording.on:
            self._recording.add(request)
        arrived_mono_s = time.monotonic()
        try:
            active = self._behaviours.of(model, arrived_mono_s)
        except UnknownBehaviour as error:
            return error_reply(400, str(error), param="model", code="unknown_behaviour")
        return request, active.rule(arrived_mono_s)

    def _ruled_reply(self, model: str, ruling: Ruling, prompt_bytes: int) -> Reply:
        error = ruling.behaviour.error
        if error is None or not ruling.is_error:
            return self._chat_replies.make(model, ruling.behaviour.reply_bytes, prompt_bytes)
        return error_reply(
            error.status,
            f"The mock answers {error.status} to a share of {error.rate:g} of these requests, as it was told to.",
            code="mock_error",
            retry_after_s=None if error.status == 500 else error.retry_after_s,
        )

    def _control_reply(self, method: str, path: str, body: bytes) -> Reply:
        by_method = self._controls.get(path)
        if by_method is None and path not in CHAT_PATHS:
            known = ", ".join(sorted(CHAT_PATHS | self._controls.keys()))
            return error_reply(404, f"Unknown path {path}; this mock has {known}.", code="unknown_url")
        control = by_method.get(method) if by_method else None
        if control is None:
            allowed = ", ".join(by_method or ["POST"])
            reply = error_reply(405, f"{path} does not take {method}, but {allowed}.", code="method_not_allowed")
            reply.headers.append((b"allow", allowed.encode()))
            return reply
        try:
            return control(body)
        except BadAdminCall as error:
            return error_reply(422, f"{method} {path}: {error}", param=error.first_field, code="bad_admin_call")

    def _health(self, _: bytes) -> Reply:
        return json_reply({"status": "ok", "pid": os.getpid(), "announce_token": self._announce_token})

    def _models(self, _: bytes) -> Reply:
        return models_reply(sorted({LISTED_MODEL, *self._behaviours.by_admin}), self._created_s)

    def _get_behaviour(self, _: bytes) -> Reply:
        models = {model: asdict(behaviour) for model, behaviour in self._behaviours.by_admin.items()}
        return json_reply({"default": asdict(self._behaviours.default), "models": models})

    def _put_behaviour(self, body: bytes) -> Reply:
        call = parsed(body, SetBehaviour)
        self._behaviours.set(call.behaviour, call.model, time.monotonic())
        return self._get_behaviour(b"")

    def _put_recording(self, body: bytes) -> Reply:
        call = parsed(body, SetRecording)
        if call.on:
            self._recording = Recording(on=True, at_most=call.at_most)
        else:
            self._recording.on = False
        return json_reply({"on": self._recording.on, "at_most": self._recording.at_most})

    def _reset(self, _: bytes) -> Reply:
        self._behaviours.reset(time.monotonic())
        self._counts = Counts()
        self._recording = Recording()
        return json_reply({"reset": True})


async def _whole_body(receive: Receive) -> bytes | None:
    """The request's body, or None when the client left before its end."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        return body
    parts = []
    while message["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()
    return None


async def _send(reply: Reply, send: Send) -> None:
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    await send({"type": "http.response.body", "body": reply.body})
