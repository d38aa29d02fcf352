"""Do embeddings, responses and messages come in the formats of their makers, and are wrong requests refused in them?"""

import base64
import json
import math
import struct
from typing import Any

import pytest

from mock_openai.api_replies import DEFAULT_DIMENSIONS, MAX_INPUTS, Api, ApiReplies, complaint, refusal
from mock_openai.ids import UniqueIds
from tests.harness.mock_openai.conftest import RunningMock


def made(api: Api, request: dict[str, Any], reply_bytes: int = 9, prompt_bytes: int = 8) -> dict[str, Any]:
    reply = ApiReplies(UniqueIds()).make(api, request, reply_bytes, prompt_bytes)
    assert reply.status == 200
    assert dict(reply.headers)[b"content-length"] == b"%d" % len(reply.body)
    body: dict[str, Any] = json.loads(reply.body)
    return body


def test_embeddings_have_openais_format_and_one_vector_for_each_input() -> None:
    body = made("embeddings", {"model": "e", "input": ["one", "two", "three"], "dimensions": 4})
    vectors = [entry.pop("embedding") for entry in body["data"]]
    assert body == {
        "object": "list",
        "data": [{"object": "embedding", "index": index} for index in range(3)],
        "model": "e",
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    }
    assert {len(vector) for vector in vectors} == {4}
    assert math.hypot(*vectors[0]) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("given", ["one", [1, 2, 3], [[1, 2], [3]][:1]])
def test_a_text_or_a_list_of_tokens_is_one_input(given: Any) -> None:
    assert len(made("embeddings", {"model": "e", "input": given})["data"]) == 1


def test_base64_holds_the_same_vector_as_floats() -> None:
    request = {"model": "e", "input": "one"}
    (floats,) = made("embeddings", request)["data"]
    (packed,) = made("embeddings", {**request, "encoding_format": "base64"})["data"]
    assert len(floats["embedding"]) == DEFAULT_DIMENSIONS
    unpacked = struct.unpack(f"<{DEFAULT_DIMENSIONS}f", base64.b64decode(packed["embedding"]))
    assert list(unpacked) == pytest.approx(floats["embedding"], abs=1e-6)


def test_a_response_has_openais_format() -> None:
    body = made("responses", {"model": "r", "input": "hi", "instructions": "be brief"})
    assert body.pop("id").startswith("resp_")
    (message,) = body.pop("output")
    assert message.pop("id").startswith("msg_")
    assert message == {
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "The quick", "annotations": [], "logprobs": []}],
    }
    assert (body["object"], body["status"], body["model"], body["instructions"]) == (
        "response",
        "completed",
        "r",
        "be brief",
    )
    assert body["usage"] == {
        "input_tokens": 2,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 5,
    }


def test_a_message_has_anthropics_format() -> None:
    body = made("messages", {"model": "c", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5})
    assert body.pop("id").startswith("msg_")
    assert body == {
        "type": "message",
        "role": "assistant",
        "model": "c",
        "content": [{"type": "text", "text": "The quick"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 2,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 3,
        },
    }


def test_no_two_replies_share_an_id() -> None:
    replies = [ApiReplies(UniqueIds()) for _ in range(2)]
    request = {"model": "r", "input": "hi"}
    ids = [json.loads(each.make("responses", request, 1, 1).body)["id"] for each in replies for _ in range(50)]
    assert len(set(ids)) == 100


def test_chat_is_not_answered_here() -> None:
    with pytest.raises(ValueError, match="api='chat' must be embeddings, responses or messages"):
        ApiReplies(UniqueIds()).make("chat", {"model": "m"}, 1, 1)


@pytest.mark.parametrize(
    ("api", "request_", "field"),
    [
        ("embeddings", {}, "input"),
        ("embeddings", {"input": []}, "input"),
        ("embeddings", {"input": {"a": 1}}, "input"),
        ("embeddings", {"input": ["x"] * (MAX_INPUTS + 1)}, "input"),
        ("embeddings", {"input": "x", "encoding_format": "hex"}, "encoding_format"),
        ("embeddings", {"input": "x", "dimensions": 0}, "dimensions"),
        ("embeddings", {"input": "x", "dimensions": True}, "dimensions"),
        ("embeddings", {"input": "x", "dimensions": 3_073}, "dimensions"),
        ("responses", {}, "input"),
        ("responses", {"input": 5}, "input"),
        ("responses", {"input": "x", "stream": True}, "stream"),
        ("messages", {"max_tokens": 1}, "messages"),
        ("messages", {"messages": [], "max_tokens": 1}, "messages"),
        ("messages", {"messages": [{}]}, "max_tokens"),
        ("messages", {"messages": [{}], "max_tokens": 0}, "max_tokens"),
        ("messages", {"messages": [{}], "max_tokens": 1, "stream": True}, "stream"),
    ],
)
def test_what_is_wrong_with_a_request_names_its_field(api: Api, request_: dict[str, Any], field: str) -> None:
    found = complaint(api, request_)
    assert found is not None
    assert found[1] == field


@pytest.mark.parametrize(
    ("api", "request_"),
    [
        ("chat", {"stream": True}),
        ("embeddings", {"input": "x", "encoding_format": "float", "dimensions": 8}),
        ("responses", {"input": [{"role": "user", "content": "x"}], "stream": False}),
        ("messages", {"messages": [{}], "max_tokens": 1}),
    ],
)
def test_of_a_good_request_nothing_is_said(api: Api, request_: dict[str, Any]) -> None:
    assert complaint(api, request_) is None


@pytest.mark.parametrize(
    ("status", "kind"), [(400, "invalid_request_error"), (429, "rate_limit_error"), (503, "api_error")]
)
def test_errors_of_messages_have_anthropics_format(status: int, kind: str) -> None:
    reply = refusal("messages", status, "why", param="p", code="word", retry_after_s=7)
    assert (reply.status, json.loads(reply.body)) == (
        status,
        {"type": "error", "error": {"type": kind, "message": "why"}},
    )
    assert dict(reply.headers)[b"retry-after"] == b"7"
    assert b"retry-after" not in dict(refusal("messages", status, "why").headers)


def test_errors_of_the_others_have_openais() -> None:
    error = json.loads(refusal("responses", 400, "why", param="p", code="word").body)["error"]
    assert error == {"message": "why", "type": "invalid_request_error", "param": "p", "code": "word"}


@pytest.mark.parametrize(
    ("path", "request_"),
    [
        ("embeddings", {"input": "x"}),
        ("responses", {"input": "x"}),
        ("messages", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1}),
    ],
)
def test_the_running_mock_answers_at_both_paths_by_the_same_grammar(
    mock: RunningMock, path: str, request_: dict[str, Any]
) -> None:
    for below in ("/v1/", "/"):
        assert mock.client.post(below + path, json={"model": "mock-delay-1ms", **request_}).status_code == 200
    assert mock.client.post(f"/v1/{path}", json={"model": "mock-error-503-rate-1", **request_}).status_code == 503
    wrong = mock.client.post(f"/v1/{path}", json={"model": "m"})
    assert wrong.status_code == 400
    assert wrong.json()["error"]["type"] == "invalid_request_error"
    counts = mock.counts()
    assert counts["received_by_path"] == {f"/v1/{path}": 3, f"/{path}": 1}
    assert counts["replied_by_status"] == {"200": 2, "503": 1, "400": 1}


def test_a_typo_in_a_name_is_said_in_the_format_of_the_endpoint(mock: RunningMock) -> None:
    body = {"model": "mock-dealy-1ms", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    error = mock.client.post("/v1/messages", json=body).json()
    assert error["type"] == "error"
    assert "'dealy-1ms' is no part of it" in error["error"]["message"]


def test_the_reply_size_of_a_name_is_the_text_of_every_endpoint(mock: RunningMock) -> None:
    body = {"model": "mock-reply-200b", "input": "x", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    response = mock.client.post("/v1/responses", json=body).json()
    message = mock.client.post("/v1/messages", json=body).json()
    assert len(response["output"][0]["content"][0]["text"]) == len(message["content"][0]["text"]) == 200
