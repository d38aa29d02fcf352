"""Does a realtime session say what OpenAI's would, in either edition, when it was told to, and end as it was told to?

Sessions run in this process, by ASGI; test_realtime_client.py has a real client and a real server.
"""

import asyncio
import base64
import json
import time
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import pytest
import uvloop

from mock_openai.app import MockOpenAI
from mock_openai.behaviour import GRAMMAR, Behaviour
from mock_openai.client import Message
from mock_openai.realtime_events import AUDIO_DELTA_BYTES

Value = TypeVar("Value")

#: Ends a test that would hang; no test comes near it.
WATCHDOG_S: Final = 60.0
BETA: Final = [(b"OpenAI-Beta", b"realtime=v1")]
TEXT: Final = {"output_modalities": ["text"]}


class Talk:
    """A client of one session of an app, and everything that it hears."""

    def __init__(self, app: MockOpenAI, model: str = "m", *, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        self.app = app
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        self._heard: asyncio.Queue[Message] = asyncio.Queue()
        self.scope: Message = {
            "type": "websocket",
            "path": "/v1/realtime",
            "query_string": f"model={model}".encode(),
            "headers": headers or [],
            "subprotocols": [],
            "extensions": {"websocket.http.response": {}},
        }
        self._said.put_nowait({"type": "websocket.connect"})

    async def __aenter__(self) -> "Talk":
        self.session = asyncio.create_task(self.app(self.scope, self._said.get, self._heard.put))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()
        async with asyncio.timeout(WATCHDOG_S):
            await self.session

    def say(self, kind: str, **fields: Any) -> None:
        self._said.put_nowait({"type": "websocket.receive", "text": json.dumps({"type": kind, **fields})})

    def say_raw(self, text: str) -> None:
        self._said.put_nowait({"type": "websocket.receive", "text": text})

    def leave(self, code: int = 1000) -> None:
        self._said.put_nowait({"type": "websocket.disconnect", "code": code})

    async def message(self) -> Message:
        async with asyncio.timeout(WATCHDOG_S):
            return await self._heard.get()

    async def event(self) -> dict[str, Any]:
        message = await self.message()
        assert message["type"] == "websocket.send"
        event: dict[str, Any] = json.loads(message["text"])
        assert event["event_id"].startswith("event_")
        return event

    async def accepted(self) -> dict[str, Any]:
        """The session as it is created."""
        assert (await self.message())["type"] == "websocket.accept"
        created = await self.event()
        assert created["type"] == "session.created"
        session: dict[str, Any] = created["session"]
        return session

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """All events to the first of a kind."""
        events = [await self.event()]
        while events[-1]["type"] != kind:
            events.append(await self.event())
        return events

    async def response(self, **fields: Any) -> list[dict[str, Any]]:
        self.say("response.create", **fields)
        return await self.until("response.done")

    async def counts(self) -> dict[str, Any]:
        return await counts_of(self.app)


async def counts_of(app: MockOpenAI) -> dict[str, Any]:
    """By its admin call."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "http", "method": "GET", "path": "/admin/counts"}, receive, send)
    counts: dict[str, Any] = json.loads(sent[1]["body"])
    return counts


def run(claim: Coroutine[Any, Any, Value]) -> Value:
    """On the event loop that the mock has."""

    async def bounded() -> Value:
        async with asyncio.timeout(WATCHDOG_S):
            return await claim

    return uvloop.run(bounded())


def app() -> MockOpenAI:
    return MockOpenAI(Behaviour(), None)


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def test_a_session_says_what_it_is_set_to() -> None:
    async def claim() -> dict[str, Any]:
        async with Talk(app(), "gpt-realtime") as talk:
            return await talk.accepted()

    session = run(claim())
    assert session["id"].startswith("sess_")
    assert (session["type"], session["object"], session["model"]) == ("realtime", "realtime.session", "gpt-realtime")
    assert session["output_modalities"] == ["audio"]
    assert session["audio"]["output"]["format"] == {"type": "audio/pcm", "rate": 24_000}
    assert session["expires_at"] > time.time()


@pytest.mark.parametrize("by", ["header", "subprotocol"])
def test_a_client_that_asks_for_the_beta_gets_its_words(by: str) -> None:
    async def claim() -> tuple[Message, dict[str, Any], list[str]]:
        talk = Talk(app(), headers=BETA if by == "header" else None)
        if by == "subprotocol":
            talk.scope["subprotocols"] = ["realtime", "openai-insecure-api-key.x", "openai-beta.realtime-v1"]
        async with talk:
            accept = await talk.message()
            session = (await talk.event())["session"]
            assert (await talk.event())["type"] == "conversation.created"
            talk.say("session.update", session={"modalities": ["text"]})
            assert (await talk.event())["session"]["modalities"] == ["text"]
            return accept, session, kinds(await talk.response())

    accept, session, events = run(claim())
    assert accept["subprotocol"] == (None if by == "header" else "realtime")
    assert session["output_audio_format"] == "pcm16"
    assert "output_modalities" not in session
    assert events[:4] == [
        "response.created",
        "response.output_item.added",
        "conversation.item.created",
        "response.content_part.added",
    ]
    assert events[4:-4] == ["response.text.delta"] * 8
    assert events[-4:] == [
        "response.text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    ]


def test_a_response_in_text_has_every_event_in_its_order_and_says_its_text_three_times() -> None:
    async def claim() -> list[dict[str, Any]]:
        async with Talk(app(), "mock-chunks-3-every-0ms%2Breply-10b") as talk:
            await talk.accepted()
            return await talk.response(response=TEXT)

    events = run(claim())
    assert kinds(events) == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 3,
        "response.output_text.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    response = events[-1]["response"]
    assert "".join(event.get("delta", "") for event in events) == events[7]["text"] == "The quick "
    assert response["output"][0]["content"] == [{"type": "output_text", "text": "The quick "}]
    assert (response["object"], response["status"], response["status_details"]) == (
        "realtime.response",
        "completed",
        None,
    )
    assert {event["response_id"] for event in events if "response_id" in event} == {response["id"]}
    assert {event["item_id"] for event in events if "item_id" in event} == {response["output"][0]["id"]}
    assert (events[0]["response"]["status"], events[0]["response"]["usage"]) == ("in_progress", None)
    assert len({event["event_id"] for event in events}) == len(events)


def test_audio_comes_with_its_transcript_unless_text_is_asked_for() -> None:
    async def claim() -> list[dict[str, Any]]:
        async with Talk(app(), "mock-chunks-2-every-0ms%2Breply-8b") as talk:
            await talk.accepted()
            return await talk.response()

    events = run(claim())
    assert kinds(events)[4:11] == [
        *["response.output_audio_transcript.delta", "response.output_audio.delta"] * 2,
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
    ]
    audio = base64.b64decode(events[5]["delta"])
    assert len(audio) == AUDIO_DELTA_BYTES
    assert len(set(audio)) > 2
    assert events[-1]["response"]["output"][0]["content"] == [{"type": "output_audio", "transcript": "The quic"}]
    assert events[-1]["response"]["usage"]["output_token_details"] == {"text_tokens": 2, "audio_tokens": 4}


@pytest.mark.parametrize(
    "settings",
    [
        {"tools": [{"type": "function", "name": "look_up"}], "tool_choice": "required"},
        {"tool_choice": {"type": "function", "name": "look_up"}},
    ],
)
def test_a_function_is_called_where_one_has_to_be(settings: dict[str, Any]) -> None:
    async def claim() -> list[dict[str, Any]]:
        async with Talk(app(), "mock-chunks-2-every-0ms%2Breply-40b") as talk:
            await talk.accepted()
            talk.say("session.update", session={"type": "realtime", **settings})
            assert (await talk.event())["type"] == "session.updated"
            return await talk.response()

    events = run(claim())
    assert kinds(events)[3:6] == [
        *["response.function_call_arguments.delta"] * 2,
        "response.function_call_arguments.done",
    ]
    (call,) = events[-1]["response"]["output"]
    assert (call["type"], call["name"], call["status"]) == ("function_call", "look_up", "completed")
    assert call["arguments"] == events[3]["delta"] + events[4]["delta"]
    assert len(call["arguments"]) == 40
    assert isinstance(json.loads(call["arguments"]), dict)
    assert events[3]["call_id"] == call["call_id"]


def test_usage_grows_with_what_a_session_has_heard_and_said() -> None:
    async def claim() -> list[dict[str, Any]]:
        async with Talk(app()) as talk:
            await talk.accepted()
            first = await talk.response(response=TEXT)
            message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x" * 4_000}]}
            talk.say("conversation.item.create", item=message)
            assert kinds(await talk.until("conversation.item.done"))[0] == "conversation.item.added"
            second = await talk.response(response=TEXT)
            return [events[-1]["response"]["usage"] for events in (first, second)]

    first, second = run(claim())
    assert first["output_token_details"] == {"text_tokens": 16, "audio_tokens": 0}
    assert second["input_tokens"] > first["input_tokens"] + 1_000
    for usage in (first, second):
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
        assert usage["input_token_details"]["text_tokens"] == usage["input_tokens"]


def test_audio_is_an_item_once_it_is_committed() -> None:
    async def claim() -> tuple[list[str], dict[str, Any]]:
        async with Talk(app()) as talk:
            await talk.accepted()
            talk.say("input_audio_buffer.commit")
            assert (await talk.event())["error"]["code"] == "input_audio_buffer_commit_empty"
            talk.say("input_audio_buffer.append", audio=base64.b64encode(bytes(AUDIO_DELTA_BYTES * 5)).decode())
            talk.say("input_audio_buffer.commit")
            committed = await talk.until("conversation.item.done")
            talk.say("input_audio_buffer.append", audio="AAAA")
            talk.say("input_audio_buffer.clear")
            assert (await talk.event())["type"] == "input_audio_buffer.cleared"
            talk.say("input_audio_buffer.commit")
            assert (await talk.event())["error"]["code"] == "input_audio_buffer_commit_empty"
            return kinds(committed), (await talk.response(response=TEXT))[-1]["response"]["usage"]

    committed, usage = run(claim())
    assert committed == ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]
    assert usage["input_token_details"]["audio_tokens"] == 5


def test_items_name_the_one_before_them() -> None:
    async def claim() -> tuple[list[str | None], list[str]]:
        async with Talk(app()) as talk:
            await talk.accepted()
            before, ids = [], []
            for _ in range(2):
                talk.say("conversation.item.create", item={"type": "message", "role": "user", "content": []})
                (added, _) = await talk.until("conversation.item.done")
                before.append(added["previous_item_id"])
                ids.append(added["item"]["id"])
            (added,) = [e for e in await talk.response() if e["type"] == "conversation.item.added"]
            return [*before, added["previous_item_id"]], ids

    before, ids = run(claim())
    assert before == [None, *ids]


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        ({"type": "session.close"}, "invalid_value", "type"),
        ({"type": "session.update"}, "missing_required_parameter", "session"),
        ({"type": "session.update", "session": {}}, "missing_required_parameter", "session.type"),
        (
            {"type": "session.update", "session": {"type": "realtime", "modalities": ["text"]}},
            "unknown_parameter",
            "session.modalities",
        ),
        (
            {"type": "session.update", "session": {"type": "realtime", "audio": {"output": {"pitch": 1}}}},
            "unknown_parameter",
            "session.audio.output.pitch",
        ),
        ({"type": "conversation.item.create"}, "invalid_value", "item.type"),
        ({"type": "conversation.item.create", "item": {"type": "song"}}, "invalid_value", "item.type"),
        ({"type": "input_audio_buffer.append", "audio": "*"}, "invalid_value", "audio"),
        ({"type": "input_audio_buffer.append", "audio": 5}, "invalid_value", "audio"),
        ({"type": "response.create", "response": "text"}, "invalid_value", "response"),
        ({"type": "response.create", "response": {"tempo": 1}}, "unknown_parameter", "response.tempo"),
        ({"type": "response.cancel"}, "response_cancel_not_active", None),
    ],
)
def test_a_wrong_event_is_an_error_that_says_why_and_the_session_goes_on(
    event: dict[str, Any], code: str, param: str | None
) -> None:
    async def claim() -> dict[str, Any]:
        async with Talk(app()) as talk:
            await talk.accepted()
            talk.say(**{"kind": event["type"], **{k: v for k, v in event.items() if k != "type"}, "event_id": "mine"})
            answer = await talk.event()
            assert kinds(await talk.response())[-1] == "response.done"
            return answer

    answer = run(claim())
    assert answer["type"] == "error"
    error = answer["error"]
    assert (error["type"], error["code"], error["param"], error["event_id"]) == (
        "invalid_request_error",
        code,
        param,
        "mine",
    )
    assert error["message"]


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"event_id": "x"}', '{"type": 5}', '{"type": "response.create", "x": NaN}']
)
def test_what_is_no_event_is_an_error_too(text: str) -> None:
    async def claim() -> str:
        async with Talk(app()) as talk:
            await talk.accepted()
            talk.say_raw(text)
            return str((await talk.event())["error"]["code"])

    assert run(claim()) in ("invalid_json", "invalid_event")


def test_settings_within_audio_are_changed_one_by_one() -> None:
    async def claim() -> dict[str, Any]:
        async with Talk(app()) as talk:
            before = await talk.accepted()
            talk.say("session.update", session={"type": "realtime", "audio": {"output": {"voice": "cedar"}}})
            after: dict[str, Any] = (await talk.event())["session"]
            assert after["audio"]["input"] == before["audio"]["input"]
            return after

    assert run(claim())["audio"]["output"] == {
        "format": {"type": "audio/pcm", "rate": 24_000},
        "voice": "cedar",
        "speed": 1.0,
    }


def test_delays_are_never_shorter_than_told() -> None:
    async def claim() -> list[float]:
        begun_mono_s = time.monotonic()
        instants = []
        async with Talk(app(), "mock-session-delay-20ms%2Bdelay-10ms%2Bchunks-3-every-10ms") as talk:
            await talk.accepted()
            instants.append(time.monotonic() - begun_mono_s)
            asked_mono_s = time.monotonic()
            talk.say("response.create", response=TEXT)
            assert (await talk.event())["type"] == "response.created"
            while len(instants) < 4:
                if (await talk.event())["type"] == "response.output_text.delta":
                    instants.append(time.monotonic() - asked_mono_s)
            return instants

    created, *deltas = run(claim())
    assert created >= 0.020
    for number, delta in enumerate(deltas):
        assert delta >= 0.010 + number * 0.010


@pytest.mark.parametrize(("status", "code"), [(429, "rate_limit_exceeded"), (500, "server_error")])
def test_an_error_is_a_response_that_failed_at_its_rate(status: int, code: str) -> None:
    async def claim() -> tuple[list[dict[str, Any]], dict[str, Any]]:
        async with Talk(app(), f"mock-error-{status}-rate-0.5") as talk:
            await talk.accepted()
            responses = [(await talk.response())[-1]["response"] for _ in range(4)]
            return responses, await talk.counts()

    responses, counts = run(claim())
    assert [response["status"] for response in responses] == ["failed", "completed"] * 2
    assert responses[0]["status_details"]["error"]["code"] == code
    assert (responses[0]["output"], responses[0]["usage"]) == ([], None)
    assert counts["realtime_responses"] == {"failed": 2, "completed": 2}


def test_one_response_at_a_time_and_a_client_may_cancel_it() -> None:
    async def claim() -> tuple[str, dict[str, Any], str]:
        async with Talk(app(), "mock-chunks-2-every-60000ms") as talk:
            await talk.accepted()
            talk.say("response.create", response=TEXT)
            await talk.until("response.output_text.delta")
            talk.say("response.create")
            refused = (await talk.event())["error"]["code"]
            talk.say("response.cancel")
            (done,) = await talk.until("response.done")
            talk.say("response.create", response=TEXT)
            return refused, done["response"], kinds(await talk.until("response.output_text.delta"))[0]

    refused, response, again = run(claim())
    assert refused == "conversation_already_has_active_response"
    assert (response["status"], response["status_details"]) == (
        "cancelled",
        {"type": "cancelled", "reason": "client_cancelled"},
    )
    assert again == "response.created"


@pytest.mark.parametrize("model", ["mock-hang", "mock-delay-600000ms"])
def test_a_response_that_does_not_come_can_be_cancelled_and_ends_with_its_session(model: str) -> None:
    async def claim() -> tuple[str, dict[str, Any]]:
        mock = app()
        async with Talk(mock, model) as talk:
            await talk.accepted()
            talk.say("response.create")
            await talk.until("response.created")
            talk.say("response.cancel")
            (done,) = await talk.until("response.done")
            talk.say("response.create")
            await talk.until("response.created")
        return done["response"]["status"], await counts_of(mock)

    status, counts = run(claim())
    assert status == "cancelled"
    assert (counts["replied_by_status"], counts["in_service"]) == ({"101": 1}, 0)
    assert counts["hung"] == (2 if model == "mock-hang" else 0)


@pytest.mark.parametrize(("after", "code"), [(0, 1011), (2, 4001)])
def test_a_session_is_closed_with_the_code_and_after_the_responses_that_were_told(after: int, code: int) -> None:
    async def claim() -> tuple[Message, dict[str, Any]]:
        mock = app()
        talk = Talk(mock, f"mock-close-{code}-after-{after}-responses")
        async with talk:
            await talk.accepted()
            for _ in range(after):
                await talk.response()
            message = await talk.message()
        return message, await counts_of(mock)

    message, counts = run(claim())
    assert (message["type"], message["code"]) == ("websocket.close", code)
    assert (counts["cut"], counts["replied"], counts["in_service"]) == (1, 0, 0)


def test_a_cut_ends_a_session_without_a_word_after_its_deltas() -> None:
    async def claim() -> tuple[list[str], dict[str, Any]]:
        mock = app()
        async with Talk(mock, "mock-cut-after-2-chunks") as talk:
            await talk.accepted()
            talk.say("response.create", response=TEXT)
            await talk.session
            heard = []
            while not talk._heard.empty():
                heard.append((await talk.event())["type"])
        return heard, await counts_of(mock)

    heard, counts = run(claim())
    assert heard[-2:] == ["response.output_text.delta"] * 2
    assert "response.done" not in heard
    assert (counts["cut"], counts["in_service"]) == (1, 0)


@pytest.mark.parametrize(("code", "counted"), [(1000, "replied"), (1001, "replied"), (1006, "disconnected")])
def test_how_a_client_leaves_is_counted(code: int, counted: str) -> None:
    async def claim() -> dict[str, Any]:
        mock = app()
        talk = Talk(mock)
        async with talk:
            await talk.accepted()
            assert (await talk.counts())["in_service"] == 1
            talk.leave(code)
        return await counts_of(mock)

    counts = run(claim())
    assert (counts["received_by_path"], counts["received_by_model"]) == ({"/v1/realtime": 1}, {"m": 1})
    assert (counts[counted], counts["in_service"]) == (1, 0)


def test_a_client_that_leaves_before_its_session_is_created_is_noticed() -> None:
    async def claim() -> dict[str, Any]:
        mock = app()
        async with Talk(mock, "mock-session-delay-600000ms") as talk:
            assert (await talk.message())["type"] == "websocket.accept"
            talk.leave(1006)
        return await counts_of(mock)

    assert run(claim())["disconnected"] == 1


def test_a_name_with_a_typo_is_an_error_and_a_close() -> None:
    async def claim() -> tuple[dict[str, Any], Message]:
        async with Talk(app(), "mock-dealy-20ms") as talk:
            assert (await talk.message())["type"] == "websocket.accept"
            return await talk.event(), await talk.message()

    error, close = run(claim())
    assert error["error"]["message"].endswith(f"The grammar is {GRAMMAR}.")
    assert (close["type"], close["code"], close["reason"]) == (
        "websocket.close",
        4000,
        "invalid_request_error.unknown_behaviour",
    )


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"path": "/v1/elsewhere"}, 404), ({"query_string": b""}, 400), ({"query_string": b"a=b"}, 400)],
)
def test_a_handshake_that_cannot_be_followed_is_refused_with_its_reason(changes: Message, status: int) -> None:
    async def claim() -> tuple[list[Message], dict[str, Any]]:
        mock = app()
        talk = Talk(mock)
        talk.scope.update(changes)
        async with talk:
            return [await talk.message(), await talk.message()], await talk.counts()

    (start, body), counts = run(claim())
    assert (start["type"], start["status"]) == ("websocket.http.response.start", status)
    assert json.loads(body["body"])["error"]["message"]
    assert counts["replied_by_status"] == {str(status): 1}


def test_sessions_of_one_model_share_the_count_of_its_errors() -> None:
    async def claim() -> list[str]:
        mock, statuses = app(), []
        for _ in range(4):
            async with Talk(mock, "mock-error-503-rate-0.5") as talk:
                await talk.accepted()
                statuses.append((await talk.response())[-1]["response"]["status"])
        return statuses

    assert run(claim()) == ["failed", "completed"] * 2
