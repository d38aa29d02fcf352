"""A LiteLLM callback that makes a request cost more by a known amount.

Copied beside LiteLLM's configuration (litellm.py) and imported there, in LiteLLM's own environment: it imports nothing
of ours, and nothing of ours imports it. Always loaded when wanted, it is switched by the model's name, so that windows
of one process have it on or off:

    burn-cpu-5ms          burns 5 ms of CPU in the event loop before the request goes on; any number, 2.5 too
    work-40k              does 40,000 turns of a loop, which take longer where all the rest does
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
_WORK: Final = re.compile(rf"work-{_NUMBER}k")
_SLEEP: Final = re.compile(rf"sleep-{_NUMBER}ms")
_STALL: Final = re.compile(rf"stall-{_NUMBER}ms-in-{_NUMBER}pc")
_LEAK: Final = re.compile(rf"leak-{_NUMBER}kb")


class Faults(CustomLogger):  # type: ignore[misc, unused-ignore]
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.leaked: list[bytes] = []

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
        if asked := _WORK.search(model):
            for _ in range(int(float(asked[1]) * 1000)):
                pass
        if asked := _SLEEP.search(model):
            await asyncio.sleep(float(asked[1]) / 1000)
        if (asked := _STALL.search(model)) and random.random() < float(asked[2]) / 100:
            await asyncio.sleep(float(asked[1]) / 1000)
        if asked := _LEAK.search(model):
            # Written to, or no page of it would be in memory; a whole copy each, or all would be one.
            self.leaked.append(bytes(bytearray(b"x") * int(float(asked[1]) * 1000)))


handler: Final = Faults()
