"""Which cores does each part of an experiment get?

Comes in: the cores that this process may use. Goes out: a `CorePlan`, which the record holds. Sets no affinity itself.
Knows nothing of hyper-threads: two cores of the plan may share one physical core.
"""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CorePlan:
    """Who runs where; empty means on any core.

    Args:
        gateway: cores of what is under test.
        generator: cores of the load generator.
        mock: cores of the mock endpoint.
        why: the plan in words, for the record and for people.
    """

    gateway: tuple[int, ...]
    generator: tuple[int, ...]
    mock: tuple[int, ...]
    why: str

    @property
    def is_pinned(self) -> bool:
        """Whether the gateway is kept apart from the apparatus."""
        return bool(self.gateway)


def plan_cores(allowed: Collection[int]) -> CorePlan:
    """Keep the gateway apart from the apparatus as far as the cores go.

    Args:
        allowed: cores this process may use: `os.sched_getaffinity(0)`.

    Raises:
        ValueError: there is none.

    >>> plan_cores({0, 1, 2, 3})
    CorePlan(gateway=(2, 3), generator=(0,), mock=(1,), why='pinned: generator on core 0, mock on 1, gateway on 2, 3')
    """
    # Most devices interrupt the lowest cores: those go to the apparatus, whose lateness is measured.
    match sorted(allowed):
        case []:
            raise ValueError(f"allowed={allowed!r} must hold at least one core")
        case [only]:
            return CorePlan((), (), (), f"not pinned: gateway, generator and mock share the only core, {only}")
        case [first, second]:
            why = f"pinned: generator and mock share core {first}, gateway on {second}"
            return CorePlan((second,), (first,), (first,), why)
        case [first, second, *rest]:
            why = f"pinned: generator on core {first}, mock on {second}, gateway on {', '.join(map(str, rest))}"
            return CorePlan(tuple(rest), (first,), (second,), why)
    raise AssertionError("unreachable")
