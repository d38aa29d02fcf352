"""What bytes does a client get: a chat completion, whole or as a stream, an error in OpenAI's format, or other JSON?

Comes in: the asked-for model and sizes, or an error's words. Goes out: a `Reply`.
Knows nothing of behaviours, sockets or clocks other than the `created` of replies.
"""

import itertools
import json
import secrets
import time
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

_JSON: Final = (b"content-type", b"application/json")
_EVENTS: Final = (b"content-type", b"text/event-stream; charset=utf-8")
_NO_CACHE: Final = (b"cache-control", b"no-cache")
_EVENT_END: Final = b"\n\n"
_ERROR_KINDS: Final = {429: "rate_limit_error"}
_FILLER: Final = "The quick brown fox jumps over the lazy dog. "
#: The usual rule of thumb for English text; nobody should compute a price from a mock.
BYTES_PER_TOKEN: Final = 4


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole reply.

    Args:
        status: of HTTP.
        headers: as ASGI wants them, content-length included.
        body: JSON.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


@dataclass(frozen=True, slots=True)
class StreamReply:
    """One streamed reply, as server-sent events.

    Args:
        headers: as ASGI wants them.
        opening: the event that names the role; leaves with the first content.
        contents: an event for each content chunk.
        ending: finish reason, usage if asked for, and [DONE]; leaves with the last content.
    """

    headers: list[tuple[bytes, bytes]]
    opening: bytes
    contents: tuple[bytes, ...]
    ending: bytes


class ChatReplies:
    """Chat completions, each with an id that no other reply of any process has."""

    def __init__(self) -> None:
        # Random, since a counter alone would repeat in the next process, and gateways use the id as a database key.
        self._id_prefix = b"chatcmpl-" + secrets.token_hex(8).encode()
        self._next = itertools.count().__next__

    def make(self, model: str, reply_bytes: int, prompt_bytes: int) -> Reply:
        """A whole completion.

        Args:
            model: echoed.
            reply_bytes: length of the message content.
            prompt_bytes: length of the request's body, for `usage`.
        """
        before_created, after_created = _fixed_parts(model, reply_bytes)
        prompt_tokens, completion_tokens = tokens(prompt_bytes), tokens(reply_bytes)
        body = b'{"id":"%b%012x%b%d%b"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}' % (
            self._id_prefix,
            self._next(),
            before_created,
            time.time(),
            after_created,
            prompt_tokens,
            completion_tokens,
            prompt_tokens + completion_tokens,
        )
        return Reply(200, [_JSON, _content_length(body)], body)

    def make_stream(
        self, model: str, reply_bytes: int, chunks: int, prompt_bytes: int, *, include_usage: bool
    ) -> StreamReply:
        """A completion as a stream.

        Args:
            model, reply_bytes, prompt_bytes: as of `make`.
            chunks: how many chunks the content is spread over.
            include_usage: whether its last event before [DONE] holds `usage` (`stream_options.include_usage`).
        """
        head = b'data: {"id":"%b%012x","object":"chat.completion.chunk","created":%d,"model":%b,%b' % (
            self._id_prefix,
            self._next(),
            time.time(),
            json.dumps(model).encode(),
            b'"system_fingerprint":null,"usage":null,' if include_usage else b'"system_fingerprint":null,',
        )
        ending = head + _chunk({}, "stop")
        if include_usage:
            prompt_tokens, completion_tokens = tokens(prompt_bytes), tokens(reply_bytes)
            usage = {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "total_tokens": prompt_tokens + completion_tokens,
            }
            before = head.replace(b'"usage":null,', b"")
            ending += before + b'"choices":[],"usage":' + json.dumps(usage).encode() + b"}" + _EVENT_END
        return StreamReply(
            [_EVENTS, _NO_CACHE],
            head + _chunk({"role": "assistant", "content": "", "refusal": None}, None),
            tuple(head + tail for tail in _content_chunks(reply_bytes, chunks)),
            ending + b"data: [DONE]" + _EVENT_END,
        )


def json_reply(value: Any, status: int = 200) -> Reply:
    """Any JSON value; dictionary keys become strings."""
    body = json.dumps(value).encode()
    return Reply(status, [_JSON, _content_length(body)], body)


def error_reply(
    status: int, message: str, *, param: str | None = None, code: str | None = None, retry_after_s: int | None = None
) -> Reply:
    """An error in OpenAI's format.

    Args:
        status: 429 is a `rate_limit_error`, 5xx a `server_error`, the rest an `invalid_request_error`.
        message: for people.
        param: the field of the request that is at fault.
        code: OpenAI's word for the case.
        retry_after_s: sent as `Retry-After` unless None.
    """
    kind = "server_error" if status >= 500 else _ERROR_KINDS.get(status, "invalid_request_error")
    reply = json_reply({"error": {"message": message, "type": kind, "param": param, "code": code}}, status)
    if retry_after_s is not None:
        reply.headers.append((b"retry-after", b"%d" % retry_after_s))
    return reply


def models_reply(models: list[str], created_s: int) -> Reply:
    """The list of models."""
    data = [{"id": model, "object": "model", "created": created_s, "owned_by": "mock_openai"} for model in models]
    return json_reply({"object": "list", "data": data})


@lru_cache(maxsize=64)
def _content_chunks(reply_bytes: int, chunks: int) -> tuple[bytes, ...]:
    """What follows the head of each content event; as equal shares of the content as whole bytes allow."""
    return tuple(_chunk({"content": part}, None) for part in spread(filler(reply_bytes), chunks))


def _chunk(delta: dict[str, Any], finish_reason: str | None) -> bytes:
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]
    return b'"choices":' + json.dumps(choices).encode() + b"}" + _EVENT_END


def filler(length: int) -> str:
    """Text of so many bytes, always the same."""
    return (_FILLER * (length // len(_FILLER) + 1))[:length]


def spread(text: str, parts: int) -> list[str]:
    """The text in so many parts, as equal as whole characters allow."""
    edges = [len(text) * number // parts for number in range(parts + 1)]
    return [text[low:high] for low, high in pairwise(edges)]


def tokens(length_bytes: int) -> int:
    """What a text of so many bytes counts as in `usage`."""
    return -(-length_bytes // BYTES_PER_TOKEN)


@lru_cache(maxsize=64)
def _fixed_parts(model: str, reply_bytes: int) -> tuple[bytes, bytes]:
    """What stands between id and `created`, and between `created` and usage; made once, since it may be long."""
    message = {"role": "assistant", "content": filler(reply_bytes), "refusal": None}
    choices = [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}]
    after = f',"model":{json.dumps(model)},"choices":{json.dumps(choices)},"system_fingerprint":null,'
    return b'","object":"chat.completion","created":', after.encode()


def _content_length(body: bytes) -> tuple[bytes, bytes]:
    return (b"content-length", b"%d" % len(body))
