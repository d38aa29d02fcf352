"""How does an event loop wake at an instant of the monotonic clock, to the fraction of a millisecond?

Comes in: instants in ns of CLOCK_MONOTONIC. Goes out: calls. A Linux timerfd does it, since the timers of libuv,
which uvloop is built on, round to whole milliseconds. Imports nothing of ours.
"""

import asyncio
import ctypes
import os
import time
from collections.abc import Callable
from typing import Final

#: From <time.h> and <sys/timerfd.h>; Python has them from 3.13 on.
_CLOCK_MONOTONIC: Final = 1
_TFD_TIMER_ABSTIME: Final = 1


class _TimerSetting(ctypes.Structure):
    """`struct itimerspec`: interval, then expiry, each in seconds and nanoseconds."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("expiry_s", ctypes.c_long),
        ("expiry_ns", ctypes.c_long),
    )


class Alarm:
    """Calls back once for every time it is armed; arming again replaces the instant.

    Args:
        loop: the running event loop.
        on_ring: called in the loop, soon after the instant.

    Raises:
        OSError: the kernel gives no timer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_ring: Callable[[], None]) -> None:
        self._loop = loop
        self._on_ring = on_ring
        self._libc = ctypes.CDLL(None, use_errno=True)
        # These two flags have the values of TFD_NONBLOCK and TFD_CLOEXEC.
        self._fd: int = self._libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise _os_error("timerfd_create")
        loop.add_reader(self._fd, self._ring)

    def arm(self, at_mono_ns: int) -> None:
        """Ring at that instant, at once when it has passed."""
        seconds, nanoseconds = divmod(max(at_mono_ns, 1), 1_000_000_000)
        setting = _TimerSetting(0, 0, seconds, nanoseconds)
        if self._libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(setting), None) < 0:
            raise _os_error("timerfd_settime")

    def close(self) -> None:
        """Ring no more."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _ring(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # armed anew between the expiry and this call
            return
        self._on_ring()


async def until(at_mono_ns: int) -> None:
    """Return once the monotonic clock has reached that instant."""
    loop = asyncio.get_running_loop()
    rung: asyncio.Future[None] = loop.create_future()
    alarm = Alarm(loop, lambda: rung.set_result(None))
    try:
        if at_mono_ns > time.monotonic_ns():
            alarm.arm(at_mono_ns)
            await rung
    finally:
        alarm.close()


def _os_error(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")
