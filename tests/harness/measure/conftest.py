"""Processes that burn a known amount of CPU."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import pytest

BURNER: Final = Path(__file__).with_name("burner.py")


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
