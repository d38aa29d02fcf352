"""Which request gets which reply, and when?

Comes in: ASGI's scope, receive and send. Goes out: one reply a request, whole or as a stream, or none for a hang; a
WebSocket is handed to a session (realtime.py).
Plain ASGI without a framework: the mock has to be cheaper than everything it is used to measure.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any, Final

from pydantic_core import from_json

from mock_openai.admin import BadAdminCall, SetBehaviour, SetRecording, parsed
from mock_openai.api_replies import Api, ApiReplies, complaint, refusal
from mock_openai.behaviour import Behaviour, UnknownBehaviour, error_words
from mock_openai.client import Client, Message, Receive, Send
from mock_openai.counts import UNKNOWN_PATH, Counts, Recording
from mock_openai.ids import UniqueIds
from mock_openai.in_force import BehavioursInForce, Ruling
from mock_openai.instants import Instants
from mock_openai.realtime import REALTIME_PATHS, Handshake, Session, reject
from mock_openai.reply import ChatReplies, Reply, error_reply, json_reply, models_reply

Control = Callable[[bytes], Reply]

_APIS: Final[tuple[tuple[str, Api], ...]] = (
    ("/chat/completions", "chat"),
    ("/embeddings", "embeddings"),
    ("/responses", "responses"),
    ("/messages", "messages"),
)
#: What a POST to each path asks for.
ASKED_AT: Final[Mapping[str, Api]] = {f"{below}{path}": api for path, api in _APIS for below in ("", "/v1")}
#: Where a model is asked: where a gateway sends requests on to.
MODEL_PATHS: Final = frozenset(ASKED_AT) | REALTIME_PATHS
MODELS_PATHS: Final = frozenset({"/v1/models", "/models"})
COUNTED_PATHS: Final = MODEL_PATHS | MODELS_PATHS

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
        self._ids = UniqueIds()
        self._api_replies = ApiReplies(self._ids)
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
        if scope["type"] == "websocket":
            await self._realtime(scope, receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"this app answers HTTP and WebSockets, not {scope['type']!r}: run it with lifespan off")
        method, path = scope["method"], scope["path"]
        body = await _whole_body(receive)
        if body is None:  # the client left in the middle of its request
            return
        client = Client(receive, send)
        if path in ASKED_AT and method == "POST":
            await self._answer(path, body, client)
            return
        # A reset replaces the counts; a request is booked to the end where it was booked when it came.
        counts = self._counts if path in COUNTED_PATHS or path not in self._controls else None
        if counts is not None:
            counts.received(path if path in COUNTED_PATHS else UNKNOWN_PATH)
        reply = self._control_reply(method, path, body)
        is_there = await client.gets(*_messages(reply))
        if counts is not None and is_there:
            counts.replied(reply.status)
        elif counts is not None:
            counts.disconnected()

    async def _realtime(self, scope: Message, receive: Receive, send: Send) -> None:
        """One session, from its handshake to its end."""
        if (await receive())["type"] != "websocket.connect":
            return
        counts, path = self._counts, scope["path"]
        known = path in REALTIME_PATHS
        counts.received(path if known else UNKNOWN_PATH)
        if not known:
            refused = error_reply(
                404, f"Unknown path {path}; this mock has sessions at /v1/realtime.", code="unknown_url"
            )
        elif not (handshake := Handshake.of_scope(scope)).model:
            refused = error_reply(400, "The query must name a model: ?model=NAME.", param="model")
        else:
            counts.received_for(handshake.model)
            session = Session(handshake, receive, send, self._behaviours, self._instants, counts, self._ids)
            await session.run()
            return
        await reject(refused, scope, send)
        counts.replied(refused.status)

    async def _answer(self, path: str, body: bytes, client: Client) -> None:
        counts, api = self._counts, ASKED_AT[path]
        counts.received(path)
        decision = self._decide(api, body, counts)
        if isinstance(decision, Reply):
            reply = decision
        else:
            request, ruling = decision
            if ruling.leaves_mono_s is None:
                counts.hung()
                await client.leaves()
                counts.disconnected()
                return
            if not await client.stays_until(self._instants, ruling.leaves_mono_s):
                counts.disconnected()
                return
            if request.get("stream") and not ruling.is_error:
                await self._stream(request, ruling, len(body), counts, client)
                return
            reply = self._ruled_reply(api, request, ruling, len(body))
        if await client.gets(*_messages(reply)):
            counts.replied(reply.status)
        else:
            counts.disconnected()

    async def _stream(
        self, request: dict[str, Any], ruling: Ruling, prompt_bytes: int, counts: Counts, client: Client
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
        # Chunks that are late, or not apart, do not wait: a client that leaves meanwhile would go unnoticed.
        client.watch()
        cut_after = behaviour.cut_after_chunks
        is_there = await client.gets({"type": "http.response.start", "status": 200, "headers": reply.headers})
        for number, content in enumerate(reply.contents[:cut_after]):
            if not is_there or not await client.stays_until(self._instants, ruling.chunk_leaves_mono_s(number)):
                counts.disconnected()
                return
            events = reply.opening + content if number == 0 else content
            is_end = cut_after is None and number + 1 == len(reply.contents)
            if is_end:
                events += reply.ending
            is_there = await client.gets({"type": "http.response.body", "body": events, "more_body": not is_end})
        if not is_there:
            counts.disconnected()
        elif cut_after is not None:
            counts.cut()  # uvicorn closes the connection of a reply that was not completed
        else:
            counts.replied(200)

    @cached_property
    def _instants(self) -> Instants:
        """Made by the first request, since it belongs to the event loop that runs it."""
        return Instants()

    def _decide(self, api: Api, body: bytes, counts: Counts) -> Reply | tuple[dict[str, Any], Ruling]:
        """Either the refusal of a wrong request, or the request and what happens to it."""
        try:
            request = from_json(body, allow_inf_nan=False)
        except ValueError as error:
            return refusal(api, 400, f"The body is not valid JSON: {error}.")
        if not isinstance(request, dict):
            return refusal(api, 400, "The body must be a JSON object.")
        model = request.get("model")
        if not isinstance(model, str) or not model:
            return refusal(api, 400, "The body must name a model: a text that is not empty.", param="model")
        counts.received_for(model)
        if self._recording.on:
            self._recording.add(request)
        if (wrong := complaint(api, request)) is not None:
            message, param = wrong
            return refusal(api, 400, message, param=param)
        arrived_mono_s = time.monotonic()
        try:
            active = self._behaviours.of(model, arrived_mono_s)
        except UnknownBehaviour as error:
            return refusal(api, 400, str(error), param="model", code="unknown_behaviour")
        return request, active.rule(arrived_mono_s)

    def _ruled_reply(self, api: Api, request: dict[str, Any], ruling: Ruling, prompt_bytes: int) -> Reply:
        error, reply_bytes = ruling.behaviour.error, ruling.behaviour.reply_bytes
        if error is None or not ruling.is_error:
            if api == "chat":
                return self._chat_replies.make(request["model"], reply_bytes, prompt_bytes)
            return self._api_replies.make(api, request, reply_bytes, prompt_bytes)
        return refusal(
            api,
            error.status,
            error_words(error),
            code="mock_error",
            retry_after_s=None if error.status == 500 else error.retry_after_s,
        )

    def _control_reply(self, method: str, path: str, body: bytes) -> Reply:
        by_method = self._controls.get(path)
        if by_method is None and path not in MODEL_PATHS:
            known = ", ".join(sorted(MODEL_PATHS | self._controls.keys()))
            return error_reply(404, f"Unknown path {path}; this mock has {known}.", code="unknown_url")
        control = by_method.get(method) if by_method else None
        if control is None and path in REALTIME_PATHS:
            return error_reply(
                426, f"{path} is a WebSocket: connect to it with Upgrade: websocket.", code="no_websocket"
            )
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


def _messages(reply: Reply) -> tuple[Message, Message]:
    start = {"type": "http.response.start", "status": reply.status, "headers": reply.headers}
    return start, {"type": "http.response.body", "body": reply.body}
