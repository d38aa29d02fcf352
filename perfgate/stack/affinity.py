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


def plan_cores(allowed: Collection[int], generators: int = 1) -> CorePlan:
    """Keep the gateway apart from the apparatus as far as the cores go.

    Args:
        allowed: cores this process may use: `os.sched_getaffinity(0)`.
        generators: processes that send load. Each gets a core of its own as long as half of all are left for the
            gateway; beyond that they share.

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
        case cores:
            sending = max(1, min(generators, len(cores) // 2 - 1))
            of_generator, mock, rest = cores[:sending], cores[sending], cores[sending + 1 :]
            names = f"core {of_generator[0]}" if sending == 1 else f"cores {', '.join(map(str, of_generator))}"
            why = f"pinned: generator on {names}, mock on {mock}, gateway on {', '.join(map(str, rest))}"
            return CorePlan(tuple(rest), tuple(of_generator), (mock,), why)
