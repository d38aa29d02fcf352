"""How much slower is the candidate than the baseline, and how sure is that?

Comes in: a log ratio (candidate / baseline, above 0 is worse) for every round or every generation. Goes out: a
`Slowdown` with one-sided interval ends and p-values, and the `Noise` that the next comparison is planned with.
Pure maths; needs the Interval of resampling.py and nothing else of ours.

    log ratio of a round --generation_means--> log ratio of a generation --slowdown_of--> Slowdown
            |                                            ^
            +--noise_of--> Noise (for plan.py)           | percentiles of merged histograms start here

The generation is the unit: two processes of one version differ for as long as they live, and no number of rounds cures
that. For a balanced design, t over the generations' means is also the generalised least squares estimate of the mixed
model with random generations. docs/method.md compares it with its rivals under the noise that was measured.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

from perfgate.stats.resampling import Interval

#: One start of each arm shows no spread between processes at all.
GENERATIONS_MIN: Final = 2
#: Log ratios that differ by less are the same figure, computed in another order.
ROUNDING_ERROR: Final = 1e-12


class TooFewGenerations(ValueError):
    """A comparison was asked of so few starts of the arms that nothing can be said about how processes differ."""

    def __init__(self, generations: int) -> None:
        self.generations = generations
        super().__init__(
            f"a comparison needs at least {GENERATIONS_MIN} generations (starts of each arm), there is {generations}"
        )


class OneRoundEach(ValueError):
    """No generation has a second round, so that the spread of rounds cannot be told from that of processes."""

    def __init__(self) -> None:
        super().__init__(
            "every generation has one round: how far rounds differ cannot be told from how far processes do"
        )


@dataclass(frozen=True, slots=True)
class Slowdown:
    """An estimated slowdown ratio on the log scale, with its t distribution; `slowdown_of` makes it.

    Without spread (`has_spread` is False: every generation gave the same figure, as a count or a rounded size may)
    there is no t distribution. The sign test takes its place: when generations are as likely above the truth as below
    it, all of G land on one side with a chance of 1 / 2**G, and no p-value is smaller than that. The interval is the
    figure itself where 1 / 2**G is at most alpha, and without end where it is not.
    """

    log_mean: float
    standard_error: float
    degrees_of_freedom: int

    @property
    def ratio(self) -> float:
        """The estimate: 1.04 is 4 % slower."""
        return _ratio(self.log_mean)

    @property
    def has_spread(self) -> bool:
        """Whether the generations differ at all; where not, whoever prints the interval has to say so."""
        return self.standard_error > 0

    def low(self, alpha: float) -> float:
        """The end below which the true ratio lies with a chance of at most alpha, 0 < alpha < 1."""
        return _ratio(self.log_mean - self._reach(alpha))

    def high(self, alpha: float) -> float:
        """The end above which the true ratio lies with a chance of at most alpha, 0 < alpha < 1."""
        return _ratio(self.log_mean + self._reach(alpha))

    def interval(self, confidence: float) -> Interval:
        """Both ends together: half of the error in each tail."""
        tail = (1 - confidence) / 2
        return Interval(self.low(tail), self.high(tail), confidence)

    def p_not_above(self, ratio: float) -> float:
        """The one-sided p-value of "the true ratio is at most `ratio`": small is evidence that it is above.

        At most alpha exactly where `low(alpha)` is at or above `ratio` (above it, without spread).
        """
        return self._p(lambda log_ratio: self.log_mean - log_ratio, ratio)

    def p_not_below(self, ratio: float) -> float:
        """The one-sided p-value of "the true ratio is at least `ratio`": small is evidence that it is below."""
        return self._p(lambda log_ratio: log_ratio - self.log_mean, ratio)

    def is_improvement(self, alpha: float) -> bool:
        """Whether the candidate is faster, with an error of at most alpha."""
        return self.p_not_below(1.0) <= alpha

    def _reach(self, alpha: float) -> float:
        if not 0 < alpha < 1:
            raise ValueError(f"alpha={alpha} must be between 0 and 1")
        if not self.has_spread:
            return 0.0 if self._p_of_one_side() <= alpha else math.inf
        return float(stdtrit(self.degrees_of_freedom, 1 - alpha)) * self.standard_error

    def _p(self, distance_of: Callable[[float], float], ratio: float) -> float:
        if not (math.isfinite(ratio) and ratio > 0):
            raise ValueError(f"ratio={ratio} must be finite and above 0")
        distance = distance_of(math.log(ratio))
        if not self.has_spread:
            return self._p_of_one_side() if distance > ROUNDING_ERROR else 1.0
        return float(stdtr(self.degrees_of_freedom, -distance / self.standard_error))

    def _p_of_one_side(self) -> float:
        return 0.5 ** (self.degrees_of_freedom + 1)


@dataclass(frozen=True, slots=True)
class Noise:
    """What makes log ratios of equal arms differ; 0.03 is about 3 %."""

    process_sd: float
    """Between generations, of the pair's difference: for processes that differ by s each, sqrt(2) * s."""
    round_sd: float
    """Between rounds of one generation."""

    def standard_error(self, generations: int, rounds: int) -> float:
        """Of the mean log ratio over so many generations of so many rounds each.

        >>> round(Noise(process_sd=0.031, round_sd=0.10).standard_error(generations=10, rounds=65), 4)
        0.0106
        """
        return math.sqrt((self.process_sd**2 + self.round_sd**2 / rounds) / generations)


def generation_means(log_ratios: npt.ArrayLike, generation_of_round: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The mean log ratio of each generation.

    The plain mean, on purpose: a trimmed mean or a median does not see a candidate that is slow in few windows only.

    Args:
        log_ratios: ln(candidate / baseline) of every round, shape (N,), finite.
        generation_of_round: a label per round, shape (N,), in any order.

    Returns:
        Shape (G,), in ascending order of the labels.

    Raises:
        ValueError: shapes that do not fit together, or a log ratio that is not finite.

    >>> generation_means([0.1, 0.5, 0.3], [1, 2, 1]).tolist()
    [0.2, 0.5]
    """
    means, _, _ = _by_generation(*_checked(log_ratios, generation_of_round))
    return means


def slowdown_of(log_ratios_of_generations: npt.ArrayLike) -> Slowdown:
    """The slowdown from one log ratio a generation: their mean, and t with G - 1 degrees of freedom.

    Args:
        log_ratios_of_generations: shape (G,), finite: `generation_means`, or ln of the ratio of any two figures that
            rest on all of a generation, such as CPU time per request, percentiles of merged histograms or overheads.

    Raises:
        TooFewGenerations: fewer than 2.
        ValueError: another shape, or a log ratio that is not finite.

    Method: Student's t, sample_sd with ddof=1; assumes independent generations. Coverage: docs/method.md.

    >>> slowdown = slowdown_of([0.04, 0.06, 0.05, 0.05])
    >>> round(slowdown.ratio, 3), round(slowdown.low(0.05), 3), round(slowdown.high(0.05), 3)
    (1.051, 1.041, 1.061)
    """
    logs = np.asarray(log_ratios_of_generations, dtype=np.float64)
    if logs.ndim != 1:
        raise ValueError(f"log_ratios_of_generations has shape {logs.shape}, must be one log ratio a generation")
    _check_finite(logs, "generation")
    if logs.size < GENERATIONS_MIN:
        raise TooFewGenerations(int(logs.size))
    has_spread = np.ptp(logs) > ROUNDING_ERROR
    standard_error = float(logs.std(ddof=1)) / math.sqrt(logs.size) if has_spread else 0.0
    return Slowdown(float(logs.mean()), standard_error, int(logs.size) - 1)


def noise_of(log_ratios: npt.ArrayLike, generation_of_round: npt.ArrayLike) -> Noise:
    """The two spreads of a comparison that was run, to plan the next one with.

    Args:
        log_ratios, generation_of_round: as of `generation_means`.

    Raises:
        TooFewGenerations: fewer than 2.
        OneRoundEach: no generation has two rounds.
        ValueError: as of `generation_means`.

    Method: analysis of variance of the one-way random model; generations may have unequal numbers of rounds. A negative
    variance between generations becomes 0: then this run saw no difference between processes, which is not to say
    that there is none.
    Source: S. R. Searle, G. Casella and C. E. McCulloch, Variance Components (1992), section 3.6,
    doi:10.1002/9780470316856.
    """
    logs, labels = _checked(log_ratios, generation_of_round)
    means, rounds, index = _by_generation(logs, labels)
    if means.size < GENERATIONS_MIN:
        raise TooFewGenerations(int(means.size))
    if logs.size == means.size:
        raise OneRoundEach
    within = float(np.sum((logs - means[index]) ** 2)) / (logs.size - means.size)
    between = float(np.sum(rounds * (means - logs.mean()) ** 2)) / (means.size - 1)
    rounds_each = (logs.size - float(np.sum(rounds**2)) / logs.size) / (means.size - 1)
    return Noise(process_sd=math.sqrt(max(0.0, between - within) / rounds_each), round_sd=math.sqrt(within))


def _checked(
    log_ratios: npt.ArrayLike, generation_of_round: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.generic]]:
    logs, labels = np.asarray(log_ratios, dtype=np.float64), np.asarray(generation_of_round)
    if logs.ndim != 1 or logs.shape != labels.shape:
        raise ValueError(
            f"log_ratios {logs.shape} and generation_of_round {labels.shape} must both be one figure a round"
        )
    _check_finite(logs, "round")
    return logs, labels


def _check_finite(logs: npt.NDArray[np.float64], of: str) -> None:
    wrong = np.flatnonzero(~np.isfinite(logs))
    if wrong.size:
        raise ValueError(f"the log ratio of {of} {wrong[0]} is {logs[wrong[0]]}, must be finite")


def _by_generation(
    logs: npt.NDArray[np.float64], labels: npt.NDArray[np.generic]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.intp]]:
    """Means (G,), rounds (G,), and for every round the index of its generation (N,)."""
    _, index, rounds = np.unique(labels, return_inverse=True, return_counts=True)
    return np.bincount(index, weights=logs, minlength=rounds.size) / rounds, rounds.astype(np.int64), index


def _ratio(log_ratio: float) -> float:
    """Infinite where the logarithm has no end, or one that no float can hold."""
    with np.errstate(over="ignore"):
        return float(np.exp(log_ratio))
