r"""A LiteLLM callback of known cost, to see whether a comparison finds what is known to be there.

    pytest tests/perf --candidate 1.79.3 --baseline-config tools/burner/idle.yaml \
        --candidate-config tools/burner/burns.yaml

Each request works in the event loop before it goes on (`burns`), or some of them wait (`stalls`). `idle` is the same
callback that does neither, so that the two arms differ in that alone. The work is so many turns of a loop, not so many
milliseconds: where the host is slow, it takes longer as all the rest does, and stays the same share of it.
"""

import asyncio
import random
from typing import Any

from litellm.integrations.custom_logger import CustomLogger  # type: ignore[import-not-found, unused-ignore]


class Burner(CustomLogger):  # type: ignore[misc, unused-ignore]
    """Does `turns` of a loop for every request, and has a share of them wait for `stall_ms`."""

    def __init__(self, turns: int = 0, stall_ms: float = 0.0, stall_ratio: float = 0.0) -> None:
        super().__init__()
        self.turns = turns
        self.stall_ms = stall_ms
        self.stall_ratio = stall_ratio

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> None:
        """Called by LiteLLM for each request before it is sent on."""
        for _ in range(self.turns):
            pass
        if random.random() < self.stall_ratio:
            await asyncio.sleep(self.stall_ms / 1000)


idle = Burner()
#: About a tenth of what litellm 1.79.3 takes for a request on the reference host.
burns = Burner(turns=33_000)
stalls = Burner(stall_ms=50, stall_ratio=0.02)
