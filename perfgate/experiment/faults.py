"""Which dependencies fail, and what does a gateway need to depend on them?

Values only. bench.py knows how a dependency of a running gateway is made to fail (`RunningGateway.outages`); of an
upstream it is the mock's own grammar: who asks for a certain model meets the fault, all others do not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from perfgate.stack.callbacks import CallbackName

#: What can be made to fail behind a gateway.
Outage = Literal["sink hangs", "sink answers 500", "PostgreSQL is down", "Redis is down"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A dependency that fails while users are served.

    Args:
        name: its scenario is `fault_NAME`.
        outage: of what; None where it is the upstream of some users alone.
        callback, database, redis: what the gateway has.
        affected_model: who asks for it meets the fault; None where nobody should.
    """

    name: str
    outage: Outage | None = None
    callback: CallbackName | None = None
    database: bool = False
    redis: bool = False
    affected_model: str | None = None

    @property
    def scenario(self) -> str:
        """In thresholds.yaml."""
        return f"fault_{self.name}"


FAULTS: Final[Mapping[str, Fault]] = {
    fault.name: fault
    for fault in (
        Fault("sink_hangs", "sink hangs", callback="langsmith"),
        Fault("sink_answers_500", "sink answers 500", callback="langsmith"),
        Fault("postgres_restarts", "PostgreSQL is down", database=True),
        Fault("redis_stops", "Redis is down", redis=True),
        Fault("upstream_hangs", affected_model="mock-hang"),
        Fault("upstream_answers_429", affected_model="mock-error-429-rate-1"),
    )
}
