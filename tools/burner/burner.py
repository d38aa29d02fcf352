r"""A LiteLLM callback of known cost, to see whether a comparison finds what is known to be there.

    pytest tests/perf --candidate 1.79.3 --baseline-config tools/burner/idle.yaml \
        --candidate-config tools/burner/burns.yaml

`burns` takes a share more CPU than the process would without it, `stalls` lets some requests wait. `idle` is the same
callback that does neither, so that the two arms differ in that alone. A share, and not so many milliseconds, since the
same release takes 6 ms for a request in one minute and 9 in another where a host is shared.
"""

import asyncio
import random
import time
from typing import Any

from litellm.integrations.custom_logger import CustomLogger  # type: ignore[import-not-found, unused-ignore]

#: A pause between two requests that is none of a load's.
IDLE_S = 0.1


class Burner(CustomLogger):  # type: ignore[misc, unused-ignore]
    """Burns `cpu_ratio` of what the loop's thread has used since the last request, and has a share of requests wait."""

    def __init__(self, cpu_ratio: float = 0.0, stall_ms: float = 0.0, stall_ratio: float = 0.0) -> None:
        super().__init__()
        self.cpu_ratio = cpu_ratio
        self.stall_ms = stall_ms
        self.stall_ratio = stall_ratio
        #: Of the last request's burning: when it ended, and the thread's CPU time then.
        self.ended = (0.0, 0.0)

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> None:
        """Called by LiteLLM for each request before it is sent on."""
        ended_mono_s, ended_cpu_s = self.ended
        now_s = time.thread_time()
        # What a gateway does while nobody asks is no part of what a request costs.
        used_s = now_s - ended_cpu_s if time.monotonic() - ended_mono_s < IDLE_S else 0.0
        while time.thread_time() < now_s + self.cpu_ratio * used_s:
            pass
        self.ended = (time.monotonic(), time.thread_time())
        if random.random() < self.stall_ratio:
            await asyncio.sleep(self.stall_ms / 1000)


idle = Burner()
burns = Burner(cpu_ratio=0.1)
burns_8pc = Burner(cpu_ratio=0.08)
stalls = Burner(stall_ms=50, stall_ratio=0.02)
