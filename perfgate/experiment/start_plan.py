"""How long do gateways take until they can be asked, to plan with?

Comes in: which gateways are started at once. Goes out: seconds, by what such starts took on two cores; on more cores,
where more of them start side by side, they take less. What it takes to install a release is not in it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from perfgate.experiment.arms import GatewaySpec, Product
from perfgate.experiment.rounds import WINDOW_EXTRA_S, settling
from perfgate.load.schedule import Schedule

#: One process of LiteLLM where several start side by side: 2.4 of 1.79.3, 3 to 5 of 1.106.2.
START_S: Final = 3.5
#: The same with a database, in which it looks for its tables and makes its views: 5 to 7 of 1.106.2 with Prisma's
#: WebAssembly engine; of other releases, and with the native one, it was not measured.
START_WITH_DATABASE_S: Final = 7.0
#: LiteLLM's tables in an empty database, one database after the other: 7.3 to 7.6 of 1.106.2. With the native engine
#: LiteLLM makes them itself while it starts, which was not measured.
MIGRATE_S: Final = 7.5
#: One process of Portkey's gateway.
START_PORTKEY_S: Final = 1.2


@dataclass(frozen=True, slots=True)
class GatewayStart:
    """One gateway that is to be started.

    Args:
        processes: of all its instances.
        has_database: whether its tables are made first, in a database of its own.
        product: what it is.
        endpoints: that it is asked for, each of which has code of its own to warm up.
    """

    processes: int = 1
    has_database: bool = False
    product: Product = "litellm"
    endpoints: int = 1

    @classmethod
    def of(cls, spec: GatewaySpec) -> Self:
        """The start of a gateway."""
        return cls(spec.processes, spec.database, spec.product)

    @property
    def planned_s(self) -> float:
        """Its share of the time that all which are started at once take.

        >>> GatewayStart(processes=2, has_database=True).planned_s
        21.5
        """
        if self.product == "portkey":
            return START_PORTKEY_S * self.processes
        if self.has_database:
            return MIGRATE_S + START_WITH_DATABASE_S * self.processes
        return START_S * self.processes


def starting_s(gateways: Iterable[GatewayStart]) -> float:
    """Until all of them answer, where all are started at once."""
    return sum(gateway.planned_s for gateway in gateways)


def settling_s(gateways: Iterable[GatewayStart], schedule: Schedule, closed_loop_s: float) -> float:
    """Until all of them have answered the requests that nobody measures, without what they then still write.

    Args:
        gateways: one after the other.
        schedule: of their windows.
        closed_loop_s: as of `settling`.
    """
    return sum(
        gateway.endpoints * (settling(schedule, gateway.processes, closed_loop_s).window_s + WINDOW_EXTRA_S)
        for gateway in gateways
    )
