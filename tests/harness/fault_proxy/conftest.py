"""How do these tests get a running proxy and a target behind it? As a process, as users do, and as a plain socket."""

import contextlib
import select
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest

#: Generous, since it only bounds a test that fails anyway.
DEADLINE_S: Final = 60
#: So many control calls later, whatever was to pass would have.
TURNS: Final = 20


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "fault_proxy", *options]


@dataclass(frozen=True, slots=True)
class RunningProxy:
    process: subprocess.Popen[str]
    first_line: str
    port: int
    control: httpx.Client

    def put(self, kind: str, **figures: int) -> None:
        self.control.put("/fault", json={"kind": kind, **figures}).raise_for_status()

    def counts(self) -> dict[str, int]:
        counts: dict[str, int] = self.control.get("/counts").json()
        return counts


@contextmanager
def started(target_port: int, *options: str, **how: Any) -> Iterator[RunningProxy]:
    to = ("--to", f"127.0.0.1:{target_port}", "--port", "0", "--control-port", "0")
    with subprocess.Popen(
        command(*to, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how
    ) as process:
        assert process.stdout is not None
        try:
            assert select.select([process.stdout], [], [], DEADLINE_S)[0], "the proxy said nothing in time"
            first_line = process.stdout.readline().rstrip("\n")
            url = first_line.rpartition(" ")[2]
            with httpx.Client(base_url=url, timeout=DEADLINE_S, trust_env=False) as control:
                yield RunningProxy(process, first_line, control.get("/health").json()["port"], control)
        finally:
            process.kill()


class Between:
    """A proxy with a target of the test's behind it; whatever it opens is closed after the test."""

    def __init__(self, proxy: RunningProxy, listener: socket.socket) -> None:
        self.proxy = proxy
        self._listener = listener
        self._opened = ExitStack()

    def connect(self) -> socket.socket:
        """A client, connected to the proxy."""
        client = socket.create_connection(("127.0.0.1", self.proxy.port), DEADLINE_S)
        return self._opened.enter_context(client)

    def accept(self) -> socket.socket:
        """The target's end of the next connection that reaches it."""
        target, _ = self._listener.accept()
        target.settimeout(DEADLINE_S)
        return self._opened.enter_context(target)

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Both ends of a new connection."""
        client = self.connect()
        return client, self.accept()

    def passes_nothing(self, *ends: socket.socket) -> bool:
        """Whether nothing arrives at these ends, however often the proxy has its turn."""
        before = self.proxy.counts()
        for _ in range(TURNS):
            self.proxy.counts()
        return self.proxy.counts() == before and not select.select(ends, [], [], 0)[0]

    def has_reached_the_target(self) -> bool:
        """Whether a connection waits there to be accepted."""
        return bool(select.select([self._listener], [], [], 0)[0])

    def close(self) -> None:
        self._opened.close()


@pytest.fixture(scope="session")
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        # Its connections have it too: without, the kernel of some hosts takes tens of MiB that nobody reads.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)
        listener.settimeout(DEADLINE_S)
        yield listener


@pytest.fixture(scope="session")
def proxy_process(listener: socket.socket) -> Iterator[RunningProxy]:
    with started(listener.getsockname()[1]) as proxy:
        yield proxy


@pytest.fixture
def between(proxy_process: RunningProxy, listener: socket.socket) -> Iterator[Between]:
    """A proxy as it is after its start, and nobody in the target's queue."""
    proxy_process.put("cut")
    listener.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
    listener.settimeout(DEADLINE_S)
    proxy_process.control.post("/reset").raise_for_status()
    between = Between(proxy_process, listener)
    yield between
    between.close()


def received(end: socket.socket, length: int) -> bytes:
    """Exactly so many bytes, or fewer when the other end has no more."""
    parts = []
    while length > 0 and (part := end.recv(min(length, 1 << 20))):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def resets(end: socket.socket) -> bool:
    """Whether the next thing that arrives is a RST."""
    try:
        end.recv(1)
    except ConnectionResetError:
        return True
    return False


def reset(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
