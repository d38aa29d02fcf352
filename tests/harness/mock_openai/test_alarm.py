"""Does an alarm ring once, never early, and at the last instant it was armed for?"""

import asyncio
import time

import uvloop

from mock_openai.alarm import Alarm, until
from tests.harness.load.conftest import WATCHDOG_S

MS_NS = 1_000_000


def test_until_returns_no_sooner_than_its_instant() -> None:
    async def overslept_ns() -> list[int]:
        instants_ns = [time.monotonic_ns() + offset_ns for offset_ns in (5 * MS_NS, 5 * MS_NS + 300_000, 0)]
        overslept = []
        for instant_ns in instants_ns:
            await until(instant_ns)
            overslept.append(time.monotonic_ns() - instant_ns)
        return overslept

    assert min(uvloop.run(overslept_ns())) >= 0


def test_arming_again_replaces_the_instant_and_each_arming_rings_once() -> None:
    async def rung_at_ns() -> tuple[int, list[int]]:
        rings_ns: list[int] = []
        rang = asyncio.Event()

        def ring() -> None:
            rings_ns.append(time.monotonic_ns())
            rang.set()

        alarm = Alarm(asyncio.get_running_loop(), ring)
        later_ns = time.monotonic_ns() + 20 * MS_NS
        alarm.arm(later_ns - 15 * MS_NS)
        alarm.arm(later_ns)
        async with asyncio.timeout(WATCHDOG_S):
            await rang.wait()
            rang.clear()
            alarm.arm(1)  # long past: rings at once
            await rang.wait()
        alarm.close()
        return later_ns, rings_ns

    later_ns, rings_ns = uvloop.run(rung_at_ns())
    assert len(rings_ns) == 2
    assert rings_ns[0] >= later_ns
