"""How many gateways and rounds does a comparison get in its time?

Comes in: minutes, the margin, the load, free memory. Goes out: a `RoundsPlan`, and the words that are said before the
run. What things cost and how much they vary was measured; stats/plan.py weighs it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from perfgate.errors import BadInput
from perfgate.experiment.rounds import WINDOW_EXTRA_S, RoundsPlan
from perfgate.experiment.start_plan import START_S
from perfgate.load.schedule import Schedule
from perfgate.stats import plan as planning
from perfgate.stats.comparison import Noise
from perfgate.thresholds import Comparing, Scenario

#: Of log ratios of CPU per request: between pairs of processes of one release, and between rounds of windows of 20 to
#: 55 requests; measured on the reference host (docs/method.md). A quieter host decides at an earlier look.
NOISE: Final = Noise(process_sd=0.025, round_sd=0.15)
#: The windows that this was measured with, and what longer ones are taken to vary by at least.
NOISE_WINDOW_S: Final = 0.15
ROUND_SD_MIN: Final = 0.04
#: The chance that a plan wants: of a PASS for equal arms, and of a FAIL for twice the margin.
POWER: Final = 0.95
#: Fresh gateways are asked for so long before their first window.
SETTLE_S: Final = 0.6
#: Of a gateway with one worker, rounded up: 250 MiB of litellm 1.79.3, 320 of 1.102.4 on the reference host.
MEMORY_BYTES: Final = 400 * 2**20
#: Share of the free memory that gateways may fill.
MEMORY_RATIO: Final = 0.8


@dataclass(frozen=True, slots=True)
class Planned:
    """A comparison as it will be run.

    Args:
        rounds: for run_rounds.
        is_enough: whether its power is what is wanted.
        words: to be said before it, a line each.
        starting_s: until its gateways are up and have settled.
        round_s: of a window of each arm.
    """

    rounds: RoundsPlan
    is_enough: bool
    words: Sequence[str]
    starting_s: float
    round_s: float

    def fitted(self, time_left_s: float) -> RoundsPlan:
        """The plan once its gateways are up: how long they take to start is only known then.

        Args:
            time_left_s: for measuring.
        """
        looks = self.rounds.looks
        fitting = max(1, int(time_left_s / (self.rounds.generations * looks * self.round_s)))
        per_look = min(fitting, self.rounds.look_every) if self.is_enough else fitting
        return replace(self.rounds, per_generation=per_look, per_generation_max=per_look * looks, look_every=per_look)


def round_s(schedule: Schedule, drain_s: float = 0.0) -> float:
    """Seconds of a round: a window of each of the two arms, and what they write after it."""
    return 2 * (schedule.warm_up_s + schedule.window_s + WINDOW_EXTRA_S) + drain_s


def expected_noise(schedule: Schedule) -> Noise:
    """What is expected of windows of this length before any were measured.

    A window of n times the requests varies by 1 / sqrt(n) as much, as far as its requests are independent; that they
    are not, ROUND_SD_MIN stands for.
    """
    round_sd = NOISE.round_sd * math.sqrt(NOISE_WINDOW_S / schedule.window_s)
    return replace(NOISE, round_sd=min(NOISE.round_sd, max(ROUND_SD_MIN, round_sd)))


def planned_for(
    asked: Scenario,
    profile: str,
    *,
    processes: int,
    memory_bytes: int,
    gateway_bytes: int | None = None,
    noise: Noise | None = None,
    drain_s: float = 0.0,
) -> Planned:
    """Plan the comparison of a scenario of thresholds.yaml.

    Args:
        asked: the scenario; its rounds are `Comparing`.
        profile: in which margins, minutes and generations may be others.
        processes, memory_bytes, gateway_bytes, drain_s: as of `planned_comparison`.
        noise: of an earlier comparison; None for what is to be expected.

    Raises:
        BadInput: time or memory is too short for the smallest comparison.
    """
    assert isinstance(asked.rounds, Comparing), "it compares"
    here = [limit.in_profile(profile) for limit in asked.limits.values() if limit.is_relative]
    # A claim beside a margin is to be settled, too.
    relative = [limit.decided_within if limit.claim is None else limit.claim for limit in here]
    return planned_comparison(
        asked.rounds.minutes_of(profile),
        margin=min(within for within in relative if within is not None),
        family=len(relative),
        looks=asked.rounds.looks,
        generations_max=asked.rounds.generations_max_of(profile),
        schedule=asked.load.schedule,
        processes=processes,
        memory_bytes=memory_bytes,
        gateway_bytes=gateway_bytes,
        noise=noise or expected_noise(asked.load.schedule),
        drain_s=drain_s,
    )


def planned_comparison(
    minutes: float,
    *,
    margin: float,
    family: int,
    looks: int,
    generations_max: int,
    schedule: Schedule,
    processes: int,
    memory_bytes: int,
    gateway_bytes: int | None = None,
    noise: Noise = NOISE,
    drain_s: float = 0.0,
) -> Planned:
    """Plan a comparison.

    Args:
        minutes: for all of it.
        margin: the smallest of its limits' that the plan is to decide.
        family: how many limits it has.
        looks: at the data, at most.
        generations_max: starts of each arm, at most.
        schedule: of every window of the two arms.
        processes: of each gateway.
        memory_bytes: free on this host.
        gateway_bytes: promised to each gateway; None for what its processes need.
        noise: to be expected, by an earlier comparison.
        drain_s: in which the arms of a round still write after their windows, both together.

    Raises:
        BadInput: time or memory is too short for the smallest comparison.
    """
    each_bytes = gateway_bytes if gateway_bytes is not None else processes * MEMORY_BYTES
    fitting = int(memory_bytes * MEMORY_RATIO / (2 * each_bytes))
    if fitting < planning.GENERATIONS_MIN:
        raise BadInput(
            f"a comparison keeps at least {planning.GENERATIONS_MIN} generations of two gateways alive, "
            f"{2 * planning.GENERATIONS_MIN * each_bytes / 2**30:.1f} GiB together; {memory_bytes / 2**30:.1f} GiB are "
            f"free, of which {MEMORY_RATIO:.0%} may be used: free some, or give fewer --workers and --instances, or "
            "less --memory-per-instance"
        )
    try:
        plan = planning.plan(
            margin,
            noise,
            minutes * 60,
            start_s_per_generation=2 * processes * (START_S + SETTLE_S + WINDOW_EXTRA_S),
            round_s=round_s(schedule, drain_s),
            generations_max=min(generations_max, fitting),
            looks=looks,
            family_size=family,
            power=POWER,
        )
    except planning.TimeTooShort as error:
        raise BadInput(f"minutes={minutes:g} is too short for a comparison: {error}; give it more minutes") from error
    rounds = RoundsPlan(
        plan.generations,
        plan.rounds_per_look,
        plan.rounds_per_generation,
        look_every=plan.rounds_per_look,
        one_direct=True,
        settle_s=SETTLE_S,
        drain_s=drain_s,
    )
    return Planned(rounds, plan.is_enough, plan.words, plan.starting_s, round_s(schedule, drain_s))
