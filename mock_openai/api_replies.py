"""What bytes does a client of embeddings, responses or messages get?

Comes in: the request as parsed, and sizes. Goes out: a `Reply`, whole, in the format of OpenAI or (messages) Anthropic.
Knows nothing of behaviours, sockets or clocks other than the `created_at` of replies.
"""

import base64
import json
import math
import struct
import time
from functools import lru_cache
from typing import Any, Final, Literal

from mock_openai.ids import UniqueIds
from mock_openai.reply import Reply, error_reply, filler, json_reply, tokens

#: The endpoints that answer a POST, by the last part of their path but for chat completions.
Api = Literal["chat", "embeddings", "responses", "messages"]

#: Of a vector, unless the request asks for another; as of text-embedding-3-small.
DEFAULT_DIMENSIONS: Final = 1_536
MAX_DIMENSIONS: Final = 3_072
#: Texts of one request, as OpenAI allows.
MAX_INPUTS: Final = 2_048

_ANTHROPIC_KINDS: Final = {429: "rate_limit_error", 404: "not_found_error"}


class ApiReplies:
    """Whole replies, each with an id that no other reply of any process has."""

    def __init__(self, ids: UniqueIds) -> None:
        self._ids = ids

    def make(self, api: Api, request: dict[str, Any], reply_bytes: int, prompt_bytes: int) -> Reply:
        """The reply to a request that `complaint` has nothing to say of.

        Args:
            api: any but chat.
            request: as parsed.
            reply_bytes: length of the text that is answered; vectors have their own.
            prompt_bytes: length of the request's body, for `usage`.

        Raises:
            ValueError: of chat.
        """
        match api:
            case "embeddings":
                return _embeddings(request, prompt_bytes)
            case "responses":
                return self._response(request, reply_bytes, prompt_bytes)
            case "messages":
                return self._message(request, reply_bytes, prompt_bytes)
        raise ValueError(f"api={api!r} must be embeddings, responses or messages")

    def _response(self, request: dict[str, Any], reply_bytes: int, prompt_bytes: int) -> Reply:
        text = {"type": "output_text", "text": filler(reply_bytes), "annotations": [], "logprobs": []}
        message = {
            "id": self._ids.of("msg"),
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [text],
        }
        input_tokens, output_tokens = tokens(prompt_bytes), tokens(reply_bytes)
        return json_reply(
            {
                "id": self._ids.of("resp"),
                "object": "response",
                "created_at": int(time.time()),
                "status": "completed",
                "background": False,
                "error": None,
                "incomplete_details": None,
                "instructions": request.get("instructions"),
                "max_output_tokens": request.get("max_output_tokens"),
                "model": request["model"],
                "output": [message],
                "parallel_tool_calls": True,
                "previous_response_id": None,
                "reasoning": {"effort": None, "summary": None},
                "store": True,
                "temperature": 1.0,
                "text": {"format": {"type": "text"}},
                "tool_choice": "auto",
                "tools": [],
                "top_p": 1.0,
                "truncation": "disabled",
                "usage": {
                    "input_tokens": input_tokens,
                    "input_tokens_details": {"cached_tokens": 0},
                    "output_tokens": output_tokens,
                    "output_tokens_details": {"reasoning_tokens": 0},
                    "total_tokens": input_tokens + output_tokens,
                },
                "user": request.get("user"),
                "metadata": {},
            }
        )

    def _message(self, request: dict[str, Any], reply_bytes: int, prompt_bytes: int) -> Reply:
        return json_reply(
            {
                "id": self._ids.of("msg"),
                "type": "message",
                "role": "assistant",
                "model": request["model"],
                "content": [{"type": "text", "text": filler(reply_bytes)}],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": {
                    "input_tokens": tokens(prompt_bytes),
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0,
                    "output_tokens": tokens(reply_bytes),
                },
            }
        )


def complaint(api: Api, request: dict[str, Any]) -> tuple[str, str] | None:
    """What is wrong with a request of that endpoint, and the field at fault; None when it can be answered."""
    if api != "chat" and request.get("stream"):
        return "This mock answers this endpoint whole, and streams chat completions only: leave stream out.", "stream"
    match api:
        case "embeddings":
            return _complaint_of_embeddings(request)
        case "responses":
            if not request.get("input") or not isinstance(request["input"], str | list):
                return "The body must have an input: a text, or a list of items.", "input"
        case "messages":
            if not isinstance(request.get("messages"), list) or not request["messages"]:
                return "The body must have messages: a list that is not empty.", "messages"
            if not _is_count(request.get("max_tokens")):
                return "The body must have max_tokens: a whole number above 0.", "max_tokens"
    return None


def refusal(
    api: Api,
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    retry_after_s: int | None = None,
) -> Reply:
    """An error as the endpoint's own clients expect it; arguments as of `error_reply`."""
    if api != "messages":
        return error_reply(status, message, param=param, code=code, retry_after_s=retry_after_s)
    kind = "api_error" if status >= 500 else _ANTHROPIC_KINDS.get(status, "invalid_request_error")
    reply = json_reply({"type": "error", "error": {"type": kind, "message": message}}, status)
    if retry_after_s is not None:
        reply.headers.append((b"retry-after", b"%d" % retry_after_s))
    return reply


def _embeddings(request: dict[str, Any], prompt_bytes: int) -> Reply:
    dimensions = request.get("dimensions") or DEFAULT_DIMENSIONS
    vector = _vector(dimensions, is_base64=request.get("encoding_format") == "base64")
    data = ",".join(
        f'{{"object":"embedding","index":{index},"embedding":{vector}}}' for index in range(_inputs(request["input"]))
    )
    used = tokens(prompt_bytes)
    body = (
        f'{{"object":"list","data":[{data}],"model":{json.dumps(request["model"])},'
        f'"usage":{{"prompt_tokens":{used},"total_tokens":{used}}}}}'
    ).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    return Reply(200, headers, body)


def _complaint_of_embeddings(request: dict[str, Any]) -> tuple[str, str] | None:
    given = request.get("input")
    if not given or not isinstance(given, str | list) or _inputs(given) > MAX_INPUTS:
        return f"The body must have an input: a text, or a list of 1 to {MAX_INPUTS} of them.", "input"
    if request.get("encoding_format", "float") not in ("float", "base64"):
        return "encoding_format must be float or base64.", "encoding_format"
    dimensions = request.get("dimensions")
    if dimensions is not None and not (_is_count(dimensions) and dimensions <= MAX_DIMENSIONS):
        return f"dimensions must be a whole number from 1 to {MAX_DIMENSIONS}.", "dimensions"
    return None


def _inputs(given: str | list[Any]) -> int:
    """How many texts an input holds: one as a text or as a list of tokens, or a list of either."""
    return 1 if isinstance(given, str) or isinstance(given[0], int) else len(given)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


@lru_cache(maxsize=32)
def _vector(dimensions: int, *, is_base64: bool) -> str:
    """A vector of length 1 as it stands in JSON, always the same; made once, since it is long."""
    raw = [math.sin(number + 1) for number in range(dimensions)]
    length = math.sqrt(sum(value * value for value in raw))
    vector = [round(value / length, 8) for value in raw]
    if is_base64:
        return json.dumps(base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode())
    return json.dumps(vector, separators=(",", ":"))
