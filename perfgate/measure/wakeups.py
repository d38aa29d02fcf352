"""How late does whoever sleeps wake up on this host: the lateness that a load generator would have?

Comes in: how long, on which cores. Goes out: how late each of many wake-ups was. A generator that sleeps until a
request's intended start is late by as much (dispatch lag). Imports nothing of ours.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

#: Between wake-ups: 200 a second, as a generator at a few hundred requests/s.
STEP_S: Final = 0.005


def lateness_ms(
    duration_s: float,
    cpus: Sequence[int] = (),
    *,
    stop: threading.Event | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[float]:
    """Wake up at times that were fixed before, and note how late that is.

    A wake-up that is late by more than a step makes those after it late, too, as it does in an open loop.

    Args:
        duration_s: for so long.
        cpus: cores that the calling thread is kept on from here on; empty leaves it where it is.
        stop: ends it early.
        clock, sleep: as of `time`.

    Returns:
        Milliseconds of each wake-up, in order; one at least.
    """
    if cpus:
        os.sched_setaffinity(0, cpus)  # of this thread alone
    late_ms: list[float] = []
    began_s = clock()
    for number in range(1, max(1, round(duration_s / STEP_S)) + 1):
        due_s = began_s + number * STEP_S
        sleep(max(0.0, due_s - clock()))
        late_ms.append((clock() - due_s) * 1000)
        if stop is not None and stop.is_set():
            break
    return late_ms
