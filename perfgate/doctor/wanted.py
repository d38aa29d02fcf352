"""What do the scenarios of thresholds.yaml ask of a machine?

Comes in: thresholds, a profile. Goes out: a `Wanted`, by which checks tell what a lack means. No I/O.
"""

from dataclasses import dataclass
from typing import Literal

from perfgate.run import alive_at_once
from perfgate.thresholds import Comparing, Scenario, Thresholds


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of the machine.

    Args:
        thresholds: the file.
        profile: its name there; the one that must be measurable.
    """

    thresholds: Thresholds
    profile: str

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        """Of the profile."""
        return tuple(self.thresholds.scenarios[name] for name in self.thresholds.profiles[self.profile].scenarios)

    @property
    def cores(self) -> int:
        """That the profile needs."""
        return max(scenario.needs.cores for scenario in self.scenarios)

    @property
    def gateways(self) -> int:
        """That are alive at once in the profile, at least."""
        return max(alive_at_once(scenario.rounds) for scenario in self.scenarios)

    @property
    def compares(self) -> bool:
        """Whether the profile compares two gateways."""
        return any(scenario.compares for scenario in self.scenarios)

    @property
    def gateways_of_comparisons(self) -> int:
        """The same of whatever compares, in any profile; 0 where nothing does."""
        all_rounds = [scenario.rounds for scenario in self.thresholds.scenarios.values()]
        return max((alive_at_once(rounds) for rounds in all_rounds if isinstance(rounds, Comparing)), default=0)

    def needing(self, service: Literal["postgres", "redis"]) -> tuple[str, ...]:
        """Scenarios, in any profile, that need a service."""
        return tuple(name for name, one in self.thresholds.scenarios.items() if service in one.needs.services)

    def needs(self, service: Literal["postgres", "redis"]) -> bool:
        """Whether the profile itself does."""
        return any(service in scenario.needs.services for scenario in self.scenarios)
