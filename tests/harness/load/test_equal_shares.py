"""Do workers behind one listening socket get equal shares of the load, however unevenly they accept?

The server is one of two toys: two processes of which one accepts as fast as it can and the other seldom wakes up in
time, or one process where two are expected.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Final

import pytest

from perfgate.load import http_client
from perfgate.load.drive import drive
from perfgate.load.endpoint import Endpoint
from perfgate.load.http_client import HttpClient, Peer, Unreachable, request_head
from perfgate.load.job import LoadJob, Target
from perfgate.load.result import Failure
from perfgate.load.schedule import OpenLoop
from perfgate.load.wire import job_line, job_of_line
from tests.harness.measure.conftest import network_of_its_own

#: Answers every request with the id of its process. The child is slower to accept: it waits a while first, in which its
#: parent, awake already, often comes before it.
WORKERS: Final = """
import os, socket, sys, threading, time
listener = socket.socket(fileno=int(sys.argv[1]))
slow = os.fork() == 0 if sys.argv[2] == "2" else False
def serve(connection):
    while data := connection.recv(65536):
        body = str(os.getpid()).encode()
        connection.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: %d\\r\\n\\r\\n%b" % (len(body), body))
while True:
    if slow:
        time.sleep(0.02)
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=[connection], daemon=True).start()
"""
SHARE: Final = 4


@contextmanager
def server(workers: int) -> Iterator[int]:
    """The port of a server with so many processes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-c", WORKERS, str(listener.fileno()), str(workers)]
        process = subprocess.Popen(command, pass_fds=[listener.fileno()], start_new_session=True)
        port: int = listener.getsockname()[1]
        try:
            with socket.create_connection(("127.0.0.1", port)) as first:
                first.sendall(b"are you up?")
                first.recv(1000)
            yield port
        finally:
            os.killpg(process.pid, 9)
            process.wait()


class Answers:
    """A listener that notes which process answered."""

    def __init__(self) -> None:
        self.in_order: list[bytes] = []
        self.all_there = asyncio.Event()

    def replied(
        self, request: int, completed_mono_ns: int, status: int, overhead_ms: bytes | None, body_bytes: int, body: bytes
    ) -> None:
        self.in_order.append(body)
        self.all_there.set()

    def failed(self, request: int, failure: Failure, text: str) -> None:
        raise AssertionError(text)

    def first_token(self, request: int, at_mono_ns: int) -> None:
        raise AssertionError

    def streamed(self, request: int, chunks: int, done: bool, gaps_us: object) -> None:
        raise AssertionError


async def answers_of(port: int, requests: int, processes: int, accepts_in: int | None = None) -> list[bytes]:
    """Which process answered each of so many requests, one after the other."""
    answers = Answers()
    head = request_head(Endpoint("http", "127.0.0.1", port, "/"), api_key=None, body_bytes=2)
    peer = Peer("127.0.0.1", port, "127.0.0.1", None)
    client = HttpClient(peer, head, answers, connections=2 * SHARE, processes=processes, accepts_in=accepts_in)
    try:
        await client.open_ahead()
        for request in range(requests):
            answers.all_there.clear()
            client.send(request, b"{}")
            await answers.all_there.wait()
    finally:
        await client.close()
    return answers.in_order


@pytest.mark.slow
def test_two_processes_answer_in_turn_though_one_accepts_most() -> None:
    with server(workers=2) as port:
        answers = asyncio.run(answers_of(port, requests=40, processes=2))
    assert sorted(Counter(answers).values()) == [20, 20]
    assert all(first != second for first, second in pairwise(answers))


@pytest.mark.slow
def test_a_process_that_accepts_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "CONNECT_DEADLINE_S", 1.0)
    with server(workers=1) as port, pytest.raises(Unreachable) as caught:
        asyncio.run(answers_of(port, requests=1, processes=2))
    assert f"connections to 127.0.0.1:{port}, 1 of 2 processes accepted any share" in str(caught.value)
    assert str(caught.value).endswith(f"where each should have had {SHARE}")


@pytest.mark.slow
def test_they_are_looked_for_in_the_network_of_the_process_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "CONNECT_DEADLINE_S", 1.0)
    with server(workers=2) as port, network_of_its_own("sys.stdin.read()") as elsewhere:
        answers = asyncio.run(answers_of(port, requests=4, processes=2, accepts_in=os.getpid()))
        assert sorted(Counter(answers).values()) == [2, 2]
        with pytest.raises(Unreachable, match="0 of 2 processes accepted any share"):
            asyncio.run(answers_of(port, requests=1, processes=2, accepts_in=elsewhere.pid))


@pytest.mark.slow
def test_a_network_that_is_gone_is_an_error_that_says_so() -> None:
    with server(workers=2) as port:
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        target = Target(f"http://127.0.0.1:{port}/", "m", accepts_in=gone.pid)
        job = LoadJob((target,), OpenLoop(50, 0, 0.1), connections=2 * SHARE, processes=2)
        with pytest.raises(Unreachable) as caught:
            asyncio.run(drive(job, in_flight_cap=100, announce=lambda instant, mono_s: None))
    assert str(caught.value) == f"process {gone.pid}, in whose network connections should be accepted, is not there"


@pytest.mark.slow
def test_a_load_has_it_when_its_job_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "CONNECT_DEADLINE_S", 1.0)
    with server(workers=1) as port:
        target = Target(f"http://127.0.0.1:{port}/", "m")
        even = LoadJob((target,), OpenLoop(50, 0, 0.1), connections=2 * SHARE, processes=2)
        asyncio.run(drive(replace(even, processes=1), in_flight_cap=100, announce=lambda instant, mono_s: None))
        with pytest.raises(Unreachable, match="1 of 2 processes accepted"):
            asyncio.run(drive(even, in_flight_cap=100, announce=lambda instant, mono_s: None))


def test_it_reaches_the_generator() -> None:
    job = LoadJob((Target("http://h/", "m"),), OpenLoop(1, 0, 1), connections=8, processes=2)
    assert job_of_line(job_line(job)) == job


@pytest.mark.parametrize(("connections", "processes"), [(0, 2), (7, 2), (4, 0)])
def test_shares_that_cannot_be_equal_are_refused(connections: int, processes: int) -> None:
    words = f"processes={processes} must be at least 1, and connections={connections} a multiple of more"
    with pytest.raises(ValueError, match=words):
        LoadJob((Target("http://h/", "m"),), OpenLoop(1, 0, 1), connections=connections, processes=processes)
