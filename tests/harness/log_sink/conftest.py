"""How do these tests get a running sink? As a process of its own, as users do, stopped by its pid."""

import json
import select
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from log_sink.certificates import AUTHORITY_FILE

#: Generous, since it only bounds a test that fails anyway.
DEADLINE_S: Final = 60
UPLOAD: Final = "/upload/storage/v1/b/my-bucket/o"


@dataclass(frozen=True, slots=True)
class RunningSink:
    process: subprocess.Popen[str]
    first_line: str
    authority_file: Path
    control: httpx.Client
    ports: dict[str, int]

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['http']}"

    @property
    def trusting(self) -> ssl.SSLContext:
        """What trusts the sink's authority, and no other."""
        return ssl.create_default_context(cafile=str(self.authority_file))

    def through_proxy(self) -> httpx.Client:
        """A client whose every request goes through the sink's proxy."""
        proxy = f"http://127.0.0.1:{self.ports['proxy']}"
        return httpx.Client(proxy=proxy, verify=self.trusting, trust_env=False, timeout=DEADLINE_S)

    def post(self, path: str, **what: Any) -> httpx.Response:
        """On a connection of its own."""
        # No TLS here: loading certificates for nothing would take 20 ms each time.
        return httpx.post(self.http_url + path, trust_env=False, verify=False, timeout=DEADLINE_S, **what)

    def log(self, *ids: str) -> httpx.Response:
        """Records by the webhook."""
        return self.post("/webhook", json=payloads(ids))

    def set_mode(self, **mode: Any) -> httpx.Response:
        return self.control.put("/mode", json=mode)

    def counts(self) -> dict[str, Any]:
        counts: dict[str, Any] = self.control.get("/counts").json()
        return counts

    def records(self, format_: str = "webhook") -> dict[str, Any]:
        records: dict[str, Any] = self.counts()["records"][format_]
        return records

    def ids(self, format_: str, which: str = "received") -> dict[str, int]:
        ids: dict[str, int] = self.control.get("/ids").json()[format_][which]
        return ids

    def open_request(self, *ids: str) -> socket.socket:
        """A connection on which a whole request with records has been sent and nothing been read."""
        body = json.dumps(payloads(ids)).encode()
        connection = socket.create_connection(("127.0.0.1", self.ports["http"]))
        head = f"POST /webhook HTTP/1.1\r\nHost: sink\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        return connection


def payloads(ids: Sequence[str]) -> list[dict[str, Any]]:
    """What of LiteLLM's payloads matters here, with an id deeper down that is none of theirs."""
    return [{"id": id_, "response": {"id": "deeper"}, "metadata": {"id": "deeper"}, "messages": []} for id_ in ids]


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "log_sink", *options]


@contextmanager
def started(folder: Path, *options: str) -> Iterator[RunningSink]:
    with subprocess.Popen(
        command("--port", "0", "--make-certificate", str(folder), *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert select.select([process.stdout], [], [], DEADLINE_S)[0], "the sink said nothing in time"
            first_line = process.stdout.readline().rstrip("\n")
            url = first_line.partition("control ")[2].partition(",")[0]
            with httpx.Client(base_url=url, timeout=DEADLINE_S, trust_env=False) as control:
                ports = control.get("/ports").json()
                yield RunningSink(process, first_line, folder / AUTHORITY_FILE, control, ports)
        finally:
            process.kill()


@pytest.fixture(scope="session")
def sink_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSink]:
    with started(tmp_path_factory.mktemp("sink"), "--announce-token", "mine") as running:
        yield running


@pytest.fixture
def sink(sink_process: RunningSink) -> RunningSink:
    """A sink as it is after its start."""
    sink_process.set_mode(mode="fast").raise_for_status()
    sink_process.control.delete("/counts").raise_for_status()
    return sink_process
