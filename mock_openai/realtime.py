"""How does a realtime session go, from its handshake to its end?

Comes in: ASGI's scope, receive and send of one WebSocket, and which behaviours are in force. Goes out: the events that
realtime_events.py words, each when it is due, and how the session ended, for the counts.

A session reads what its client says and answers at once, while at most one response is under way beside that:

    Session --words by--> Edition, Response        (realtime_events.py)
            --asks------> BehavioursInForce        each response is one request
            --waits by--> Instants

It never detects speech: audio is an item once it is committed. Everything else that it does not know is an error event.
"""

import asyncio
import base64
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import parse_qs

from pydantic_core import from_json

from mock_openai.behaviour import Behaviour, Close, UnknownBehaviour, error_words
from mock_openai.client import Message, Receive, Send
from mock_openai.counts import Counts
from mock_openai.ids import UniqueIds
from mock_openai.in_force import Active, BehavioursInForce, Ruling
from mock_openai.instants import Instants
from mock_openai.realtime_events import Asked, Edition, Heard, Response, Settings
from mock_openai.reply import Reply

REALTIME_PATHS: Final = frozenset({"/v1/realtime", "/realtime"})
#: What the status of a session's handshake is.
SWITCHED: Final = 101
#: With which OpenAI closes a session whose model it does not have.
CLOSE_INVALID_MODEL: Final = 4000

_BETA_HEADER: Final = (b"openai-beta", b"realtime=v1")
_BETA_SUBPROTOCOL: Final = "openai-beta.realtime-v1"
_SUBPROTOCOL: Final = "realtime"
#: A client that is done says so by one of these.
_GOOD_CLOSE_CODES: Final = frozenset({1000, 1001})
_ITEM_TYPES: Final = frozenset({"message", "function_call", "function_call_output"})


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a client wants of its session.

    Args:
        model: of the query; empty where it names none.
        is_beta: whether it asks for the beta edition, by header or subprotocol.
        subprotocol: that it offers and we speak; None where it offers none.
    """

    model: str
    is_beta: bool
    subprotocol: str | None

    @classmethod
    def of_scope(cls, scope: Message) -> Self:
        """As it stands in ASGI's scope."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        offered = scope.get("subprotocols", ())
        name, value = _BETA_HEADER
        by_header = any(key.lower() == name and value in given for key, given in scope["headers"])
        return cls(
            query.get("model", [""])[0],
            by_header or _BETA_SUBPROTOCOL in offered,
            _SUBPROTOCOL if _SUBPROTOCOL in offered else None,
        )


async def reject(reply: Reply, scope: Message, send: Send) -> None:
    """Refuse a handshake with that reply, or without its words where the server cannot pass them on."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1000})
        return
    await send({"type": "websocket.http.response.start", "status": reply.status, "headers": reply.headers})
    await send({"type": "websocket.http.response.body", "body": reply.body})


class _Gone(Exception):
    """The client can't be told anything any more."""


class _BadEvent(Exception):
    """A client's event that can't be followed."""

    def __init__(self, message: str, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


class Session:
    """One session.

    Args:
        handshake: whose model is not empty.
        receive, send: ASGI's, the connection being asked for but not accepted.
        behaviours: in force; the model's is looked up once.
        instants: of the event loop.
        counts: where it and its responses are counted; its handshake is already.
        ids: of all it names.
    """

    def __init__(
        self,
        handshake: Handshake,
        receive: Receive,
        send: Send,
        behaviours: BehavioursInForce,
        instants: Instants,
        counts: Counts,
        ids: UniqueIds,
    ) -> None:
        self._handshake = handshake
        self._receive = receive
        self._send = send
        self._behaviours = behaviours
        self._instants = instants
        self._counts = counts
        self._edition = Edition(handshake.is_beta, ids)
        self._settings = self._edition.settings(handshake.model)
        self._conversation_id = ids.of("conv")
        self._last_item_id: str | None = None
        self._heard = Heard()
        self._audio_bytes = 0
        self._responding: asyncio.Task[None] | None = None
        self._responses = 0
        self._is_cancelled = False
        self._sleeper: asyncio.Future[None] | None = None
        self._active: Active  # once its model is known to be one of ours
        #: Created, and to be gone on with once that has been said.
        self._next: tuple[Response, Ruling] | None = None
        #: Set by whatever ends the session before its client does: with a close frame, or (None) without a word.
        self._ended: asyncio.Future[Close | None] = asyncio.get_running_loop().create_future()
        self._handlers: dict[str, Callable[[dict[str, Any], int], list[str]]] = {
            "session.update": self._update,
            "conversation.item.create": self._create_item,
            "input_audio_buffer.append": self._append_audio,
            "input_audio_buffer.commit": self._commit_audio,
            "input_audio_buffer.clear": self._clear_audio,
            "response.create": self._create_response,
            "response.cancel": self._cancel_response,
        }

    async def run(self) -> None:
        """Accept, serve, and count how it ended."""
        try:
            await self._send({"type": "websocket.accept", "subprotocol": self._handshake.subprotocol})
        except OSError:  # it has left already
            self._counts.disconnected()
            return
        try:
            self._active = self._behaviours.of(self._handshake.model, time.monotonic())
        except UnknownBehaviour as error:
            await self._refuse(str(error))
            return
        # Apart from reading: a client that leaves before its session is created would go unnoticed.
        beginning = asyncio.create_task(self._begin(self._active.behaviour))
        beginning.add_done_callback(self._heed_fault)
        reading = asyncio.create_task(self._read(beginning))
        try:
            either: set[asyncio.Future[Any]] = {reading, self._ended}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if self._ended.done():
                close = self._ended.result()
                if close is not None:
                    await self._close(close.code, "The mock closes this session, as it was told to.")
                self._counts.cut()
            elif reading.result() in _GOOD_CLOSE_CODES:
                self._counts.replied(SWITCHED)
            else:
                self._counts.disconnected()
        finally:
            tasks = [task for task in (beginning, reading, self._responding) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # what a client does

    async def _read(self, beginning: "asyncio.Task[None]") -> int:
        """Follow the client until it leaves; returns its close code."""
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return int(message.get("code") or 1005)
            text = message.get("text")
            try:
                await beginning
                await self._say(*self._answers(text if text is not None else message["bytes"]))
            except _Gone:
                continue  # it has left, which is what is read next
            self._start_response()

    async def _begin(self, behaviour: Behaviour) -> None:
        if behaviour.session_delay_ms:
            await self._until(time.monotonic() + behaviour.session_delay_ms / 1000)
        await self._say(self._edition.event("session.created", session=self._settings))
        if self._handshake.is_beta:
            conversation = {"id": self._conversation_id, "object": "realtime.conversation"}
            await self._say(self._edition.event("conversation.created", conversation=conversation))
        self._end_if_told(behaviour)

    def _answers(self, text: str | bytes) -> list[str]:
        """What is said to an event at once."""
        event_id = None
        try:
            event = _event_of(text)
            event_id = event.get("event_id")
            return self._handlers.get(event["type"], self._follow_nothing)(event, len(text))
        except _BadEvent as error:
            return [self._edition.error(str(error), error.code, param=error.param, event_id=event_id)]

    def _follow_nothing(self, event: dict[str, Any], length: int) -> list[str]:
        known = ", ".join(sorted(self._handlers))
        raise _BadEvent(f"This mock follows no {event['type']!r}, but {known}.", "invalid_value", "type")

    def _update(self, event: dict[str, Any], length: int) -> list[str]:
        given = event.get("session")
        if not isinstance(given, dict):
            raise _BadEvent("The event must have a session: an object.", "missing_required_parameter", "session")
        if not self._handshake.is_beta and given.get("type") != "realtime":
            raise _BadEvent("session.type must be 'realtime'.", "missing_required_parameter", "session.type")
        self._settings = _merged(self._settings, given, "session")
        self._heard = Heard(self._heard.text_bytes + length, self._heard.audio_bytes)
        return [self._edition.event("session.updated", session=self._settings)]

    def _create_item(self, event: dict[str, Any], length: int) -> list[str]:
        given = event.get("item")
        if not isinstance(given, dict) or given.get("type") not in _ITEM_TYPES:
            known = ", ".join(sorted(_ITEM_TYPES))
            raise _BadEvent(f"The event must have an item with a type, one of {known}.", "invalid_value", "item.type")
        self._heard = Heard(self._heard.text_bytes + length, self._heard.audio_bytes)
        item = {"id": self._edition.ids.of("item"), "object": "realtime.item", "status": "completed"} | given
        return self._added(item)

    def _append_audio(self, event: dict[str, Any], length: int) -> list[str]:
        try:
            self._audio_bytes += len(base64.b64decode(event.get("audio", ""), validate=True))
        except (ValueError, TypeError) as error:
            raise _BadEvent("audio must be base64.", "invalid_value", "audio") from error
        return []  # as at OpenAI: nothing is said of it

    def _commit_audio(self, event: dict[str, Any], length: int) -> list[str]:
        if not self._audio_bytes:
            raise _BadEvent("There is no audio to commit.", "input_audio_buffer_commit_empty")
        self._heard = Heard(self._heard.text_bytes, self._heard.audio_bytes + self._audio_bytes)
        self._audio_bytes = 0
        item = {
            "id": self._edition.ids.of("item"),
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        committed = self._edition.event(
            "input_audio_buffer.committed", previous_item_id=self._last_item_id, item_id=item["id"]
        )
        return [committed, *self._added(item)]

    def _clear_audio(self, event: dict[str, Any], length: int) -> list[str]:
        self._audio_bytes = 0
        return [self._edition.event("input_audio_buffer.cleared")]

    def _added(self, item: dict[str, Any]) -> list[str]:
        events = self._edition.item_events(item, self._last_item_id)
        self._last_item_id = str(item["id"])
        return events

    # responses

    def _create_response(self, event: dict[str, Any], length: int) -> list[str]:
        if self._responding is not None:
            raise _BadEvent(
                "The conversation already has an active response: wait for its end, or cancel it.",
                "conversation_already_has_active_response",
            )
        given = event.get("response") or {}
        if not isinstance(given, dict):
            raise _BadEvent("response must be an object.", "invalid_value", "response")
        given = dict(given)
        is_outside = given.pop("conversation", "auto") == "none"
        of_response = {"metadata": None, "input": None, "max_output_tokens": None}
        settings = _merged(of_response | self._settings, given, "response")
        behaviour = self._active.behaviour
        self._heard = Heard(self._heard.text_bytes + length, self._heard.audio_bytes)
        asked = Asked(
            settings,
            None if is_outside else self._conversation_id,
            _function(settings),
            behaviour.reply_bytes,
            behaviour.chunks_count,
            self._heard,
            self._last_item_id,
        )
        self._next = Response(self._edition, asked), self._active.rule(time.monotonic())
        return [self._next[0].created]

    def _start_response(self) -> None:
        """Go on with the response that was just created, if there is one."""
        if self._next is not None:
            response, ruling = self._next
            self._next = None
            self._is_cancelled = False
            self._responding = asyncio.create_task(self._respond(response, ruling))
            self._responding.add_done_callback(self._heed_fault)

    def _cancel_response(self, event: dict[str, Any], length: int) -> list[str]:
        if self._responding is None:
            raise _BadEvent("There is no active response to cancel.", "response_cancel_not_active")
        self._is_cancelled = True
        self._wake()
        return []

    async def _respond(self, response: Response, ruling: Ruling) -> None:
        """Send a response, each part at its instant, to its end or to where it is to break off."""
        behaviour = ruling.behaviour
        if ruling.leaves_mono_s is None:
            self._counts.hung()
            await self._sleep()
            await self._over("cancelled", response.cancelled(0))
            return
        if not await self._until(ruling.leaves_mono_s):
            await self._over("cancelled", response.cancelled(0))
            return
        if ruling.is_error and behaviour.error is not None:
            await self._over("failed", response.failed(behaviour.error.status, error_words(behaviour.error)))
            return
        await self._say(*response.opening)
        for number, delta in enumerate(response.deltas[: behaviour.cut_after_chunks]):
            if not await self._until(ruling.chunk_leaves_mono_s(number)):
                await self._over("cancelled", response.cancelled(number))
                return
            await self._say(*delta)
        if behaviour.cut_after_chunks is not None:
            self._end(None)
            return
        self._last_item_id = response.item_id
        self._heard = Heard(self._heard.text_bytes + response.output_bytes, self._heard.audio_bytes)
        await self._over("completed", response.completed())

    async def _over(self, status: str, events: list[str]) -> None:
        """Say how a response ends; from here on the next may be asked for."""
        self._responding = None
        self._counts.responded(status)
        await self._say(*events)
        self._responses += 1
        self._end_if_told(self._active.behaviour)

    def _heed_fault(self, task: "asyncio.Task[None]") -> None:
        """A fault of ours beside the reading ends the session."""
        fault = None if task.cancelled() else task.exception()
        if fault is not None and not isinstance(fault, _Gone) and not self._ended.done():
            self._ended.set_exception(fault)

    # saying, waiting and ending

    async def _say(self, *events: str) -> None:
        try:
            for event in events:
                await self._send({"type": "websocket.send", "text": event})
        except OSError as error:  # uvicorn's word for a client that has left or is leaving
            raise _Gone from error
        except RuntimeError as error:
            # As in client.py: uvloop knows of the end before uvicorn; and nothing is said after our own close.
            if "the handler is closed" not in str(error) and "after sending 'websocket.close'" not in str(error):
                raise
            raise _Gone from error

    async def _until(self, at_mono_s: float) -> bool:
        """Wait for an instant of CLOCK_MONOTONIC; False as soon as the response is cancelled."""
        if not self._is_cancelled and at_mono_s > time.monotonic():
            sleeper = self._sleeper = asyncio.get_running_loop().create_future()
            self._instants.call_at(math.ceil(at_mono_s * 1e9), lambda: _awaken(sleeper))
            await sleeper
        return not self._is_cancelled

    async def _sleep(self) -> None:
        """Wait until the response is cancelled."""
        if not self._is_cancelled:
            self._sleeper = asyncio.get_running_loop().create_future()
            await self._sleeper

    def _wake(self) -> None:
        if self._sleeper is not None:
            _awaken(self._sleeper)

    def _end_if_told(self, behaviour: Behaviour) -> None:
        close = behaviour.close
        if close is not None and self._responses >= close.after_responses:
            self._end(close)

    def _end(self, close: Close | None) -> None:
        if not self._ended.done():
            self._ended.set_result(close)

    async def _refuse(self, why: str) -> None:
        """End a session whose model is none of ours, as OpenAI does."""
        try:
            await self._say(self._edition.error(why, "unknown_behaviour", param="model"))
        except _Gone:
            self._counts.disconnected()
            return
        await self._close(CLOSE_INVALID_MODEL, "invalid_request_error.unknown_behaviour")
        self._counts.replied(SWITCHED)

    async def _close(self, code: int, reason: str) -> None:
        try:
            await self._send({"type": "websocket.close", "code": code, "reason": reason})
        except (OSError, RuntimeError):
            pass  # the client was faster


def _event_of(text: str | bytes) -> dict[str, Any]:
    """What a client has sent, with a type; raises _BadEvent."""
    try:
        event = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise _BadEvent(f"The event is not valid JSON: {error}.", "invalid_json") from error
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise _BadEvent("The event must be a JSON object with a type.", "invalid_event", "type")
    return event


def _awaken(sleeper: "asyncio.Future[None]") -> None:
    if not sleeper.done():
        sleeper.set_result(None)


def _merged(settings: Settings, given: dict[str, Any], where: str) -> Settings:
    """The settings with what is given changed; within objects, too.

    Raises:
        _BadEvent: a setting that this edition does not have.
    """
    for name, value in given.items():
        if name not in settings:
            raise _BadEvent(f"Unknown parameter: '{where}.{name}'.", "unknown_parameter", f"{where}.{name}")
        before = settings[name]
        is_inner = isinstance(before, dict) and isinstance(value, dict) and name in ("audio", "input", "output")
        settings = settings | {name: _merged(before, value, f"{where}.{name}") if is_inner else value}
    return settings


def _function(settings: Settings) -> str | None:
    """The function that a response has to call; None where it need not: then it never does."""
    choice, tools = settings["tool_choice"], settings["tools"]
    if isinstance(choice, dict) and isinstance(choice.get("name"), str):
        return str(choice["name"])
    named = [str(tool["name"]) for tool in tools or () if isinstance(tool, dict) and "name" in tool]
    return named[0] if choice == "required" and named else None
