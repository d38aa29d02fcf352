"""What do limits that were measured on one kind of host come to on this one?

Comes in: the host's class (or none), its measured speed, the classes of thresholds.yaml. Goes out: a `HostStanding`,
and from it limits as they hold here: as they stand, another number for a class (max_on), or scaled by the host-speed
index. No I/O.

The index is what a fixed piece of work takes here, divided by what it takes on the class that the limits were measured
on: above 1 is slower.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from perfgate.experiment.metrics import METRICS
from perfgate.thresholds import HostClass, Limit

#: Beyond these a host is another world: limits do not carry over by a factor.
INDEX_MIN: Final = 0.5
INDEX_MAX: Final = 2.0
#: Beyond these a host of a listed class is not as it was when it was listed: busy neighbours, another clock rate.
SAME_SPEED_MIN: Final = 0.8
SAME_SPEED_MAX: Final = 1.25


class NotForThisHost(ValueError):
    """Limits were measured on another kind of host, and can't be carried over; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class HostStanding:
    """How this host stands to those that the limits were measured on.

    Args:
        class_name: its class in thresholds.yaml; None when it is of none.
        has_classes: whether the file names any; without, limits hold as they stand everywhere.
        reference: the class that the index is relative to: its own, or the file's first one with a measured speed.
        speed_index: time here / time there; None where no class has a measured speed.
    """

    class_name: str | None
    has_classes: bool
    reference: str | None
    speed_index: float | None

    @property
    def is_worth_a_note(self) -> bool:
        """Whether who reads the verdicts should know."""
        if not self.has_classes:
            return False
        is_as_listed = self.speed_index is None or SAME_SPEED_MIN <= self.speed_index <= SAME_SPEED_MAX
        return self.class_name is None or not is_as_listed

    @property
    def words(self) -> str:
        """One line for people."""
        if not self.has_classes:
            return "thresholds.yaml names no hosts: limits hold as they stand"
        speed = ""
        if self.speed_index is not None:
            speed = f"; it takes {self.speed_index:.2f} times as long as {self.reference} for the same work"
        if self.class_name is not None:
            return f"host class {self.class_name}{speed}"
        return f"this host is in no class of thresholds.yaml (hosts){speed}; `perfgate calibrate` adds it"


#: Limits hold as the file states them.
AS_THEY_STAND: Final = HostStanding(None, has_classes=False, reference=None, speed_index=None)


def standing(class_name: str | None, classes: Mapping[str, HostClass], median_ms: float | None) -> HostStanding:
    """Compare the measured speed with the class that counts.

    Args:
        class_name: of this host, or None.
        classes: of the file.
        median_ms: what this host takes for the piece of work (measure/host_speed.py); None where it was not measured.
    """
    reference = class_name
    if reference is None:
        reference = next((name for name, kind in classes.items() if kind.host_speed_ms is not None), None)
    reference_ms = classes[reference].host_speed_ms if reference is not None else None
    index = None if reference_ms is None or median_ms is None else median_ms / reference_ms
    return HostStanding(class_name, bool(classes), reference, index)


def limit_here(limit: Limit, host: HostStanding) -> Limit:
    """The limit as it holds on this host; `basis` says so where it is not the file's own `max` or `min`.

    Raises:
        NotForThisHost: the host is of no class, and the index is unknown or outside INDEX_MIN to INDEX_MAX. Only for
            metrics that depend on a host's speed.
    """
    if host.class_name is not None and host.class_name in limit.maximum_on:
        maximum = limit.maximum_on[host.class_name]
        return replace(limit, maximum=maximum, basis=f"max_on {host.class_name}")
    metric = METRICS[limit.metric]
    follows_speed = metric.grows_on_slow_hosts or metric.shrinks_on_slow_hosts
    if host.class_name is not None or not host.has_classes or not follows_speed:
        return limit
    if host.speed_index is None:
        raise NotForThisHost(
            "this host is in no class of thresholds.yaml (hosts), and none of them has a host_speed_ms to scale by: "
            "add this one with `perfgate calibrate`"
        )
    if not INDEX_MIN <= host.speed_index <= INDEX_MAX:
        raise NotForThisHost(
            f"this host takes {host.speed_index:.2f} times as long as {host.reference} for the same work; limits are "
            f"carried over from {INDEX_MIN:g} to {INDEX_MAX:g} times: add this host with `perfgate calibrate`"
        )
    factor = host.speed_index if metric.grows_on_slow_hosts else 1 / host.speed_index
    number = limit.maximum if limit.maximum is not None else limit.minimum
    return replace(
        limit,
        maximum=None if limit.maximum is None else limit.maximum * factor,
        minimum=None if limit.minimum is None else limit.minimum * factor,
        basis=f"{number:g} scaled ×{factor:.2f}, this host is not in thresholds.yaml; `perfgate calibrate` adds it",
    )
