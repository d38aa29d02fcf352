"""What does a realtime session say: its events as JSON texts, in the words of either edition of OpenAI's protocol?

Comes in: settings, items, and how a response is to be cut up. Goes out: texts in the order in which they are sent.
Knows nothing of sockets, behaviours, or clocks other than a session's `expires_at`.

Two editions are in use. The later one is spoken unless a client asks for `OpenAI-Beta: realtime=v1`:

    later                                             beta
    response.output_text.delta, …output_audio.delta   response.text.delta, …audio.delta
    conversation.item.added, conversation.item.done   conversation.item.created
    output_modalities, audio: {input, output}         modalities, input_audio_format, voice …
"""

import base64
import json
import math
import struct
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from mock_openai.ids import UniqueIds
from mock_openai.reply import filler, spread, tokens

Modality = Literal["text", "audio"]
Settings = dict[str, Any]
Item = dict[str, Any]

#: Audio is PCM of 16 bits at 24 kHz.
AUDIO_RATE_HZ: Final = 24_000
#: A delta of audio: 100 ms.
AUDIO_DELTA_BYTES: Final = AUDIO_RATE_HZ * 2 // 10
#: What OpenAI counts as a token: of input 100 ms, of output 50 ms.
AUDIO_BYTES_PER_INPUT_TOKEN: Final = AUDIO_DELTA_BYTES
AUDIO_BYTES_PER_OUTPUT_TOKEN: Final = AUDIO_DELTA_BYTES // 2
#: How long a session would last at OpenAI.
SESSION_S: Final = 3_600
_TONE_HZ: Final = 440


@dataclass(frozen=True, slots=True)
class Heard:
    """What a session has been told so far, for `usage`.

    Args:
        text_bytes: of items and settings, and of what was answered.
        audio_bytes: of committed audio.
    """

    text_bytes: int = 0
    audio_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Edition:
    """The words of one edition.

    Args:
        is_beta: which.
        ids: of events, items and whatever else has one.
    """

    is_beta: bool
    ids: UniqueIds

    def event(self, kind: str, **fields: Any) -> str:
        """An event as text."""
        return json.dumps({"type": kind, "event_id": self.ids.of("event"), **fields}, separators=(",", ":"))

    def error(self, message: str, code: str, *, param: str | None = None, event_id: object = None) -> str:
        """The event that says what is wrong with a client's event, whose id is `event_id`."""
        error = {"type": "invalid_request_error", "code": code, "message": message, "param": param}
        return self.event("error", error={**error, "event_id": event_id if isinstance(event_id, str) else None})

    def settings(self, model: str) -> Settings:
        """What a new session is set to."""
        common: Settings = {
            "object": "realtime.session",
            "id": self.ids.of("sess"),
            "model": model,
            "expires_at": int(time.time()) + SESSION_S,
            "instructions": "You are a mock.",
            "tools": [],
            "tool_choice": "auto",
            "tracing": None,
        }
        if self.is_beta:
            return common | {
                "modalities": ["audio", "text"],
                "voice": "alloy",
                "speed": 1.0,
                "input_audio_format": "pcm16",
                "output_audio_format": "pcm16",
                "input_audio_transcription": None,
                "input_audio_noise_reduction": None,
                "turn_detection": None,
                "temperature": 0.8,
                "max_response_output_tokens": "inf",
                "include": None,
                "client_secret": None,
            }
        pcm = {"type": "audio/pcm", "rate": AUDIO_RATE_HZ}
        return common | {
            "type": "realtime",
            "output_modalities": ["audio"],
            "max_output_tokens": "inf",
            "truncation": "auto",
            "prompt": None,
            "include": None,
            "audio": {
                "input": {"format": pcm, "transcription": None, "noise_reduction": None, "turn_detection": None},
                "output": {"format": pcm, "voice": "marin", "speed": 1.0},
            },
        }

    def modality(self, settings: Settings) -> Modality:
        """How a response with these settings is given; audio comes with its transcript."""
        return "audio" if "audio" in settings["modalities" if self.is_beta else "output_modalities"] else "text"

    def item_events(self, item: Item, previous_item_id: str | None) -> list[str]:
        """What is said of an item that a client has added."""
        kinds = ["conversation.item.created"] if self.is_beta else ["conversation.item.added", "conversation.item.done"]
        return [self.event(kind, previous_item_id=previous_item_id, item=item) for kind in kinds]


@dataclass(frozen=True, slots=True)
class Asked:
    """How a response is to be.

    Args:
        settings: of the session, with what the response changes.
        conversation_id: that it is part of; None for none.
        function: to be called by it; None for an answer.
        reply_bytes: length of the text, the transcript, or about that of the arguments.
        chunks: deltas.
        heard: before it.
        previous_item_id: after which its item comes.
    """

    settings: Settings
    conversation_id: str | None
    function: str | None
    reply_bytes: int
    chunks: int
    heard: Heard
    previous_item_id: str | None


class Response:
    """One response.

    Attributes:
        item_id: of what it adds to the conversation.
        created: the event that it begins with.
        opening: events that leave with the first delta.
        deltas: the events of each delta.
    """

    def __init__(self, edition: Edition, asked: Asked) -> None:
        self._edition = edition
        self._asked = asked
        self._id = edition.ids.of("resp")
        self.item_id = edition.ids.of("item")
        self._modality = edition.modality(asked.settings)
        self._text = _arguments(asked.reply_bytes) if asked.function is not None else filler(asked.reply_bytes)
        self._item = self._make_item()
        self.created = self._event("response.created", response=self._body("in_progress", [], None, None))
        self.opening = self._make_opening()
        self.deltas = [self._make_delta(part) for part in spread(self._text, asked.chunks)]

    @property
    def output_bytes(self) -> int:
        """Length of its text."""
        return len(self._text)

    def completed(self) -> list[str]:
        """How it ends."""
        item = self._item | {"status": "completed"}
        if self._asked.function is not None:
            item["arguments"] = self._text
            done = [
                self._of_item(
                    "response.function_call_arguments.done",
                    call_id=item["call_id"],
                    name=item["name"],
                    arguments=self._text,
                )
            ]
        else:
            item["content"] = [self._content(self._text)]
            done = self._content_done()
        if not self._edition.is_beta:
            previous = self._asked.previous_item_id
            done.append(self._event("conversation.item.done", previous_item_id=previous, item=item))
        done.append(self._event("response.output_item.done", response_id=self._id, output_index=0, item=item))
        return [*done, self._done("completed", [item], None)]

    def cancelled(self, deltas: int) -> list[str]:
        """How it ends when a client cancels it after so many deltas."""
        details = {"type": "cancelled", "reason": "client_cancelled"}
        output = [self._item | {"status": "incomplete"}] if deltas else []
        return [self._done("cancelled", output, details)]

    def failed(self, status: int, message: str) -> list[str]:
        """How it ends with an error, by the status that a request for it would have had."""
        kind, code = ("rate_limit_error", "rate_limit_exceeded") if status == 429 else ("server_error", "server_error")
        details = {"type": "failed", "error": {"type": kind, "code": code, "message": message}}
        return [self._done("failed", [], details)]

    def _event(self, kind: str, **fields: Any) -> str:
        return self._edition.event(kind, **fields)

    def _of_item(self, kind: str, **fields: Any) -> str:
        return self._event(kind, response_id=self._id, item_id=self.item_id, output_index=0, **fields)

    def _make_item(self) -> Item:
        item: Item = {"id": self.item_id, "object": "realtime.item", "status": "in_progress"}
        if self._asked.function is not None:
            call = {"call_id": self._edition.ids.of("call"), "name": self._asked.function, "arguments": ""}
            return item | {"type": "function_call", **call}
        return item | {"type": "message", "role": "assistant", "content": []}

    def _make_opening(self) -> list[str]:
        kind = "conversation.item.created" if self._edition.is_beta else "conversation.item.added"
        opening = [
            self._event("response.output_item.added", response_id=self._id, output_index=0, item=self._item),
            self._event(kind, previous_item_id=self._asked.previous_item_id, item=self._item),
        ]
        if self._asked.function is None:
            opening.append(self._of_item("response.content_part.added", content_index=0, part=self._part("")))
        return opening

    def _make_delta(self, part: str) -> list[str]:
        if self._asked.function is not None:
            call_id = self._item["call_id"]
            return [self._of_item("response.function_call_arguments.delta", call_id=call_id, delta=part)]
        if self._modality == "text":
            return [self._of_item(self._name("text.delta"), content_index=0, delta=part)]
        return [
            self._of_item(self._name("audio_transcript.delta"), content_index=0, delta=part),
            self._of_item(self._name("audio.delta"), content_index=0, delta=_tone()),
        ]

    def _content_done(self) -> list[str]:
        if self._modality == "text":
            done = [self._of_item(self._name("text.done"), content_index=0, text=self._text)]
        else:
            done = [
                self._of_item(self._name("audio.done"), content_index=0),
                self._of_item(self._name("audio_transcript.done"), content_index=0, transcript=self._text),
            ]
        return [*done, self._of_item("response.content_part.done", content_index=0, part=self._part(self._text))]

    def _name(self, rest: str) -> str:
        return f"response.{rest}" if self._edition.is_beta else f"response.output_{rest}"

    def _part(self, text: str) -> dict[str, str]:
        return {"type": "text", "text": text} if self._modality == "text" else {"type": "audio", "transcript": text}

    def _content(self, text: str) -> dict[str, str]:
        part = self._part(text)
        return part if self._edition.is_beta else part | {"type": f"output_{part['type']}"}

    def _done(self, status: str, output: list[Item], details: dict[str, Any] | None) -> str:
        usage = self._usage() if status == "completed" else None
        return self._event("response.done", response=self._body(status, output, details, usage))

    def _body(
        self, status: str, output: list[Item], details: dict[str, Any] | None, usage: dict[str, Any] | None
    ) -> dict[str, Any]:
        settings = self._asked.settings
        body = {
            "object": "realtime.response",
            "id": self._id,
            "status": status,
            "status_details": details,
            "output": output,
            "conversation_id": self._asked.conversation_id,
            "usage": usage,
            "metadata": settings.get("metadata"),
        }
        if self._edition.is_beta:
            of_session = ("modalities", "voice", "output_audio_format", "temperature")
            body |= {name: settings[name] for name in of_session}
            return body | {"max_output_tokens": settings["max_response_output_tokens"]}
        output_audio = {name: settings["audio"]["output"][name] for name in ("format", "voice")}
        body |= {"output_modalities": settings["output_modalities"], "audio": {"output": output_audio}}
        return body | {"max_output_tokens": settings["max_output_tokens"]}

    def _usage(self) -> dict[str, Any]:
        heard = self._asked.heard
        input_text, input_audio = tokens(heard.text_bytes), -(-heard.audio_bytes // AUDIO_BYTES_PER_INPUT_TOKEN)
        output_text, output_audio = tokens(self.output_bytes), 0
        if self._modality == "audio" and self._asked.function is None:
            output_audio = len(self.deltas) * AUDIO_DELTA_BYTES // AUDIO_BYTES_PER_OUTPUT_TOKEN
        input_tokens, output_tokens = input_text + input_audio, output_text + output_audio
        return {
            "total_tokens": input_tokens + output_tokens,
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "input_token_details": {
                "text_tokens": input_text,
                "audio_tokens": input_audio,
                "image_tokens": 0,
                "cached_tokens": 0,
                "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
            },
            "output_token_details": {"text_tokens": output_text, "audio_tokens": output_audio},
        }


def _arguments(reply_bytes: int) -> str:
    """Arguments of a function call: JSON, of that length unless it is too short to be any."""
    around = len(json.dumps({"text": ""}))
    return json.dumps({"text": filler(max(0, reply_bytes - around))})


@lru_cache(maxsize=1)
def _tone() -> str:
    """A delta of audio: a tone, since silence would be smaller wherever it is compressed."""
    samples = AUDIO_DELTA_BYTES // 2
    wave = [round(8_000 * math.sin(2 * math.pi * _TONE_HZ * number / AUDIO_RATE_HZ)) for number in range(samples)]
    return base64.b64encode(struct.pack(f"<{samples}h", *wave)).decode()
