"""How do these tests get a running mock? As a process of its own, as users do, stopped by its pid."""

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest

#: Generous, since it only bounds a test that fails anyway.
DEADLINE_S: Final = 60


@dataclass(frozen=True, slots=True)
class RunningMock:
    process: subprocess.Popen[str]
    first_line: str
    client: httpx.Client

    def chat(self, model: str, **more: Any) -> httpx.Response:
        return self.client.post("/v1/chat/completions", json={"model": model, "messages": [], **more})

    def counts(self) -> dict[str, Any]:
        counts: dict[str, Any] = self.client.get("/admin/counts").json()
        return counts


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "mock_openai", *options]


@contextmanager
def started(*options: str) -> Iterator[RunningMock]:
    with subprocess.Popen(
        command("--port", "0", *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert select.select([process.stdout], [], [], DEADLINE_S)[0], "the mock said nothing in time"
            first_line = process.stdout.readline().rstrip("\n")
            url = first_line.rpartition(" ")[2]
            with httpx.Client(base_url=url, timeout=DEADLINE_S, trust_env=False) as client:
                yield RunningMock(process, first_line, client)
        finally:
            process.kill()


@pytest.fixture(scope="session")
def mock_process() -> Iterator[RunningMock]:
    with started("--announce-token", f"of-{os.getpid()}") as running:
        yield running


@pytest.fixture
def mock(mock_process: RunningMock) -> RunningMock:
    """A mock as it is after its start."""
    mock_process.client.post("/admin/reset").raise_for_status()
    return mock_process
