"""Does the mock say how many requests for models it has received, and is whatever else answers told from it?"""

import socket
from typing import Final

import httpx
import pytest

from perfgate.errors import StackFailed
from perfgate.stack import mock as mock_module
from perfgate.stack.backend import StackBackend
from perfgate.stack.mock import Mock, received_requests
from tests.harness.stack.conftest import answering

HELLO: Final = {"model": "mock-reply-9b", "messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.slow
def test_requests_for_a_model_are_counted_at_all_paths_whatever_became_of_them(backend: StackBackend) -> None:
    with backend.running(Mock()) as mock:
        url = mock.address.url
        assert received_requests(url) == 0
        with httpx.Client(base_url=url, trust_env=False) as client:
            client.post("/v1/chat/completions", json=HELLO).raise_for_status()
            client.post("/chat/completions", json=HELLO).raise_for_status()
            assert received_requests(url) == 2
            assert client.post("/chat/completions", json={**HELLO, "model": "mock-error-500-rate-1"}).status_code == 500
            assert received_requests(url) == 3
            client.get("/v1/models").raise_for_status()
            assert client.post("/v1/completions", json={}).status_code == 404
            assert received_requests(url) == 3
            assert client.post("/v1/embeddings", json={"model": "e", "input": "hello"}).status_code == 200
            assert received_requests(url) == 4


def test_a_mock_that_is_not_there_is_an_error_that_says_where() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    with pytest.raises(StackFailed) as caught:
        received_requests(url)
    words = f"the mock endpoint does not say what it has received: GET {url}/admin/counts got no answer ("
    assert str(caught.value).startswith(words)
    assert str(caught.value).endswith("); is it running?")


def test_a_mock_that_does_not_answer_in_time_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mock_module, "COUNTS_TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(StackFailed) as caught:
        received_requests(f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert str(caught.value).endswith("/admin/counts got no answer within 0.05 s; is its host overloaded?")


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (404, b'{"detail":\n "Not Found"}', 'status 404: {"detail": "Not Found"}'),
        (200, b"<html>", "status 200: <html>"),
        (200, b"", "status 200: (empty)"),
        (200, b"[1]", "status 200: [1]"),
        (200, b'{"received_by_path": [1]}', 'status 200: {"received_by_path": [1]}'),
        (200, b'{"received_by_path": {"/chat/completions": "x"}}', 'status 200: {"received_by_path": {"/chat/'),
        (500, b"x" * 999, "status 500: " + "x" * mock_module.SHOWN_ANSWER_CHARS),
    ],
)
def test_what_is_not_our_mock_is_an_error_that_shows_its_answer(status: int, body: bytes, answer: str) -> None:
    with answering(status, body) as url, pytest.raises(StackFailed) as caught:
        received_requests(url)
    assert str(caught.value).startswith(
        f"what answers GET {url}/admin/counts is not perfgate's mock endpoint, which alone says what it has received: "
        + answer
    )
    assert str(caught.value).count("x") < 2 * mock_module.SHOWN_ANSWER_CHARS
