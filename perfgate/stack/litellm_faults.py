"""A LiteLLM callback that makes a request cost more by a known amount.

Copied beside LiteLLM's configuration (litellm.py) and imported there, in LiteLLM's own environment: it imports nothing
of ours, and nothing of ours imports it. Always loaded when wanted, it is switched by the model's name, so that windows
of one process have it on or off:

    burn-cpu-5ms          burns 5 ms of CPU in the event loop before the request goes on; any number, 2.5 too
    burn-10pc             burns a tenth of the CPU that the event loop has used since the request before, if that asked
                          for the same: a tenth more than without, however slow the host is just now
    sleep-5ms             waits 5 ms before it goes on, in which the event loop serves others
    stall-50ms-in-2pc     does so for 50 ms, in 2 % of the requests, drawn at random
    leak-100kb            keeps 100 KB more for ever
    anything else         nothing
"""

import asyncio
import random
import re
import time
from typing import Any, Final

from litellm.integrations.custom_logger import CustomLogger  # type: ignore[import-not-found, unused-ignore]

_NUMBER: Final = r"(\d+(?:\.\d+)?)"
_BURN_CPU: Final = re.compile(rf"burn-cpu-{_NUMBER}ms")
_BURN_SHARE: Final = re.compile(rf"burn-{_NUMBER}pc")
_SLEEP: Final = re.compile(rf"sleep-{_NUMBER}ms")
_STALL: Final = re.compile(rf"stall-{_NUMBER}ms-in-{_NUMBER}pc")
_LEAK: Final = re.compile(rf"leak-{_NUMBER}kb")
#: A pause between two requests that is none of a load's: what a gateway does in it is no part of what they cost.
_IDLE_S: Final = 0.1


class Faults(CustomLogger):  # type: ignore[misc, unused-ignore]
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.leaked: list[bytes] = []
        #: What the last request asked for, and when its burning was done: the clock's and the thread's CPU time.
        self.last: tuple[str, float, float] = ("", 0.0, 0.0)

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> None:
        """Called by LiteLLM for each request before it is sent on."""
        model = str(data.get("model"))
        if asked := _BURN_CPU.search(model):
            # The thread's own clock: on a busy core 5 ms of CPU take longer than 5 ms.
            enough_s = time.thread_time() + float(asked[1]) / 1000
            while time.thread_time() < enough_s:
                pass
        if asked := _BURN_SHARE.search(model):
            before, ended_mono_s, ended_cpu_s = self.last
            now_s = time.thread_time()
            is_next = before == model and time.monotonic() - ended_mono_s < _IDLE_S
            used_s = now_s - ended_cpu_s if is_next else 0.0
            while time.thread_time() < now_s + used_s * float(asked[1]) / 100:
                pass
        self.last = (model, time.monotonic(), time.thread_time())
        if asked := _SLEEP.search(model):
            await asyncio.sleep(float(asked[1]) / 1000)
        if (asked := _STALL.search(model)) and random.random() < float(asked[2]) / 100:
            await asyncio.sleep(float(asked[1]) / 1000)
        if asked := _LEAK.search(model):
            # Written to, or no page of it would be in memory; a whole copy each, or all would be one.
            self.leaked.append(bytes(bytearray(b"x") * int(float(asked[1]) * 1000)))


handler: Final = Faults()
