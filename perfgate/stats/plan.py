"""How many generations and rounds does a comparison need, and what may one expect of it?

Comes in: the margin, the noise seen so far, the time allowed and what starting and measuring cost. Goes out: a `Plan`
that says itself in words before the run. Pure maths; needs comparison.py, power.py and sequential.py.

    Noise (comparison.noise_of, of an earlier run) --plan--> Plan --words--> said aloud

Two costs pull apart: a generation costs a start of each arm, a round costs two windows. Rounds make a generation's
figure sure; only generations cure that processes differ.
"""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from perfgate.stats.comparison import Noise
from perfgate.stats.power import power_to_fail, power_to_pass
from perfgate.stats.sequential import alpha_at_look

#: Even, so that the baseline's odd generations can be compared with its even ones: two pairs are the fewest.
GENERATIONS_MIN: Final = 4
#: The chance that a plan aims for unless told: more than POWER, since the noise that it goes by is a guess.
PLANNED_POWER: Final = 0.9
#: The slowdown that a plan wants a FAIL for, in margins: 10 % where 5 % are allowed.
FAILS_AT_MARGINS: Final = 2.0
#: More rounds than this a generation and look are not worth it: the spread between processes is all that is left.
ROUNDS_PER_LOOK_MAX: Final = 1_000


class TimeTooShort(ValueError):
    """Not even the smallest comparison fits into the time."""

    def __init__(self, time_allowed_s: float, needed_s: float, looks: int) -> None:
        self.time_allowed_s = time_allowed_s
        self.needed_s = needed_s
        super().__init__(
            f"time_allowed_s={time_allowed_s:g} is too short: {GENERATIONS_MIN} generations of one round for each of "
            f"{looks} looks, the fewest there can be, take {needed_s:.0f} s"
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """A comparison to be run; `plan` makes it."""

    generations: int
    """Starts of each arm; all of them are in every look."""
    rounds_per_look: int
    """Rounds that each generation gets between two looks."""
    looks: int
    duration_s: float
    """Of the whole plan; a clear answer ends it at an earlier look."""
    starting_s: float
    """Of these, until all generations are up."""
    standard_error: float
    """Of the mean log ratio at the last look."""
    power_to_pass: float
    """The chance that one limit passes two equal arms at the last look."""
    power_to_fail: float
    """The chance that a candidate beyond the limit by as much again fails it at the last look."""
    power_wanted: float
    margin: float
    noise: Noise
    enough_after_s: float | None
    """The time in which both chances reach what is wanted; None where only more generations would do it."""

    @property
    def rounds_per_generation(self) -> int:
        """At the last look."""
        return self.rounds_per_look * self.looks

    @property
    def is_enough(self) -> bool:
        """Whether both chances reach what is wanted."""
        return min(self.power_to_pass, self.power_to_fail) >= self.power_wanted

    @property
    def words(self) -> list[str]:
        """The plan for people, a line each; the last one is there only when the plan is not enough."""
        after = [str(self.rounds_per_look * look) for look in range(1, self.looks + 1)]
        looks = f"a look after {' and '.join(filter(None, [', '.join(after[:-1]), after[-1]]))} rounds"
        lines = [
            (
                f"plan: {self.generations} generations of each arm, {self.rounds_per_generation} rounds in each, at "
                f"most {self.duration_s / 60:.1f} minutes ({self.starting_s / 60:.1f} of them starting); {looks}"
            ),
            (
                f"expected: a limit of +{self.margin:.1%} passes equal arms with a chance of {self.power_to_pass:.0%} "
                f"and fails +{FAILS_AT_MARGINS * self.margin:.1%} with {self.power_to_fail:.0%} (SD of a pair: "
                f"{self.noise.process_sd:.1%} between processes, {self.noise.round_sd:.1%} between rounds)"
            ),
        ]
        if not self.is_enough:
            lines.append(f"that is less than the {self.power_wanted:.0%} wanted: {self._remedy()}")
        return lines

    def _remedy(self) -> str:
        if self.enough_after_s is None:
            return (
                f"no number of rounds would reach it with as many generations as there may be; allow more of them, or "
                f"a margin larger than {self.margin:.1%}"
            )
        return f"allow {math.ceil(self.enough_after_s / 6) / 10:.1f} minutes"


def plan(
    margin: float,
    noise: Noise,
    time_allowed_s: float,
    *,
    start_s_per_generation: float,
    round_s: float,
    generations_max: int,
    looks: int = 3,
    family_size: int = 1,
    alpha: float = 0.05,
    power: float = PLANNED_POWER,
) -> Plan:
    """The cheapest comparison that passes equal arms and fails twice the margin, both with the chance `power`.

    Where none does within the time, the one that comes closest, with a word on how much more it would take.

    Args:
        margin: the slowdown that is allowed, above 0; 0.05 is 5 %.
        noise: of log ratios, from `comparison.noise_of`; the quieter run of two is the riskier guess.
        time_allowed_s: for starting and measuring.
        start_s_per_generation: for one start of each arm, above 0.
        round_s: one window of each arm, above 0.
        generations_max: what memory allows, at least 4. A plan's number is even (`GENERATIONS_MIN` says why).
        looks: how often the figures are judged, evenly spread.
        family_size: limits judged together; a FAIL pays for them.
        alpha: error of the whole run, for FAIL and for PASS each.
        power: the chance that is wanted.

    Raises:
        TimeTooShort: 4 generations with one round a look take longer.
        ValueError: an argument out of its range.

    >>> made = plan(0.05, Noise(0.031, 0.10), 300, start_s_per_generation=9, round_s=0.3, generations_max=12,
    ...             family_size=6)
    >>> made.generations, made.rounds_per_generation, round(made.duration_s)
    (12, 30, 216)
    """
    above_0 = {
        "margin": margin,
        "start_s_per_generation": start_s_per_generation,
        "round_s": round_s,
        "family_size": family_size,
    }
    for name, number in above_0.items():
        if not (math.isfinite(number) and number > 0):
            raise ValueError(f"{name}={number} must be finite and above 0")
    if not 0 < power < 1:
        raise ValueError(f"power={power} must be between 0 and 1")
    if generations_max < GENERATIONS_MIN:
        raise ValueError(f"generations_max={generations_max} must be at least {GENERATIONS_MIN}")
    if noise.process_sd <= 0 and noise.round_sd <= 0:
        raise ValueError(f"{noise} must have a spread to plan for")
    alpha_at_the_end = alpha_at_look(alpha, looks, looks)

    def made(generations: int, rounds_per_look: int) -> Plan:
        standard_error = noise.standard_error(generations, rounds_per_look * looks)
        starting_s = generations * start_s_per_generation
        return Plan(
            generations,
            rounds_per_look,
            looks,
            duration_s=starting_s + generations * rounds_per_look * looks * round_s,
            starting_s=starting_s,
            standard_error=standard_error,
            power_to_pass=power_to_pass(
                1.0,
                allowed=1 + margin,
                standard_error=standard_error,
                degrees_of_freedom=generations - 1,
                alpha=alpha_at_the_end,
            ),
            power_to_fail=power_to_fail(
                1 + FAILS_AT_MARGINS * margin,
                allowed=1 + margin,
                standard_error=standard_error,
                degrees_of_freedom=generations - 1,
                alpha=alpha_at_the_end / family_size,
            ),
            power_wanted=power,
            margin=margin,
            noise=noise,
            enough_after_s=None,
        )

    smallest = made(GENERATIONS_MIN, 1)
    if smallest.duration_s > time_allowed_s:
        raise TimeTooShort(time_allowed_s, smallest.duration_s, looks)
    counts = range(GENERATIONS_MIN, generations_max + 1, 2)
    enough = [found for count in counts if (found := _fewest_rounds_enough(made, count)) is not None]
    if not enough:
        best, enough_after_s = None, None
    else:
        best = min(enough, key=lambda one: one.duration_s)
        enough_after_s = best.duration_s
    if best is None or best.duration_s > time_allowed_s:
        fitting = [
            made(count, min(rounds, ROUNDS_PER_LOOK_MAX))
            for count in counts
            if (rounds := int((time_allowed_s / count - start_s_per_generation) / (looks * round_s))) >= 1
        ]
        best = max(fitting, key=lambda one: (min(one.power_to_pass, one.power_to_fail), -one.duration_s))
    return replace(best, enough_after_s=enough_after_s)


def _fewest_rounds_enough(made: Callable[[int, int], Plan], generations: int) -> Plan | None:
    """The first of ever more rounds whose plan is enough: power only grows with them."""
    choices = range(1, ROUNDS_PER_LOOK_MAX + 1)
    index = bisect_left(choices, True, key=lambda rounds: made(generations, rounds).is_enough)
    return made(generations, choices[index]) if index < len(choices) else None
