"""Does the running endpoint answer as it was told, and count every request once?"""

import json
import socket
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from mock_openai.behaviour import GRAMMAR
from tests.harness.mock_openai.conftest import RunningMock, started

Eventually = Callable[[Callable[[], bool]], None]

ERROR_BODY_KEYS = {"message", "type", "param", "code"}


def error_of(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status
    error: dict[str, Any] = response.json()["error"]
    assert error.keys() == ERROR_BODY_KEYS
    return error


def open_request(mock: RunningMock, model: str) -> socket.socket:
    """A connection on which a whole chat request has been sent and nothing been read."""
    body = json.dumps({"model": model, "messages": []}).encode()
    connection = socket.create_connection((mock.client.base_url.host, mock.client.base_url.port or 0))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: mock\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


@pytest.mark.parametrize("path", ["/chat/completions", "/v1/chat/completions"])
def test_both_chat_paths_answer_a_whole_completion(mock: RunningMock, path: str) -> None:
    response = mock.client.post(path, json={"model": "gpt-x", "messages": [{"role": "user", "content": "hi"}]})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    completion = response.json()
    assert completion["model"] == "gpt-x"
    assert completion["choices"][0]["finish_reason"] == "stop"
    assert mock.counts()["received_by_path"] == {path: 1}


def test_a_prompt_of_many_packets_arrives_whole(mock: RunningMock) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x" * 3_000_000}]}
    response = mock.client.post("/v1/chat/completions", json=body)
    assert response.json()["usage"]["prompt_tokens"] == pytest.approx(3_000_000 / 4, rel=0.001)


@pytest.mark.parametrize("path", ["/models", "/v1/models"])
def test_models_lists_the_models_of_admin_calls_too(mock: RunningMock, path: str) -> None:
    mock.client.put("/admin/behaviour", json={"model": "mine", "behaviour": {}})
    assert [model["id"] for model in mock.client.get(path).json()["data"]] == ["gpt-4o-mini", "mine"]


def test_health_names_the_process_and_the_token_of_its_starter(mock: RunningMock) -> None:
    health = mock.client.get("/health").json()
    token = health.pop("announce_token")
    assert token.startswith("of-")
    assert health == {"status": "ok", "pid": mock.process.pid}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The body is not valid JSON: EOF while parsing a value at line 1 column 0."),
        (b'{"model": "m"', "The body is not valid JSON: EOF while parsing an object at line 1 column 13."),
        (b'{"model": "m", "temperature": NaN}', "The body is not valid JSON: expected value at line 1 column 31."),
        (b"[" * 100_000, "The body is not valid JSON: recursion limit exceeded at line 1 column 202."),
        (b'["model"]', "The body must be a JSON object."),
        (b"{}", "The body must name a model: a text that is not empty."),
        (b'{"model": ""}', "The body must name a model: a text that is not empty."),
        (b'{"model": 5}', "The body must name a model: a text that is not empty."),
    ],
    ids=["empty", "cut", "nan", "deep", "list", "no_model", "empty_model", "model_is_a_number"],
)
def test_a_body_that_cannot_be_answered_is_a_400_that_says_why(mock: RunningMock, body: bytes, message: str) -> None:
    error = error_of(mock.client.post("/v1/chat/completions", content=body), 400)
    assert error["message"] == message
    assert error["type"] == "invalid_request_error"
    assert mock.counts()["replied_by_status"] == {"400": 1}


def test_a_name_with_a_typo_is_a_400_that_states_the_grammar(mock: RunningMock) -> None:
    error = error_of(mock.chat("mock-dealy-20ms"), 400)
    assert error["message"] == (
        "model 'mock-dealy-20ms' is not a behaviour of this mock: 'dealy-20ms' is no part of it. "
        f"The grammar is {GRAMMAR}."
    )
    assert error["param"] == "model"


def test_an_unknown_path_is_a_404_that_lists_the_known_ones_and_is_counted(mock: RunningMock) -> None:
    error = error_of(mock.client.post("/v1/completions", json={"model": "m"}), 404)
    assert error["message"].startswith("Unknown path /v1/completions; this mock has /admin/behaviour, ")
    assert "/v1/chat/completions" in error["message"]
    assert mock.counts()["received_by_path"] == {"(unknown path)": 1}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("POST", "/v1/models", "GET"),
        ("DELETE", "/admin/behaviour", "GET, PUT"),
    ],
)
def test_a_wrong_method_is_a_405_that_names_the_right_ones(
    mock: RunningMock, method: str, path: str, allowed: str
) -> None:
    response = mock.client.request(method, path)
    assert error_of(response, 405)["message"] == f"{path} does not take {method}, but {allowed}."
    assert response.headers["allow"] == allowed


def test_a_delay_is_never_shorter_than_told(mock: RunningMock) -> None:
    for _ in range(5):
        sent_mono_s = time.monotonic()
        assert mock.chat("mock-delay-20ms").status_code == 200
        assert time.monotonic() - sent_mono_s >= 0.020


@pytest.mark.slow
def test_a_reply_that_is_due_in_a_stall_waits_for_its_end(mock: RunningMock) -> None:
    """The first request starts the clock; it would be due after 120 ms, in the stall from 100 ms to 190 ms."""
    sent_mono_s = time.monotonic()
    assert mock.chat("mock-delay-120ms+stall-90ms-every-0.1s").status_code == 200
    assert time.monotonic() - sent_mono_s >= 0.190


def test_a_delayed_request_does_not_hold_up_the_next(mock: RunningMock, eventually: Eventually) -> None:
    with open_request(mock, "mock-delay-600000ms"):
        eventually(lambda: mock.counts()["in_service"] == 1)
        assert mock.chat("m").status_code == 200
        assert mock.counts()["in_service"] == 1


@pytest.mark.parametrize(("status", "retry_after"), [(429, "7"), (503, "7"), (500, None)])
def test_errors_come_at_their_rate_with_retry_after_where_it_belongs(
    mock: RunningMock, status: int, retry_after: str | None
) -> None:
    suffix = "" if retry_after is None else f"-retry-after-{retry_after}s"
    replies = [mock.chat(f"mock-error-{status}-rate-0.3{suffix}") for _ in range(10)]
    failed = [reply for reply in replies if reply.status_code == status]
    assert len(failed) == 3
    assert error_of(failed[0], status)["message"] == (
        f"The mock answers {status} to a share of 0.3 of these requests, as it was told to."
    )
    assert failed[0].headers.get("retry-after") == retry_after
    assert mock.counts()["replied_by_status"] == {"200": 7, str(status): 3}


def test_the_reply_size_is_the_content_in_bytes(mock: RunningMock) -> None:
    completion = mock.chat("mock-delay-1ms+reply-4096b").json()
    assert len(completion["choices"][0]["message"]["content"].encode()) == 4096


def test_a_hang_ends_when_its_client_leaves_and_is_counted(mock: RunningMock, eventually: Eventually) -> None:
    with open_request(mock, "mock-hang"):
        eventually(lambda: mock.counts()["hung"] == 1)
        counts = mock.counts()
        assert (counts["in_service"], counts["disconnected"], counts["replied"]) == (1, 0, 0)
    eventually(lambda: mock.counts()["disconnected"] == 1)
    assert mock.counts()["in_service"] == 0


def test_a_client_that_leaves_during_a_delay_is_counted_as_disconnected(
    mock: RunningMock, eventually: Eventually
) -> None:
    open_request(mock, "mock-delay-600000ms").close()
    eventually(lambda: mock.counts()["disconnected"] == 1)
    counts = mock.counts()
    assert (counts["received"], counts["hung"], counts["replied"], counts["in_service"]) == (1, 0, 0, 0)


def test_a_request_whose_body_never_ends_is_not_received(mock: RunningMock, eventually: Eventually) -> None:
    with socket.create_connection((mock.client.base_url.host, mock.client.base_url.port or 0)) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: mock\r\nContent-Length: 100\r\n\r\n{")
    assert mock.chat("m").status_code == 200
    assert mock.counts()["received"] == 1


def test_an_admin_call_sets_the_default_or_one_model(mock: RunningMock) -> None:
    assert mock.client.put("/admin/behaviour", json={"behaviour": {"reply_bytes": 7}}).status_code == 200
    stall = {"stall_ms": 50, "every_s": 3600.0}
    mock.client.put("/admin/behaviour", json={"model": "own", "behaviour": {"delay_ms": 1, "stall": stall}})
    assert len(mock.chat("any").json()["choices"][0]["message"]["content"]) == 7
    assert len(mock.chat("own").json()["choices"][0]["message"]["content"]) == 64
    plain = {
        "delay_ms": 0,
        "stall": None,
        "error": None,
        "hang": False,
        "reply_bytes": 64,
        "delay_shape": None,
        "chunks": None,
        "cut_after_chunks": None,
        "session_delay_ms": 0,
        "close": None,
    }
    assert mock.client.get("/admin/behaviour").json() == {
        "default": plain | {"reply_bytes": 7},
        "models": {"own": plain | {"delay_ms": 1, "stall": stall}},
    }


def test_an_admin_call_replaces_what_was_set_before(mock: RunningMock) -> None:
    error = {"status": 503, "rate": 1, "retry_after_s": 9}
    mock.client.put("/admin/behaviour", json={"behaviour": {"error": error}})
    assert mock.chat("any").headers["retry-after"] == "9"
    mock.client.put("/admin/behaviour", json={"behaviour": {"delay_ms": 1}})
    assert mock.chat("any").status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "field", "message"),
    [
        ("behaviour", b"{", None, "Invalid JSON: EOF while parsing an object at line 1 column 1"),
        ("behaviour", b"{}", "behaviour", "behaviour: Field required"),
        ("behaviour", b'{"delay_ms": 5, "behaviour": {}}', "delay_ms", "delay_ms: Unexpected keyword argument, got 5"),
        ("behaviour", b'{"behaviour": {}, "model": ""}', "model", "model: String should have at least 1 character"),
        (
            "behaviour",
            b'{"behaviour": {"delay_ms": -5}}',
            "behaviour.delay_ms",
            "behaviour.delay_ms: Input should be greater than or equal to 0, got -5",
        ),
        (
            "behaviour",
            b'{"behaviour": {"delay_ms": "5"}}',
            "behaviour.delay_ms",
            "behaviour.delay_ms: Input should be a valid integer, got 5",
        ),
        (
            "behaviour",
            b'{"behaviour": {"error": {"status": 418, "rate": 1}}}',
            "behaviour.error.status",
            "behaviour.error.status: Input should be 429, 500 or 503, got 418",
        ),
        (
            "behaviour",
            b'{"behaviour": {"stall": {"stall_ms": 2000, "every_s": 1}}}',
            "behaviour.stall",
            "behaviour.stall: stall_ms=2000 must be shorter than every_s=1",
        ),
        ("recording", b"{}", "on", "on: Field required"),
        ("recording", b'{"on": 1}', "on", "on: Input should be a valid boolean, got 1"),
        (
            "recording",
            b'{"on": true, "at_most": 0}',
            "at_most",
            "at_most: Input should be greater than or equal to 1, got 0",
        ),
    ],
)
def test_a_wrong_admin_call_is_a_422_with_field_and_rule_and_changes_nothing(
    mock: RunningMock, path: str, body: bytes, field: str | None, message: str
) -> None:
    before = mock.client.get("/admin/behaviour").json()
    error = error_of(mock.client.put(f"/admin/{path}", content=body), 422)
    assert error["message"].startswith(f"PUT /admin/{path}: {message}")
    assert error["param"] == field
    assert mock.client.get("/admin/behaviour").json() == before


def test_admin_and_health_calls_are_not_counted(mock: RunningMock) -> None:
    mock.client.get("/health")
    mock.client.get("/admin/behaviour")
    mock.client.put("/admin/recording", json={})
    assert mock.counts()["received"] == 0


@pytest.mark.slow
def test_every_request_of_many_clients_arrives_exactly_once(mock: RunningMock) -> None:
    mock.client.put("/admin/recording", json={"on": True})
    ids = [str(uuid.uuid4()) for _ in range(200)]

    def send(id_: str) -> str:
        message = {"role": "user", "content": f"{id_} {'x' * 16_000}"}
        response = mock.client.post("/v1/chat/completions", json={"model": "m", "messages": [message]})
        reply_id: str = response.json()["id"]
        return reply_id

    with ThreadPoolExecutor(8) as clients:
        reply_ids = list(clients.map(send, ids))
    recorded = mock.client.get("/admin/requests").json()
    assert sorted(recorded["request_ids"]) == sorted(ids)
    assert (recorded["dropped"], recorded["without_id"]) == (0, 0)
    assert len(set(reply_ids)) == len(ids)
    counts = mock.counts()
    assert counts["received_by_model"] == {"m": 200}
    assert counts["replied_by_status"] == {"200": 200}


def test_ids_are_recorded_only_while_recording_is_on(mock: RunningMock) -> None:
    def send(number: int) -> None:
        mock.chat("m", messages=[{"role": "user", "content": f"{number:032x}"}])

    send(0)
    assert mock.client.put("/admin/recording", json={"on": True, "at_most": 2}).json() == {"on": True, "at_most": 2}
    for number in (1, 2, 3):
        send(number)
    assert mock.client.put("/admin/recording", json={"on": False}).json() == {"on": False, "at_most": 2}
    send(4)
    assert mock.client.get("/admin/requests").json() == {
        "on": False,
        "at_most": 2,
        "dropped": 1,
        "without_id": 0,
        "request_ids": [f"{number:032x}" for number in (1, 2)],
    }


def test_recording_anew_starts_empty(mock: RunningMock) -> None:
    mock.client.put("/admin/recording", json={"on": True})
    mock.chat("m", messages=[{"role": "user", "content": "0" * 32}])
    mock.client.put("/admin/recording", json={"on": True})
    assert mock.client.get("/admin/requests").json()["request_ids"] == []


def test_a_reset_forgets_everything_and_what_was_in_service_then(mock: RunningMock, eventually: Eventually) -> None:
    mock.client.put("/admin/behaviour", json={"behaviour": {"reply_bytes": 7}})
    mock.client.put("/admin/recording", json={"on": True})
    with open_request(mock, "mock-hang"):
        eventually(lambda: mock.counts()["hung"] == 1)
        assert mock.client.post("/admin/reset").json() == {"reset": True}
    assert mock.client.get("/admin/behaviour").json()["default"]["reply_bytes"] == 64
    assert mock.client.get("/admin/requests").json()["on"] is False
    assert mock.chat("m").status_code == 200
    counts = mock.counts()
    assert (counts["received"], counts["hung"], counts["disconnected"], counts["in_service"]) == (1, 0, 0, 0)


@pytest.mark.slow
def test_two_processes_never_give_the_same_reply_id(mock: RunningMock) -> None:
    with started() as other:
        ids = {running.chat("m").json()["id"] for running in (mock, other) for _ in range(5)}
    assert len(ids) == 10


def test_a_connection_carries_many_requests(mock: RunningMock) -> None:
    """A mock that closed connections would put the cost of new ones into the figures of the gateway."""
    seen = set()
    with httpx.Client(base_url=mock.client.base_url, trust_env=False) as client:
        for _ in range(3):
            response = client.post("/chat/completions", json={"model": "m"})
            seen.add(response.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(seen) == 1
    assert None not in seen
