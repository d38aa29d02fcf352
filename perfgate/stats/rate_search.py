"""At which offered rate does a system stop keeping to its objective?

Comes in: rates that were tried, and whether each was held. Goes out: the next rate that is worth trying, and the
capacity with its interval. Pure maths; imports nothing of ours.

    RateSearch --next_rps--> (somebody tries it) --told--> RateSearch … --belief--> Belief
    several RateSearches, one a process --capacity_of--> Capacity

Near capacity one and the same rate is held in one window and broken in the next. So capacity is the rate that half of
the windows hold, and the chance of holding falls with the logarithm of the rate:

    P(held) = LAPSE + (1 - 2 LAPSE) / (1 + exp((ln rate - ln capacity) / spread))

Method: doubling (or halving) from the first rate until one was held and one was broken; from then on the next rate is
the median of what is believed of the capacity, by Bayes' rule on a grid, every spread of SPREADS being as likely as
another before. This is bisection on the logarithmic scale that forgives a wrong turn. What is believed of one process
says nothing of how processes differ: over several, `capacity_of` takes Student's t of their logarithms.
Source: A. B. Watson and D. G. Pelli, QUEST, Perception & Psychophysics 33 (1983), doi:10.3758/BF03202828.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, variance
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit, stdtrit

#: Rates are multiples of the first one by powers of this, so that several searches try the same ones: 2.2 %.
STEP_RATIO: Final = 2 ** (1 / 32)
#: Before both a held and a broken rate are known.
BRACKET_RATIO: Final = 2.0
#: Of the chance of holding, on the logarithmic scale: a sharp edge to one that takes half an octave.
SPREADS: Final = (0.01, 0.02, 0.04, 0.08, 0.16)
#: A window that goes the other way whatever the rate: a pause of the host, or luck.
LAPSE: Final = 0.02
#: Of capacities that are told apart.
_GRID_STEP: Final = 0.01
#: The share of a normal distribution within one SD of its middle.
ONE_SD: Final = 0.6827
#: Broken ones before nothing is said to be held, and trials at the end of the rates that are allowed.
END_TRIALS: Final = 2
#: Of the interval by which a search knows that it is done.
DONE_CONFIDENCE: Final = 0.9

#: Whether the capacity was found, or is only known to be beyond the rates that were allowed.
Bound = Literal["found", "at least", "at most"]


class TooFewTrials(ValueError):
    """A capacity was asked of a search that has tried no rate, or has broken its only one, which may have been luck."""


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of one process' capacity.

    Args:
        log_capacity: the median, of the natural logarithm of requests/s.
        log_sd: half the middle 68.3 % of the belief, on that scale: what nobody has tried far away widens it little.
        low_rps, high_rps: the ends of the middle share that was asked for.
    """

    log_capacity: float
    log_sd: float
    low_rps: float
    high_rps: float


@dataclass(frozen=True, slots=True)
class RateSearch:
    """The search of one process, as far as it has come. Make the first one with `RateSearch.from_rate`.

    Args:
        first_rps: tried first; one that is expected to be held.
        lowest_rps, highest_rps: no other rates are tried, and no capacity beyond is believed.
        trials: what was tried, in this order: the rate, and whether it was held.
    """

    first_rps: float
    lowest_rps: float
    highest_rps: float
    trials: tuple[tuple[float, bool], ...] = ()
    _log_weights: npt.NDArray[np.float64] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check that there is something to search."""
        if not 0 < self.lowest_rps <= self.first_rps <= self.highest_rps < math.inf:
            raise ValueError(
                f"first_rps={self.first_rps:g} must be between lowest_rps={self.lowest_rps:g} and "
                f"highest_rps={self.highest_rps:g}, all above 0"
            )

    def told(self, rate_rps: float, *, held: bool) -> "RateSearch":
        """The search once a rate was tried."""
        if not rate_rps > 0:
            raise ValueError(f"rate_rps={rate_rps} must be above 0")
        logs, spreads = self._grid()
        holds = expit((logs - math.log(rate_rps)) / spreads)
        chance = LAPSE + (1 - 2 * LAPSE) * (holds if held else 1 - holds)
        weights = np.log(chance) + (self._log_weights if self._log_weights is not None else 0.0)
        return replace(self, trials=(*self.trials, (rate_rps, held)), _log_weights=weights)

    @property
    def held_rps(self) -> float | None:
        """The highest rate that was held; None for none."""
        return max((rate for rate, held in self.trials if held), default=None)

    @property
    def broken_rps(self) -> float | None:
        """The lowest rate that was not; None for none."""
        return min((rate for rate, held in self.trials if not held), default=None)

    @property
    def next_rps(self) -> float:
        """What to try next, within the rates that are allowed."""
        if not self.trials:
            return self.first_rps
        if self.broken_rps is None:
            return self._allowed(max(rate for rate, _ in self.trials) * BRACKET_RATIO)
        if self.held_rps is None:
            return self._allowed(min(rate for rate, _ in self.trials) / BRACKET_RATIO)
        median_rps = math.exp(self.belief().log_capacity)
        # After a rate that was broken by luck, all far higher ones are open again: they are entered step by step.
        return self._allowed(min(median_rps, self.held_rps * BRACKET_RATIO))

    def is_done(self, within: float) -> bool:
        """Whether more trials would bring little.

        Args:
            within: done once the capacity is known to be within this share either way, 0.05 for 5 %; or once the end
                of the rates that are allowed was tried to no avail.
        """
        if self.held_rps is None or self.broken_rps is None:
            rates = [rate for rate, _ in self.trials]
            end_rps = self._allowed(self.highest_rps if self.broken_rps is None else self.lowest_rps)
            return rates.count(end_rps) >= END_TRIALS
        belief = self.belief(DONE_CONFIDENCE)
        return belief.high_rps <= belief.low_rps * (1 + within) ** 2

    @property
    def bound(self) -> Bound:
        """Whether the capacity lies between rates that were tried."""
        if self.broken_rps is None:
            return "at least"
        return "at most" if self.held_rps is None else "found"

    def belief(self, confidence: float = 0.95) -> Belief:
        """What the trials say of the capacity.

        Args:
            confidence: of the middle share, above 0 and below 1.

        Raises:
            TooFewTrials: there was none.
        """
        if not 0 < confidence < 1:
            raise ValueError(f"confidence={confidence} must be between 0 and 1")
        if self._log_weights is None:
            raise TooFewTrials("nothing is known of a capacity before a rate was tried")
        weights = np.exp(self._log_weights - self._log_weights.max()).sum(axis=0)
        weights /= weights.sum()
        (logs,), _ = self._grid()
        # Each weight stands for a cell around its point; within it the belief is taken to be even.
        edges = np.append(logs - _GRID_STEP / 2, logs[-1] + _GRID_STEP / 2)
        below = np.concatenate([[0.0], np.cumsum(weights)])
        tail = (1 - confidence) / 2
        shares = [tail, 0.5 - ONE_SD / 2, 0.5, 0.5 + ONE_SD / 2, 1 - tail]
        low, one_below, median, one_above, high = np.interp(shares, below, edges).tolist()
        return Belief(median, (one_above - one_below) / 2, math.exp(low), math.exp(high))

    def _grid(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Capacities in logarithms, shape (1, C), and spreads, shape (S, 1)."""
        logs = np.arange(math.log(self.lowest_rps), math.log(self.highest_rps) + _GRID_STEP, _GRID_STEP)
        return logs[np.newaxis, :], np.array(SPREADS)[:, np.newaxis]

    def _allowed(self, rate_rps: float) -> float:
        """The nearest rate of the ladder that is within what is allowed."""
        lowest = math.ceil(round(self._steps(self.lowest_rps), 6))
        highest = math.floor(round(self._steps(self.highest_rps), 6))
        steps = min(max(round(self._steps(rate_rps)), lowest), highest)
        return float(self.first_rps * STEP_RATIO**steps)

    def _steps(self, rate_rps: float) -> float:
        return math.log(rate_rps / self.first_rps) / math.log(STEP_RATIO)


@dataclass(frozen=True, slots=True)
class Capacity:
    """The highest rate that is held, over several processes.

    Args:
        rps: the estimate; beyond a bound, the bound.
        low_rps, high_rps: the interval's ends; 0 or infinite where there is none.
        confidence: of the interval.
        searches: how many it rests on.
        bound: whether it was found, or is only known to be at least or at most `rps`.
    """

    rps: float
    low_rps: float
    high_rps: float
    confidence: float
    searches: int
    bound: Bound


def capacity_of(searches: Sequence[RateSearch], confidence: float = 0.95) -> Capacity:
    """The capacity of a system of which several processes were searched, each by itself.

    Args:
        searches: one a process, each with at least one trial.
        confidence: of the interval, above 0 and below 1.

    Returns:
        The geometric mean of their medians. The interval is Student's t over their logarithms, never surer than what
        is believed of each; of a single search it is the middle share of its belief. Where a search has held nothing,
        the capacity is at most the lowest rate that it broke: what one process in four breaks is not held. Else, where
        one has broken nothing, it is at least what every one has held. The interval is then open on that side.

    Raises:
        TooFewTrials: there is no search, or one that has tried nothing, or only one rate, which was broken.

    Simulated (tests/harness/stats/test_rate_search.py repeats some of it), four processes from a first rate an eighth
    of the capacity, each done within 15 %: where processes differ by 3 % (SD) and windows turn from held to broken
    within 3 %, the estimate is off by 2 % on average after 11 windows of each, and a stated 95 %, 9 % either way,
    covers 99 %; with 7 % and 10 % it is off by 5 %, and covers 96 %.
    """
    if not searches or not all(search.trials for search in searches):
        raise TooFewTrials("no rate was tried, so there is no capacity to speak of")
    if any(search.bound == "at most" and len(search.trials) < END_TRIALS for search in searches):
        raise TooFewTrials("one process has tried one rate, and broken it, which may have been luck")
    beliefs = [search.belief(confidence) for search in searches]
    broken = [search.broken_rps for search in searches if search.bound == "at most"]
    if broken:
        rps = min(rate for rate in broken if rate is not None)
        return Capacity(rps, 0.0, rps, confidence, len(searches), "at most")
    if any(search.bound == "at least" for search in searches):
        rps = min(rate for rate in (search.held_rps for search in searches) if rate is not None)
        return Capacity(rps, rps, math.inf, confidence, len(searches), "at least")
    if len(beliefs) == 1:
        (one,) = beliefs
        return Capacity(math.exp(one.log_capacity), one.low_rps, one.high_rps, confidence, 1, "found")
    logs = [belief.log_capacity for belief in beliefs]
    spread = max(variance(logs), fmean(belief.log_sd**2 for belief in beliefs))
    reach = float(stdtrit(len(logs) - 1, 0.5 + confidence / 2)) * math.sqrt(spread / len(logs))
    centre = fmean(logs)
    return Capacity(
        math.exp(centre), math.exp(centre - reach), math.exp(centre + reach), confidence, len(logs), "found"
    )
