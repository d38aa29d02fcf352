"""Is what a client gets what OpenAI would send, to the byte where it was promised?"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_openai.behaviour import MAX_REPLY_BYTES
from mock_openai.reply import BYTES_PER_TOKEN, ChatReplies, Reply, error_reply, json_reply, models_reply


def header(reply: Reply, name: bytes) -> bytes | None:
    return dict(reply.headers).get(name)


@pytest.mark.slow
@given(st.integers(0, 5_000), st.text(min_size=1), st.integers(1, 20_000))
def test_a_completion_has_the_asked_for_model_and_exactly_the_asked_for_content_length(
    reply_bytes: int, model: str, prompt_bytes: int
) -> None:
    reply = ChatReplies().make(model, reply_bytes, prompt_bytes)
    completion = json.loads(reply.body)
    assert completion["model"] == model
    assert len(completion["choices"][0]["message"]["content"].encode()) == reply_bytes
    usage = completion["usage"]
    assert 0 <= usage["prompt_tokens"] * BYTES_PER_TOKEN - prompt_bytes < BYTES_PER_TOKEN
    assert 0 <= usage["completion_tokens"] * BYTES_PER_TOKEN - reply_bytes < BYTES_PER_TOKEN
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert header(reply, b"content-length") == str(len(reply.body)).encode()


def test_a_completion_has_every_field_of_openais_format() -> None:
    completion = json.loads(ChatReplies().make("m", 9, 8).body)
    assert completion.pop("id").startswith("chatcmpl-")
    assert completion.pop("created") > 1_700_000_000
    assert completion == {
        "object": "chat.completion",
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "The quick", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "system_fingerprint": None,
        "usage": {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5},
    }


def test_the_longest_reply_is_whole() -> None:
    completion = json.loads(ChatReplies().make("m", MAX_REPLY_BYTES, 8).body)
    assert len(completion["choices"][0]["message"]["content"]) == MAX_REPLY_BYTES


def test_no_two_replies_share_an_id_and_no_two_endpoints_do() -> None:
    one, other = ChatReplies(), ChatReplies()
    ids = [json.loads(replies.make("m", 1, 1).body)["id"] for replies in (one, other) for _ in range(1_000)]
    assert len(set(ids)) == 2_000


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (404, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "server_error"),
        (503, "server_error"),
    ],
)
def test_an_error_has_openais_format(status: int, kind: str) -> None:
    reply = error_reply(status, "why", param="model", code="word")
    assert reply.status == status
    assert json.loads(reply.body) == {"error": {"message": "why", "type": kind, "param": "model", "code": "word"}}
    assert header(reply, b"content-type") == b"application/json"
    assert header(reply, b"retry-after") is None


def test_an_error_carries_retry_after_when_told() -> None:
    assert header(error_reply(429, "why", retry_after_s=7), b"retry-after") == b"7"
    assert header(error_reply(429, "why", retry_after_s=0), b"retry-after") == b"0"


def test_the_list_of_models_has_openais_format() -> None:
    assert json.loads(models_reply(["a", "b"], 5).body) == {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": 5, "owned_by": "mock_openai"} for name in ("a", "b")],
    }


def test_json_says_its_length_in_bytes() -> None:
    reply = json_reply({"grammar": "…"}, 201)
    assert (reply.status, header(reply, b"content-length")) == (201, str(len(reply.body)).encode())
