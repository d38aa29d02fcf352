"""Which faults of known size are the gate tried with?

Values only. A window's requests ask for a dose by the model's name (stack/litellm_faults.py), so that one process
serves all doses in turn; a leak would stay, and has processes of its own.

The pool's processes come in pairs that are asked in turn, as the arms of a live comparison are: what the host does in
a minute hits both. So there are two of each dose's arms, one for each side of a pair (`arm_name`).
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
NONE: Final = Dose("none", "burn-0pc")
#: Of what the process uses without it; a window's first request has none, so that of 20 a twentieth is missing.
CPU_5: Final = Dose("5 % more CPU", "burn-5pc")
CPU_10: Final = Dose("10 % more CPU", "burn-10pc")
CPU_20: Final = Dose("20 % more CPU", "burn-20pc")
SLEEP_SHORT: Final = Dose("2 ms of waiting", "sleep-2ms")
STALL: Final = Dose("50 ms in 2 % of the requests", "stall-50ms-in-2pc")
LEAK: Final = Dose("100 KB leaked a request", "leak-100kb", has_own_processes=True)

DOSES: Final = (NONE, CPU_5, CPU_10, CPU_20, SLEEP_SHORT, STALL, LEAK)

#: The processes of a generation of the pool: a pair, and one for what lasts.
FIRST: Final = "first"
SECOND: Final = "second"
SIDES: Final = (FIRST, SECOND)
LASTING: Final = "lasting"


def arm_name(side: str, dose: Dose) -> str:
    """The arm of the pool in which a process of a pair is asked for a dose.

    >>> arm_name(FIRST, NONE)
    'first: none'
    """
    return f"{side}: {dose.name}"
