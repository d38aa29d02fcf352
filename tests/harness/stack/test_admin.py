"""Does a gateway's admin API give us a virtual key, and is it said what went wrong when it does not?

test_real_gateway.py asks a real gateway.
"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import pytest

from perfgate.errors import StackFailed
from perfgate.stack.admin import KEY_PATH, SHOWN_BODY_CHARS, new_virtual_key
from perfgate.stack.processes import free_port

MASTER_KEY: Final = "sk-master"


class Gateway(ThreadingHTTPServer):
    """Answers every request with `answer`, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: tuple[int, str] | None = (200, json.dumps({"key": "sk-new", "token": "hash"}))
        self.asked: list[tuple[str, str | None, str]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Gateway

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.server.asked.append((self.path, self.headers.get("authorization"), body))
        if self.server.answer is None:
            self.close_connection = True
            return
        status, text = self.server.answer
        self.send_response(status)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Not into the test's output."""


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def refusal(url: str) -> str:
    with pytest.raises(StackFailed) as caught:
        new_virtual_key(url, MASTER_KEY)
    return str(caught.value).replace(url, "URL")


def test_the_master_key_asks_for_a_key_without_limits(gateway: Gateway) -> None:
    assert new_virtual_key(gateway.url, MASTER_KEY) == "sk-new"
    assert gateway.asked == [(KEY_PATH, f"Bearer {MASTER_KEY}", "{}")]


def test_a_proxy_of_the_environment_is_not_asked(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert new_virtual_key(gateway.url, MASTER_KEY) == "sk-new"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((401, '{"error": "bad key sk-master"}'), 'status 401 and {"error": "bad key ***"}'),
        ((500, ""), "status 500 and an empty body"),
        ((200, "<html>"), "status 200 and <html>"),
        ((200, "[1]"), "status 200 and [1]"),
        ((200, '{"key": null}'), 'status 200 and {"key": null}'),
        ((422, '{"key": "is wrong"}'), 'status 422 and {"key": "is wrong"}'),
        ((500, "x" * (SHOWN_BODY_CHARS + 1)), f"status 500 and {'x' * SHOWN_BODY_CHARS} …"),
    ],
    ids=["refused", "empty", "no_json", "no_object", "no_key", "an_error_about_a_key", "long"],
)
def test_an_answer_without_a_key_is_shown_without_ours(gateway: Gateway, answer: tuple[int, str], words: str) -> None:
    gateway.answer = answer
    assert refusal(gateway.url) == f"no virtual key: POST URL{KEY_PATH} was answered with {words}"


def test_no_answer_is_said_to_be_none(gateway: Gateway) -> None:
    gateway.answer = None
    assert refusal(gateway.url) == (
        f"no virtual key: POST URL{KEY_PATH} got no answer: RemoteProtocolError Server disconnected without sending a "
        "response."
    )


def test_nobody_there_is_no_answer() -> None:
    words = refusal(f"http://127.0.0.1:{free_port()}")
    assert words.startswith(f"no virtual key: POST URL{KEY_PATH} got no answer: ConnectError ")
