"""Toy programs, toy services, and a supervisor to run them."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from perfgate.stack.readiness import HttpCheck
from perfgate.stack.supervision import Supervisor

EXIT_TRUE: Final = "raise SystemExit(0)"
SLEEP: Final = "import time; print('up', flush=True); time.sleep(9999)"
IGNORES_SIGTERM: Final = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(9999)
"""
#: Leaves a daemon behind, as daemons do it: its parent has ended, its session is its own. It ignores SIGTERM too.
DOUBLE_FORKER: Final = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("up", flush=True)
        time.sleep(9999)
    os._exit(0)
time.sleep(9999)
"""
#: Has a child in a session of its own.
PARENT_OF_A_SESSION: Final = """
import os, time
if os.fork() == 0:
    os.setsid()
    print("up", flush=True)
time.sleep(9999)
"""
#: Answers GET /health with what its environment says, on the port that is its first argument.
SERVER: Final = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ.get("TOY_ANSWER", "").encode()
        self.send_response(int(os.environ.get("TOY_STATUS", "200")))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

#: Far longer than anything here takes; only a test that fails waits for so long.
PATIENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Toy:
    """A service whose program is a text."""

    program: str
    name: str = "toy"
    start_deadline_s: float = PATIENCE_S
    secrets: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    check: HttpCheck = HttpCheck("its health", "/health")  # noqa: RUF009 (a frozen value)

    def argv(self, port: int) -> list[str]:
        return [sys.executable, "-c", self.program, str(port)]

    def environment(self, folder: Path) -> Mapping[str, str]:
        return {"TOY_FOLDER": str(folder), **self.env}

    def files(self) -> Mapping[str, str]:
        return self.texts

    def ready_checks(self) -> Sequence[HttpCheck]:
        return [self.check]


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """One whose run folder is within the test's."""
    with Supervisor(tmp_path) as supervisor:
        yield supervisor


def eventually(is_true: Callable[[], bool], within_s: float = PATIENCE_S) -> bool:
    """Whether something becomes true within that time."""
    deadline_mono_s = time.monotonic() + within_s
    while not is_true():
        if time.monotonic() > deadline_mono_s:
            return False
        time.sleep(0.01)
    return True


def pids_with_argument(text: str) -> set[int]:
    """Living processes whose command line holds a text; that of a zombie is empty."""
    found = set()
    for command_line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text.encode() in command_line.read_bytes():
                found.add(int(command_line.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
