"""A local twin of the self-hosted endpoint that LiteLLM's benchmark page names: a mock that is not ours.

    uvicorn tests.harness.stack.example_endpoint:app --port …

What differs from our own mock, and so has to be got along with: chat completions in OpenAI's format are at
/chat/completions, those at /v1/chat/completions are in Anthropic's; the reply's model is always the same; it has no
admin calls and no health check; a stream ends without [DONE]. Waits that take it seconds to minutes are short here.
"""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

REPLY_TEXT: Final = "Hello there, how may I assist you today?"
STREAMED_TEXT: Final = "Hello this is a test response from a fixed OpenAI endpoint."
SLEEP_S: Final = 0.05
SLEEPERS: Final = frozenset({"random_sleep", "degraded"})
SINKS: Final = frozenset({"/runs/batch", "/api/v2/logs", "/api/public/ingestion"})

Message = MutableMapping[str, Any]


async def app(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """The endpoint as an ASGI app."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    path = scope["path"]
    asked: dict[str, Any] = json.loads(body or b"{}") if path not in SINKS else {}
    status, content_type, reply = 200, b"application/json", b"{}"
    if path in SINKS:
        pass
    elif path not in ("/chat/completions", "/v1/chat/completions"):
        status, reply = 404, b'{"detail":"Not Found"}'
    elif asked.get("model") == "429":
        status, reply = 429, b'{"detail":"Too many requests"}'
    else:
        if asked.get("model") in SLEEPERS:
            await asyncio.sleep(SLEEP_S)
        if path == "/v1/chat/completions":
            reply = json.dumps(_anthropic()).encode()
        elif asked.get("stream") is True:
            content_type, reply = b"text/event-stream", b"".join(_chunks())
        else:
            reply = json.dumps(_openai()).encode()
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(reply))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": reply})


def _openai() -> dict[str, Any]:
    message = {"role": "assistant", "content": f"\n\n{REPLY_TEXT}"}
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": 1677652288,
        "model": "gpt-3.5-turbo-0301",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21},
    }


def _anthropic() -> dict[str, Any]:
    return {
        "id": f"msg_{uuid.uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": "claude-3",
        "content": [{"type": "text", "text": REPLY_TEXT}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 9, "output_tokens": 12},
    }


def _chunks() -> list[bytes]:
    common = {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": "chat.completion.chunk", "created": 1677652288}
    return [
        b"data: %b\n\n" % json.dumps({**common, "choices": [{"index": 0, "delta": {"content": f"{word} "}}]}).encode()
        for word in STREAMED_TEXT.split(" ")
    ]
