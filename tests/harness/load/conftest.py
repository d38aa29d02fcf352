"""A mock endpoint in a process of its own, scripted toy servers, and results made by hand."""

import asyncio
import json
import os
import select
import socket
import ssl
import struct
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
import trustme

from perfgate.load.job import LoadJob, Target
from perfgate.load.result import LoadResult
from perfgate.load.runner import Generator
from perfgate.load.schedule import Arrivals, ClosedLoop, OpenLoop, Schedule
from perfgate.measure.histogram import Histogram

#: Ends a test that would hang; no test comes near it.
WATCHDOG_S: Final = 60.0


@dataclass(frozen=True)
class Mock:
    """A running mock endpoint."""

    base_url: str
    process: "subprocess.Popen[str]"

    @property
    def url(self) -> str:
        return f"{self.base_url}/v1/chat/completions"

    def record_ids(self) -> None:
        """Forget everything, and remember the id of every request from now on."""
        self._admin("POST", "/admin/reset")
        self._admin("PUT", "/admin/recording", {"on": True})

    def recorded_ids(self) -> list[str]:
        ids: list[str] = self._admin("GET", "/admin/requests")["request_ids"]
        return ids

    def received(self) -> int:
        return int(self._admin("GET", "/admin/counts")["received"])

    def counts(self) -> dict[str, Any]:
        counts: dict[str, Any] = self._admin("GET", "/admin/counts")
        return counts

    def reset(self) -> None:
        self._admin("POST", "/admin/reset")

    def _admin(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base_url + path, data, method=method)
        with urllib.request.urlopen(request, timeout=WATCHDOG_S) as reply:
            return json.load(reply)


@contextmanager
def running_mock() -> Iterator[Mock]:
    command = [sys.executable, "-m", "mock_openai", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            announcement = process.stdout.readline()
            yield Mock(announcement.split()[-1], process)
        finally:
            process.kill()


@pytest.fixture(scope="session")
def mock() -> Iterator[Mock]:
    with running_mock() as mock:
        yield mock


@pytest.fixture
def mortal_mock() -> Iterator[Mock]:
    """A mock that the test may kill."""
    with running_mock() as mock:
        yield mock


@pytest.fixture
def generator() -> Iterator[Generator]:
    """One that the test may end."""
    with Generator() as generator:
        yield generator


@pytest.fixture(scope="module")
def _generators() -> Iterator[Callable[[], Generator]]:
    with ExitStack() as until_closed:
        started: list[Generator] = []

        def one() -> Generator:
            if not started or not psutil.pid_exists(started[-1].pid):
                started.append(until_closed.enter_context(Generator()))
            return started[-1]

        yield one


@pytest.fixture
def shared_generator(_generators: Callable[[], Generator]) -> Generator:
    """The one of a module, which takes many loads; another one after a load that went wrong, which ends it."""
    return _generators()


@dataclass(frozen=True)
class LocalhostTls:
    """A certificate of localhost: how a server shows it, and the file that makes a client trust it."""

    server: ssl.SSLContext
    trusted_pem: Path


@pytest.fixture(scope="session")
def localhost_tls(tmp_path_factory: pytest.TempPathFactory) -> LocalhostTls:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    trusted_pem = tmp_path_factory.mktemp("tls") / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted_pem))
    return LocalhostTls(server, trusted_pem)


def load_job(
    *urls: str,
    model: str = "m",
    rate_rps: float = 100,
    users: int | None = None,
    think_time_s: float = 0,
    think_time_max_s: float | None = None,
    spawn_per_s: float | None = None,
    warm_up_s: float = 0,
    window_s: float = 1,
    tail_s: float = 10,
    arrivals: Arrivals = "constant",
    api_key: str | None = None,
    **rest: Any,
) -> LoadJob:
    """An open loop, or a closed one where `users` are given."""
    schedule: Schedule = OpenLoop(rate_rps, warm_up_s, window_s, tail_s, arrivals)
    if users is not None:
        schedule = ClosedLoop(users, warm_up_s, window_s, tail_s, think_time_s, think_time_max_s, spawn_per_s)
    return LoadJob(tuple(Target(url, model, api_key) for url in urls), schedule, **rest)


def load_result(**changes: Any) -> LoadResult:
    """A window of 1,000 requests in 10 s that all went well, but for the changes."""
    healthy = LoadResult(
        offered=1000,
        sent=1000,
        completed=1000,
        succeeded=1000,
        errors=(),
        statuses=((200, 1000),),
        latency=Histogram.of_us([8_000] * 940 + [15_000] * 50 + [30_000] * 10),
        service_time=Histogram.of_us([7_000] * 1000),
        dispatch_lag=Histogram.of_us([100] * 1000),
        header_overhead=Histogram.of_us([]),
        header_missing=1000,
        reply_bytes=400_000,
        window_opened_mono_s=50.0,
        window_closed_mono_s=60.0,
        drained_mono_s=60.0,
        generator_cpu_s=0.1,
        in_flight_max=3,
        in_flight_cap=10_000,
        sent_by_target=(1000,),
        first_token=Histogram.of_us([]),
        first_token_service=Histogram.of_us([]),
        chunk_gap=Histogram.of_us([]),
        chunks=0,
        streams_done=0,
    )
    return replace(healthy, **changes)


def ends(pid: int) -> bool:
    """Wait until that process is no more; False when it does not end."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], WATCHDOG_S)[0])
    finally:
        os.close(pidfd)


async def eventually(condition: Callable[[], bool]) -> None:
    """Return once it is so; whether it will be is the test's claim, when does not matter."""
    async with asyncio.timeout(WATCHDOG_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


class Read:
    """Step of a toy server: take one whole request."""


class Close:
    """Step of a toy server: close the connection in good order."""


class Reset:
    """Step of a toy server: break the connection (RST)."""


#: What a toy server does on one connection, step by step: bytes are written, an event is waited for. After the last
#: step it waits for the client to leave.
Step = bytes | asyncio.Event | type[Read] | type[Close] | type[Reset]
Script = Iterable[Step]


@dataclass
class Toy:
    """A toy server that is running: what it saw, and where it listens."""

    port: int
    requests: list[bytes] = field(default_factory=list, repr=False)
    #: For every request, on which connection it came, counted from 0.
    request_connections: list[int] = field(default_factory=list)
    connections: int = 0


@asynccontextmanager
async def toy_server(*scripts: Script, host: str = "127.0.0.1", tls: Any = None) -> AsyncIterator[Toy]:
    """Serve the first connection by the first script, and so on; more connections than scripts are closed at once."""
    toy = Toy(port=0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = toy.connections
        toy.connections += 1
        try:
            for step in scripts[number] if number < len(scripts) else [Close]:
                if step is Read:
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                    toy.requests.append(head + await reader.readexactly(length))
                    toy.request_connections.append(number)
                elif step is Close:
                    return
                elif step is Reset:
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    writer.transport.abort()
                    return
                elif isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, bytes):
                    writer.write(step)
                    await writer.drain()
            await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has left
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, 0, ssl=tls)
    toy.port = server.sockets[0].getsockname()[1]
    try:
        yield toy
    finally:
        server.close()
