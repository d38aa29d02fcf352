"""What is compared: an arm, and the gateway that serves it.

Values only. Two arms with an equal `GatewaySpec` are served by the same process, so that a fault can be switched on
and off from window to window inside one process.
"""

from dataclasses import dataclass
from typing import Final

from perfgate.stack.releases import DepsMode

#: The model asked for by default; the mock endpoint answers any name outside its own grammar with a plain reply.
PLAIN_MODEL: Final = "perfgate-plain"


@dataclass(frozen=True, slots=True)
class GatewaySpec:
    """One LiteLLM gateway as it is to be started.

    Args:
        release: LiteLLM's version, `1.106.2`.
        deps: its dependencies as of its release date, or the newest of today.
        workers: worker processes of the one instance.
        faults: load the callback that injects faults of known size (stack/litellm_faults.py).
    """

    release: str
    deps: DepsMode = "of-its-time"
    workers: int = 1
    faults: bool = False

    def __str__(self) -> str:
        """As it stands in a table: `litellm 1.106.2`."""
        return f"litellm {self.release}"


@dataclass(frozen=True, slots=True)
class Arm:
    """One thing under test in a comparison.

    Args:
        name: `direct`, `gateway`, `baseline`, `candidate`, `callback_on` …; unique within a measurement.
        gateway: what stands between generator and mock; None is the direct arm.
        model: the model its requests ask for.

    >>> Arm("direct", gateway=None).is_direct
    True
    """

    name: str
    gateway: GatewaySpec | None
    model: str = PLAIN_MODEL

    @property
    def is_direct(self) -> bool:
        """Whether requests go to the mock without a gateway."""
        return self.gateway is None
