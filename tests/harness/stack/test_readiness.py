"""Is a service called ready when it is, and not ready for the reason that is true?"""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from perfgate.stack import readiness
from perfgate.stack.processes import free_port
from perfgate.stack.readiness import Died, HttpCheck, TooLate, wait_ready


class Server(ThreadingHTTPServer):
    """Answers each request with the next of `answers` (the last one for ever), and keeps what it was asked."""

    daemon_threads = True

    def __init__(self, *answers: tuple[int, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = list(answers)
        self.asked: list[tuple[str, str, str | None, str]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        self.server.asked.append((self.command, self.path, self.headers.get("x-key"), body))
        status, text = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Not into the test's output."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server((503, "starting"), (200, "up, token 77")) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def alive() -> bool:
    return True


def test_it_asks_until_the_answer_is_the_expected_one(server: Server) -> None:
    check = HttpCheck("its health", "/health", contains=("token 77",))
    wait_ready([check], server.url, deadline_s=30, is_alive=alive)
    assert [path for _, path, _, _ in server.asked] == ["/health", "/health"]


def test_a_check_says_how_to_ask(server: Server) -> None:
    check = HttpCheck("a chat", "/chat", "POST", headers={"X-Key": "k"}, json={"a": 1}, statuses=frozenset({503}))
    wait_ready([check], server.url, deadline_s=30, is_alive=alive)
    assert [(method, key, body.replace(" ", "")) for method, _, key, body in server.asked] == [("POST", "k", '{"a":1}')]


def test_a_question_is_known_by_what_is_asked_and_where() -> None:
    asked = HttpCheck("a chat", "/chat", "POST").asked("http://127.0.0.1:4000")
    assert asked == "POST http://127.0.0.1:4000/chat"


def test_checks_are_asked_one_after_the_other(server: Server) -> None:
    checks = [HttpCheck("first", "/1"), HttpCheck("second", "/2")]
    wait_ready(checks, server.url, deadline_s=30, is_alive=alive)
    assert [path for _, path, _, _ in server.asked] == ["/1", "/1", "/2"]


@pytest.mark.parametrize(
    ("status", "body", "is_expected"),
    [(200, "ab", True), (404, "ab", False), (200, "a", False), (200, "b", False)],
)
def test_the_status_and_every_text_count(status: int, body: str, is_expected: bool) -> None:
    assert HttpCheck("it", "/", contains=("a", "b")).accepts(status, body) is is_expected


@pytest.mark.parametrize(
    ("answer", "words"),
    [((503, "still\n  loading"), "status 503: still loading"), ((200, ""), r"status 200: \(empty\)")],
)
def test_too_late_has_the_last_answer(server: Server, answer: tuple[int, str], words: str) -> None:
    server.answers = [answer]
    with pytest.raises(TooLate, match=f"its token: {words}, after ") as caught:
        wait_ready([HttpCheck("its token", "/", contains=("77",))], server.url, deadline_s=0.1, is_alive=alive)
    assert caught.value.check.what == "its token"
    assert caught.value.waited_s >= 0.1


def test_nobody_there_is_an_answer_too() -> None:
    with pytest.raises(TooLate, match=r"no connection \(.*refused"):
        wait_ready([HttpCheck("it", "/")], f"http://127.0.0.1:{free_port()}", deadline_s=0.1, is_alive=alive)


def test_silence_is_an_answer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody accepts what the kernel accepts for it."""
    monkeypatch.setattr(readiness, "ATTEMPT_TIMEOUT_S", 0.1)
    with Server((200, "")) as silent, pytest.raises(TooLate, match=r"no answer within 0\.1 s"):
        wait_ready([HttpCheck("it", "/")], silent.url, deadline_s=0.1, is_alive=alive)


def test_an_answer_from_the_port_of_a_dead_process_is_somebody_elses(server: Server) -> None:
    server.answers = [(200, "up")]
    with pytest.raises(Died, match="status 200: up"):
        wait_ready([HttpCheck("it", "/")], server.url, deadline_s=30, is_alive=lambda: False)


def test_a_proxy_of_the_environment_is_not_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    wait_ready([HttpCheck("it", "/")], server.url, deadline_s=30, is_alive=alive)
