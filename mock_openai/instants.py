"""How do many requests each wake at an instant of their own?

Comes in: instants of CLOCK_MONOTONIC and calls. Goes out: those calls, each once, soon after its instant and never
before. One alarm for all of them: its precision is a tenth of a millisecond, where an event loop's own timers have
whole ones, and requests that wait equally long would all wake in the same millisecond and march in step.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable

from mock_openai.alarm import Alarm


class Instants:
    """The calls that are still to come; belongs to the running event loop."""

    def __init__(self) -> None:
        self._alarm = Alarm(asyncio.get_running_loop(), self._ring)
        # The number keeps calls of one instant in order, and from being compared.
        self._to_come: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def call_at(self, at_mono_ns: int, call: Callable[[], None]) -> None:
        """Call once that instant has come; calls of one instant in the order in which they were asked for."""
        heapq.heappush(self._to_come, (at_mono_ns, next(self._numbers), call))
        if self._to_come[0][0] == at_mono_ns:
            self._alarm.arm(at_mono_ns)

    def _ring(self) -> None:
        while self._to_come and self._to_come[0][0] <= time.monotonic_ns():
            heapq.heappop(self._to_come)[2]()
        if self._to_come:
            self._alarm.arm(self._to_come[0][0])
