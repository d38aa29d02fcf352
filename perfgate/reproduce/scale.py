"""How large is a run on this host, beside the page's?

Comes in: how many cores gateways have here. Goes out: a `Scale`. Pure arithmetic.
"""

from dataclasses import dataclass
from typing import Final, Literal

from perfgate.errors import BadInput
from perfgate.reproduce.published import SETTINGS

ScaleName = Literal["auto", "full"]

#: Of the page's largest deployment: four instances, each with a machine.
PUBLISHED_INSTANCES: Final = 4
PUBLISHED_CORES: Final = PUBLISHED_INSTANCES * SETTINGS.vcpus


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of the page's deployment this host can hold.

    Args:
        name: as asked for.
        cores: that gateways have here, all together; at most the page's 16 count.
        users: as many for each core as the page has.
        workers: of each instance.
    """

    name: ScaleName
    cores: int
    users: int
    workers: int

    @property
    def is_published(self) -> bool:
        """Whether it is the page's own."""
        return self.users == SETTINGS.users and self.workers == SETTINGS.workers

    @property
    def users_per_s(self) -> float:
        """How many users come a second: all of them in as many seconds as on the page."""
        return SETTINGS.users_per_s * self.users / SETTINGS.users

    @property
    def instances(self) -> int:
        """Of a table whose arms are not sizes: each has a core, and there are no more than on the page."""
        return min(PUBLISHED_INSTANCES, self.cores)


def scale_of(name: ScaleName, cores: int) -> Scale:
    """The scale on a host whose gateways have so many cores.

    Args:
        name: `full` is the page's own; `auto` is that where the host has the cores, else users by core and one worker
            an instance.
        cores: what generator and mock leave; at least 1.

    Raises:
        BadInput: `full` on a host with fewer cores than the page's machines have.

    >>> scale_of("auto", cores=2)
    Scale(name='auto', cores=2, users=125, workers=1)
    """
    if cores < 1:
        raise ValueError(f"cores={cores} must be at least 1")
    if cores >= PUBLISHED_CORES:
        return Scale(name, PUBLISHED_CORES, SETTINGS.users, SETTINGS.workers)
    if name == "full":
        raise BadInput(
            f"--scale=full: the page's {PUBLISHED_INSTANCES} instances have {PUBLISHED_CORES} cores, and gateways have "
            f"{cores} here, besides those of generator and mock: take a larger host, or --scale=auto"
        )
    return Scale(name, cores, round(SETTINGS.users * cores / PUBLISHED_CORES), workers=1)
