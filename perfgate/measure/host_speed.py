"""How fast is this host at the kind of work that a gateway does?

    python -m perfgate.measure.host_speed        prints what it measured, as JSON

Comes in: cores. Goes out: a `HostSpeed`: milliseconds of one fixed piece of work. Limits that were measured on one host
are scaled by it on another (perfgate/host_limits.py). Imports nothing of ours but its errors.

The work is what a Python gateway spends its time on, in the interpreter that runs it: parsing and writing JSON of
16 KB, turns of an event loop, dictionaries, regular expressions, hashing. Its result is checked, so that a host that
computes wrongly is not a fast one.
"""

import asyncio
import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from perfgate.errors import StackFailed

#: Pieces of work timed. About 15 ms each: long enough for the clock, short enough that most meet no other process.
PIECES: Final = 60
#: Pieces before the first that counts: caches and branch predictors settle.
WARM_UP_PIECES: Final = 5
#: Raise it when the work changes: figures of two versions can't be compared.
WORK_VERSION: Final = 1

_MESSAGE: Final = "This is a test there will be no cache hits and we'll fill up the context " * 220
_WORD: Final = re.compile(r"\b(\w+)\b")
_TURNS: Final = 200
_ROUNDS: Final = 12
_EXPECTED: Final = "8d5a885519c7"


@dataclass(frozen=True, slots=True)
class HostSpeed:
    """What one piece of the work took.

    Args:
        median_ms: the figure that hosts are compared by.
        p10_ms, p90_ms: how much single pieces varied.
        pieces: how many were timed.
        work_version: which work.
    """

    median_ms: float
    p10_ms: float
    p90_ms: float
    pieces: int
    work_version: int


def measured_speed(cpus: Sequence[int] = ()) -> HostSpeed:
    """Measure in a process of its own, for one to two seconds.

    Args:
        cpus: cores to run on; empty for any. The gateway's, since they may differ from others.

    Raises:
        StackFailed: the process failed; holds its message.
    """
    command = [sys.executable, "-P", "-m", "perfgate.measure.host_speed", *(str(cpu) for cpu in cpus)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackFailed(f"the host's speed could not be measured: {done.stderr.strip()[-500:]}")
    return HostSpeed(**json.loads(done.stdout))


def time_pieces(pieces: int = PIECES) -> HostSpeed:
    """Measure here and now, on the calling thread."""
    taken_ms = []
    for piece in range(WARM_UP_PIECES + pieces):
        started_s = time.perf_counter()
        work()
        if piece >= WARM_UP_PIECES:
            taken_ms.append((time.perf_counter() - started_s) * 1000)
    deciles = statistics.quantiles(taken_ms, n=10)
    return HostSpeed(statistics.median(taken_ms), deciles[0], deciles[-1], pieces, WORK_VERSION)


def work() -> str:
    """One piece; returns the digest of what it computed, always the same."""
    digest = hashlib.sha256()
    for number in range(_ROUNDS):
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": _MESSAGE}], "n": number})
        request = json.loads(body)
        request["metadata"] = {f"key-{n}": (n, str(n)) for n in range(100)}
        words = _WORD.findall(request["messages"][0]["content"])
        counts: dict[str, int] = {}
        for word in words[:400]:
            counts[word] = counts.get(word, 0) + 1
        digest.update(json.dumps([request, counts], sort_keys=True).encode())
    digest.update(str(asyncio.run(_turns())).encode())
    return digest.hexdigest()


async def _turns() -> int:
    """Turns of the event loop, as tasks that wait for each other take them."""

    async def hop(number: int) -> int:
        await asyncio.sleep(0)
        return number

    return sum(await asyncio.gather(*(hop(number) for number in range(_TURNS))))


def main(arguments: Sequence[str]) -> None:
    """Pin to the cores given, measure, print."""
    if arguments:
        os.sched_setaffinity(0, {int(cpu) for cpu in arguments})
    if (digest := work())[: len(_EXPECTED)] != _EXPECTED:
        raise SystemExit(f"the work's result is {digest}, not {_EXPECTED}…: this host computes something else")
    print(json.dumps(asdict(time_pieces())))


if __name__ == "__main__":
    main(sys.argv[1:])
