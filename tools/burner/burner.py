r"""A LiteLLM callback of known cost, to see whether a comparison finds what is known to be there.

    pytest tests/perf --candidate 1.79.3 --baseline-config tools/burner/idle.yaml \
        --candidate-config tools/burner/burns.yaml

Each request burns so much CPU in the event loop before it goes on. `idle` is the same callback without the burning, so
that the two arms differ in that alone.
"""

import time
from typing import Any

from litellm.integrations.custom_logger import CustomLogger  # type: ignore[import-not-found, unused-ignore]


class Burner(CustomLogger):  # type: ignore[misc, unused-ignore]
    """Burns `cpu_ms` for every request."""

    def __init__(self, cpu_ms: float) -> None:
        super().__init__()
        self.cpu_ms = cpu_ms

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> None:
        """Called by LiteLLM for each request before it is sent on."""
        # The thread's own clock: on a busy core 1 ms of CPU takes longer than 1 ms.
        enough_s = time.thread_time() + self.cpu_ms / 1000
        while time.thread_time() < enough_s:
            pass


idle = Burner(cpu_ms=0)
#: About a tenth of what litellm 1.79.3 takes for a request on the reference host.
burns = Burner(cpu_ms=0.5)
