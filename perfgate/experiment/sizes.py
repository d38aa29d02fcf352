"""How do throughput and latency go with the number of instances and of workers?

Comes in: how many cores a host has; a measurement whose arms are gateways of several sizes, each named as `Size.name`
says. Goes out: the sizes to try, and `Estimate`s. No I/O, no limits.

Latency and throughput of two sizes are compared as ratios, so that no figure depends on how fast the host is.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from perfgate.experiment.arms import GatewaySpec
from perfgate.experiment.measurement import Estimate, Measurement, NotMeasured

#: Instances side by side: those of LiteLLM's published tables, and one.
INSTANCES: Final = (1, 2, 4)
#: Every number of workers is tried up to this one, then every doubled one.
EVERY_WORKER_COUNT_TO: Final = 4


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """How many processes a gateway has.

    Args:
        instances: side by side, loaded in turn.
        workers: processes of each, behind one socket.

    >>> Size(instances=2, workers=4).name
    '2x4'
    """

    instances: int
    workers: int

    @property
    def name(self) -> str:
        """Of its arm: INSTANCESxWORKERS."""
        return f"{self.instances}x{self.workers}"

    @property
    def processes(self) -> int:
        """How many serve requests."""
        return self.instances * self.workers

    def lacks_cores(self, cores: int) -> str | None:
        """Why a host whose gateways have so many cores can't show what this size can do; None where it can."""
        if cores >= self.processes:
            return None
        return (
            f"{self.instances} instances of {self.workers} are {self.processes} processes, and gateways have {cores} "
            f"{'core' if cores == 1 else 'cores'} here: they take turns, whatever they could do side by side"
        )


def worker_counts(cores: int) -> tuple[int, ...]:
    """The numbers of workers to try: 1 to the number of cores, from 4 on each twice the one before, and that number.

    >>> worker_counts(2), worker_counts(12)
    ((1, 2), (1, 2, 3, 4, 8, 12))
    """
    if cores < 1:
        raise ValueError(f"cores={cores} must be at least 1")
    each = range(1, min(cores, EVERY_WORKER_COUNT_TO) + 1)
    doubled = (2**n for n in range(cores.bit_length()))
    return tuple(sorted({*each, *doubled, cores}))


def sizes_to_try(cores: int, workers: int) -> tuple[Size, ...]:
    """Every size, ascending.

    Args:
        cores: that the host has for everything.
        workers: of each instance where there are several.

    >>> [size.name for size in sizes_to_try(cores=2, workers=1)]
    ['1x1', '1x2', '2x1', '4x1']
    """
    by_instances = {Size(instances, workers) for instances in INSTANCES}
    return tuple(sorted(by_instances | {Size(1, count) for count in worker_counts(cores)}))


def sizes_of(measurement: Measurement) -> tuple[Size, ...]:
    """The sizes among a measurement's arms, ascending."""
    return tuple(sorted(size for arm in measurement.arms if (size := _size(arm.name, arm.gateway)) is not None))


def size_error_ratio(measurement: Measurement) -> Estimate:
    """Share of the requests that did not succeed, of the size with the largest share."""
    worst = max((measurement.error_ratio(size.name) for size in _some(measurement)), key=lambda one: one.value)
    return replace(worst, metric="size_error_ratio")


def size_completed_ratio(measurement: Measurement) -> Estimate:
    """Share of the requests that had a whole reply by the end of the tail, of the size with the smallest share."""
    worst = min((measurement.completed_ratio(size.name) for size in _some(measurement)), key=lambda one: one.value)
    return replace(worst, metric="size_completed_ratio")


def workers_beyond_cores_loss_ratio(measurement: Measurement) -> Estimate:
    """The share of throughput that one instance with the most workers loses against the best number below.

    The most are as many as the host has cores, of which generator and mock take some: so they are more than the
    gateway's. Which number is the best one is taken from all rounds together.
    """
    of_one_instance = [size for size in _some(measurement) if size.instances == 1]
    if len(of_one_instance) < 2:
        raise NotMeasured(f"{measurement.scenario}: fewer than two numbers of workers were tried, so none can be worse")
    *fewer, most = of_one_instance
    best = max(fewer, key=lambda size: measurement.throughput_rps(size.name).value)
    loss = measurement.throughput_loss_ratio(most.name, best.name)
    return replace(loss, metric="workers_beyond_cores_loss_ratio")


def instances_2_to_4_p50_ratio(measurement: Measurement) -> Estimate:
    """The median latency with 4 instances divided by that with 2; LiteLLM's published tables have 100 ms for 200."""
    by_instances = {size.instances: size for size in _some(measurement) if size.instances > 1}
    if not {2, 4} <= by_instances.keys():
        raise NotMeasured(f"{measurement.scenario}: 2 and 4 instances were not both tried")
    ratio = measurement.latency_ratio("latency_p50_ratio", 50, by_instances[4].name, by_instances[2].name)
    return replace(ratio, metric="instances_2_to_4_p50_ratio")


def processes_of(sizes: Collection[Size]) -> int:
    """How many processes one start of all of them has."""
    return sum(size.processes for size in sizes)


def _some(measurement: Measurement) -> tuple[Size, ...]:
    sizes = sizes_of(measurement)
    if not sizes:
        raise NotMeasured(f"{measurement.scenario}: no arm is a gateway named by its size, such as 2x1")
    return sizes


def _size(name: str, gateway: GatewaySpec | None) -> Size | None:
    if gateway is None:
        return None
    size = Size(gateway.instances, gateway.workers)
    return size if size.name == name else None
