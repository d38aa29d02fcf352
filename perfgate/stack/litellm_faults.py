"""A LiteLLM callback that makes a request cost more by a known amount.

Copied beside LiteLLM's configuration (litellm.py) and imported there, in LiteLLM's own environment: it imports nothing
of ours, and nothing of ours imports it. Always loaded when wanted, it is switched by the model's name, so that windows
of one process have it on or off:

    burn-cpu-5ms    burns 5 ms of CPU in the event loop before the request goes on; any number, 2.5 too
    anything else   nothing
"""

import re
import time
from typing import Any, Final

from litellm.integrations.custom_logger import CustomLogger  # type: ignore[import-not-found, unused-ignore]

_BURN_CPU: Final = re.compile(r"burn-cpu-(\d+(?:\.\d+)?)ms")


class Faults(CustomLogger):  # type: ignore[misc, unused-ignore]
    """See the module."""

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> None:
        """Called by LiteLLM for each request before it is sent on."""
        asked = _BURN_CPU.search(str(data.get("model")))
        if asked:
            # The thread's own clock: on a busy core 5 ms of CPU take longer than 5 ms.
            enough_s = time.thread_time() + float(asked[1]) / 1000
            while time.thread_time() < enough_s:
                pass


handler: Final = Faults()
