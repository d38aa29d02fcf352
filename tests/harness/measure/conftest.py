"""Processes that burn a known amount of CPU, and processes in a network of their own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import pytest

BURNER: Final = Path(__file__).with_name("burner.py")
#: Leaves this host's network for one that has a loopback and nothing else (CLONE_NEWNET, as whoever is not root with
#: CLONE_NEWUSER; SIOCSIFFLAGS with IFF_UP), and says so; or says why it may not.
LEAVE_NETWORK: Final = """
import ctypes, fcntl, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x40000000) and libc.unshare(0x50000000):
    sys.exit(print(os.strerror(ctypes.get_errno())))
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH22x", b"lo", 1))
print("left", flush=True)
"""


@dataclass(frozen=True)
class RunningBurner:
    """`burner("burn 0.5")` has it burn half a second and returns what it says it burned; commands are in burner.py."""

    pid: int
    commands: IO[str]
    answers: IO[str]

    def __call__(self, command: str) -> float:
        self.commands.write(command + "\n")
        self.commands.flush()
        return float(self.answers.readline())


@pytest.fixture
def burner() -> Iterator[RunningBurner]:
    """A burner; it and its children end with the test, since their standard input ends."""
    with subprocess.Popen(
        [sys.executable, str(BURNER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        running = RunningBurner(process.pid, process.stdin, process.stdout)
        running("used")  # the interpreter has started: what it burns from here on is what it was told to
        yield running


@contextmanager
def network_of_its_own(program: str) -> "Iterator[subprocess.Popen[str]]":
    """A Python program that runs in its own network namespace; it should end with its standard input."""
    command = [sys.executable, "-c", LEAVE_NETWORK + program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        if said != "left":
            pytest.skip(f"no network namespace of its own can be made here: {said}")
        yield process
