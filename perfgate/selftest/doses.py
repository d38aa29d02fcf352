"""Which faults of known size are the gate tried with?

Values only. A window's requests ask for a dose by the model's name (stack/litellm_faults.py), so that one process
serves all doses in turn; a leak would stay, and has processes of its own.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Dose:
    """A fault of known size.

    Args:
        name: in tables, and as an arm of the pool.
        model: what requests ask for to get it.
        has_own_processes: whether it outlasts its window.
    """

    name: str
    model: str
    has_own_processes: bool = False


#: The same callback that does nothing: two processes under it differ in nothing that is known.
NONE: Final = Dose("none", "work-0k")
#: Of what litellm 1.79.3 takes for a request on the reference host; what it was in each pool stands in its table.
CPU_5: Final = Dose("CPU, about +5 %", "work-16k")
CPU_10: Final = Dose("CPU, about +10 %", "work-33k")
CPU_20: Final = Dose("CPU, about +20 %", "work-66k")
SLEEP_SHORT: Final = Dose("2 ms of waiting", "sleep-2ms")
SLEEP_LONG: Final = Dose("10 ms of waiting", "sleep-10ms")
STALL: Final = Dose("50 ms in 2 % of the requests", "stall-50ms-in-2pc")
LEAK: Final = Dose("100 KB leaked a request", "leak-100kb", has_own_processes=True)

DOSES: Final = (NONE, CPU_5, CPU_10, CPU_20, SLEEP_SHORT, SLEEP_LONG, STALL, LEAK)
