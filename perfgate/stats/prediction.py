"""What will the next run's figure be, when all that is known is the figure of a few runs like it?

Comes in: a figure of each run. Goes out: a `Prediction`: the number that the next figure keeps to with a given chance,
and the chance that it goes beyond a given number. Pure maths; imports nothing of ours.

Method: (next - mean) / (sample_sd * sqrt(1 + 1 / K)) of K runs follows Student's t with K - 1 degrees of freedom, when
runs are alike, independent and normal. On logarithms where all figures are above 0, since times lean to the right; as
they are where one is not, as a difference of two times may be. Unlike the mean plus some SDs, it pays for a small K.
Source: G. J. Hahn and W. Q. Meeker, Statistical Intervals (1991), doi:10.1002/9780470316771, one future observation of
a normal distribution.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Final

from scipy.special import ndtri, stdtr, stdtrit

#: With two runs, 99 % would be 39 SDs above the mean: any limit would do.
RUNS_MIN: Final = 3


class TooFewRuns(ValueError):
    """A prediction was asked of so few runs that it would be without bounds."""

    def __init__(self, runs: int) -> None:
        self.runs = runs
        super().__init__(f"a prediction needs the figures of at least {RUNS_MIN} runs, there are {runs}")


class NoSpread(ValueError):
    """All runs gave the same figure, so that nothing is known of how far the next may be from it."""

    def __init__(self, figure: float, runs: int) -> None:
        self.figure, self.runs = figure, runs
        super().__init__(f"all {runs} runs gave {figure:g}: how far the next may be from it is not known")


@dataclass(frozen=True, slots=True)
class Prediction:
    """The distribution of the next figure; `prediction_of` makes it.

    Args:
        centre: mean of the runs, of the logarithms if `is_log`.
        sample_sd: of the runs, on the same scale.
        degrees_of_freedom: runs - 1.
        is_log: whether it is the logarithm that follows t.
    """

    centre: float
    sample_sd: float
    degrees_of_freedom: int
    is_log: bool

    def at_most(self, chance: float) -> float:
        """The number that the next figure does not exceed with this chance, 0 < chance < 1."""
        _check(chance)
        return self._unscaled(self.centre + float(stdtrit(self.degrees_of_freedom, chance)) * self._spread)

    def at_least(self, chance: float) -> float:
        """The number that the next figure is not below with this chance, 0 < chance < 1."""
        return self.at_most(1 - chance)

    def at_most_of_many(self, chance: float) -> float:
        """What `at_most` would be if many runs had shown this mean and SD: without the price of few."""
        _check(chance)
        return self._unscaled(self.centre + float(ndtri(chance)) * self.sample_sd)

    def at_least_of_many(self, chance: float) -> float:
        """The same of `at_least`."""
        return self.at_most_of_many(1 - chance)

    def chance_above(self, number: float) -> float:
        """The chance that the next figure is above a number."""
        return float(stdtr(self.degrees_of_freedom, -self._t(number)))

    def chance_below(self, number: float) -> float:
        """The chance that it is below."""
        return float(stdtr(self.degrees_of_freedom, self._t(number)))

    @property
    def _spread(self) -> float:
        return self.sample_sd * math.sqrt(1 + 1 / (self.degrees_of_freedom + 1))

    def _unscaled(self, bound: float) -> float:
        return math.exp(bound) if self.is_log else bound

    def _t(self, number: float) -> float:
        if self.is_log and number <= 0:
            return -math.inf
        return ((math.log(number) if self.is_log else number) - self.centre) / self._spread


def prediction_of(figures: Sequence[float]) -> Prediction:
    """What runs say of the next one.

    Args:
        figures: one of each run, finite, any unit.

    Raises:
        TooFewRuns: fewer than 3.
        NoSpread: all are the same.
        ValueError: one is not finite.

    >>> round(prediction_of([10.0, 11.0, 12.0, 10.5, 11.5]).at_most(0.99), 1)
    14.8
    """
    if len(figures) < RUNS_MIN:
        raise TooFewRuns(len(figures))
    for run, figure in enumerate(figures):
        if not math.isfinite(figure):
            raise ValueError(f"figures[{run}]={figure} must be finite")
    is_log = min(figures) > 0
    scaled = [math.log(figure) for figure in figures] if is_log else list(figures)
    if min(scaled) == max(scaled):
        raise NoSpread(figures[0], len(figures))
    return Prediction(fmean(scaled), stdev(scaled), len(figures) - 1, is_log)


def reach_sds(runs: int, chance: float) -> float:
    """How many SDs of the runs `Prediction.at_most(chance)` stands above their mean: the price of few runs.

    >>> [round(reach_sds(runs, 0.99), 1) for runs in (3, 5, 10, 1000)]
    [8.0, 4.1, 3.0, 2.3]
    """
    if runs < RUNS_MIN:
        raise TooFewRuns(runs)
    _check(chance)
    return float(stdtrit(runs - 1, chance)) * math.sqrt(1 + 1 / runs)


def _check(chance: float) -> None:
    if not 0 < chance < 1:
        raise ValueError(f"chance={chance} must be between 0 and 1")
