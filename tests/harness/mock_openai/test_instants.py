"""Does every call come once, in order, and never before its instant?"""

import asyncio
import time

import uvloop

from mock_openai.instants import Instants

#: Ends a test that would hang; no test comes near it.
WATCHDOG_S = 60.0
MS_NS = 1_000_000


def test_calls_come_once_in_order_and_never_early() -> None:
    async def called() -> list[tuple[int, int, int]]:
        instants, calls, done = Instants(), [], asyncio.Event()
        begun_ns = time.monotonic_ns()
        offsets_ns = [7 * MS_NS, 3 * MS_NS + 400_000, 3 * MS_NS, 3 * MS_NS, 0, 20 * MS_NS]

        def note(number: int, at_ns: int) -> None:
            calls.append((number, at_ns, time.monotonic_ns()))
            if len(calls) == len(offsets_ns):
                done.set()

        for number, offset_ns in enumerate(offsets_ns):
            at_ns = begun_ns + offset_ns
            instants.call_at(at_ns, lambda number=number, at_ns=at_ns: note(number, at_ns))  # type: ignore[misc]
        async with asyncio.timeout(WATCHDOG_S):
            await done.wait()
        return calls

    calls = uvloop.run(called())
    assert [number for number, _, _ in calls] == [4, 2, 3, 1, 0, 5]
    assert all(called_ns >= at_ns for _, at_ns, called_ns in calls)


def test_a_call_may_ask_for_another() -> None:
    async def chained() -> int:
        instants, done = Instants(), asyncio.Event()
        instants.call_at(1, lambda: instants.call_at(2, done.set))
        async with asyncio.timeout(WATCHDOG_S):
            await done.wait()
        return 1

    assert uvloop.run(chained()) == 1
