"""A `perfgate history` that measures at once, but waits at one release until it is ended: a program, for test_ended.py.

    python -m tests.harness.history.waiting LOG RELEASE MOMENT history --results …

LOG gets a line for each release whose measuring begins. MOMENT is `measuring`, or `writing`: then the result is half on
the disk. It tells on standard output that it waits.
"""

import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from perfgate.cli import main
from perfgate.history.measuring import Question, Version
from perfgate.history.result import Conditions, Measured
from perfgate.history.series import Standing
from tests.harness.history.conftest import FakeMeasurer, Host, put_in_place

#: Whoever waits so long was forgotten.
FORGOTTEN_S = 600.0


@dataclass
class Waiting:
    """Where to wait, and what is going on."""

    log: Path
    release: str
    moment: str
    now: str = ""

    def begun(self, release: str) -> None:
        with self.log.open("a") as file:
            file.write(f"{release}\n")
        self.now = release
        self.wait_if("measuring")

    def wait_if(self, moment: str) -> None:
        if (self.now, moment) == (self.release, self.moment):
            print(f"waiting: {moment} {self.now}", flush=True)
            time.sleep(FORGOTTEN_S)


@dataclass
class WaitingMeasurer(FakeMeasurer):
    """Says what it measures."""

    waiting: Waiting = field(kw_only=True)

    def measured(self, version: Version, standing: Standing, run: int = 1) -> Measured:
        self.waiting.begun(version.name)
        return super().measured(version, standing, run)


@dataclass
class WaitingHost(Host):
    """Has such a measurer."""

    waiting: Waiting = field(kw_only=True)

    def measurer(
        self, question: Question, conditions: Conditions, anchor: object, seed: int, cache: object
    ) -> WaitingMeasurer:
        return self.made(WaitingMeasurer, question, conditions, anchor, waiting=self.waiting)


def run(waiting: Waiting, arguments: list[str]) -> int:
    flushed = os.fsync

    def fsync(descriptor: int) -> None:
        waiting.wait_if("writing")
        flushed(descriptor)

    with pytest.MonkeyPatch.context() as monkeypatch:
        put_in_place(WaitingHost(waiting=waiting), monkeypatch)
        monkeypatch.setattr(os, "fsync", fsync)
        return main(arguments)


if __name__ == "__main__":
    # Ctrl-C is for it, also where whoever runs the tests has it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(run(Waiting(Path(sys.argv[1]), sys.argv[2], sys.argv[3]), sys.argv[4:]))
