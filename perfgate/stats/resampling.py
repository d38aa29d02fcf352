"""How sure is a figure that rests on rounds within generations?

Comes in: what every round counted, and which generation it belongs to. Goes out: the figure of every resample, and from
those an `Interval`. Pure numpy; imports nothing of ours.

    resampled_weights --(B, R)--> weighted_percentiles, weighted_ratios --(B,)--> interval_of --> Interval

B resamples, R rounds. A resample is a row of weights: how often it drew each round. One such table serves every figure
of a measurement, so that figures which are subtracted from each other are resampled together.

Method: two-level percentile bootstrap. Generations are drawn with replacement, as many as there are; then, anew for
each drawn generation, its rounds with replacement, as many as it has. Requests are never drawn: those of one round
share a process and a moment, and would make the interval far too narrow.
Source: A. C. Davison and D. V. Hinkley, Bootstrap Methods and their Application (1997), section 3.8, hierarchical data.
Few generations make it too narrow: `interval_of` says by how much.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

#: Fewer rounds than this show no spread at all.
ROUNDS_MIN: Final = 2
#: The error of an interval, at all looks together; each look has an equal share of it (Bonferroni).
ERROR: Final = 0.05
#: Of an interval. At 99.5 % confidence (10 looks) each tail then still holds 10 of them, and it takes 20 ms.
RESAMPLES: Final = 4_000
#: With more looks a tail of an interval would hold less than one resample: nothing could be said of its end.
LOOKS_MAX: Final = round(RESAMPLES * ERROR / 2)
#: Resamples handled at once: 256 rows of 3,000 bins are 6 MB, whatever the number of resamples.
_CHUNK_ROWS: Final = 256


class TooFewRounds(ValueError):
    """An interval was asked of so few rounds that nothing can be said about their spread."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        super().__init__(f"an interval needs at least {ROUNDS_MIN} rounds, there is {rounds}")


class EmptyRound(ValueError):
    """A round counted nothing, so that a resample which draws only it has no figure."""

    def __init__(self, round_index: int) -> None:
        self.round_index = round_index
        super().__init__(f"round {round_index} counted no request: its share of the figure is undefined")


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the true figure lies, with the stated confidence; `low` and `high` in the figure's own unit."""

    low: float
    high: float
    confidence: float


def resampled_weights(generation_of_round: npt.ArrayLike, resamples: int, seed: int) -> npt.NDArray[np.int64]:
    """How often each resample draws each round.

    Args:
        generation_of_round: a label per round, shape (R,), in any order; equal labels are one generation.
        resamples: rows of the result, at least 1.
        seed: of the draws; the same seed gives the same table.

    Returns:
        Shape (resamples, R). A row sums to R when all generations have equally many rounds.

    Raises:
        TooFewRounds: fewer than 2 rounds. One generation is allowed: it then stands for all, and what differs from
            process to process is not in the interval.

    >>> resampled_weights([0, 0, 1, 1], resamples=2, seed=1).sum(axis=1).tolist()
    [4, 4]
    """
    labels = np.asarray(generation_of_round)
    if labels.ndim != 1:
        raise ValueError(f"generation_of_round has shape {labels.shape}, must be one label a round")
    if resamples < 1:
        raise ValueError(f"resamples={resamples} must be at least 1")
    if labels.size < ROUNDS_MIN:
        raise TooFewRounds(int(labels.size))
    rng = np.random.default_rng(seed)
    generations = np.unique(labels)
    # Drawing n of n with replacement and counting how often each came is one multinomial draw; k such draws are one of
    # k * n. That replaces the loops over resamples and over drawn generations.
    times_drawn = rng.multinomial(len(generations), _equal_chances(len(generations)), size=resamples)
    weights = np.zeros((resamples, labels.size), dtype=np.int64)
    for column, generation in enumerate(generations):
        rounds = np.flatnonzero(labels == generation)
        draws = times_drawn[:, column] * rounds.size
        weights[:, rounds] = rng.multinomial(draws, _equal_chances(rounds.size))
    return weights


def weighted_percentiles(
    values: npt.ArrayLike, counts: npt.ArrayLike, weights: npt.ArrayLike, percentile: float
) -> npt.NDArray[np.float64]:
    """The percentile of every resample's merged histogram.

    HdrHistogram's definition: the smallest value whose cumulative count reaches ceil(percentile / 100 * total).

    Args:
        values: shape (bins,), ascending, any unit.
        counts: shape (R, bins): how often each round recorded each value.
        weights: shape (B, R), from `resampled_weights`.
        percentile: above 0 and at most 100.

    Returns:
        Shape (B,), in the unit of `values`.

    Raises:
        EmptyRound: a round whose counts are all 0.
        ValueError: shapes that do not fit together, values not ascending, percentile out of range.

    >>> weighted_percentiles([10, 20], [[3, 1], [0, 4]], [[1, 1], [2, 0]], 50).tolist()
    [20.0, 10.0]
    """
    values_, weights_ = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    counts_ = np.asarray(counts, dtype=np.float64)
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile={percentile} must be above 0 and at most 100")
    if counts_.ndim != 2 or counts_.shape[1:] != values_.shape:
        raise ValueError(
            f"counts has shape {counts_.shape}, must be (rounds, {values_.size}) for {values_.size} values"
        )
    if np.any(np.diff(values_) <= 0):
        raise ValueError("values must be ascending, each once")
    _check_weights(weights_, rounds=len(counts_))
    _check_no_round_is_empty(counts_.sum(axis=1))
    percentiles = np.empty(len(weights_))
    for start in range(0, len(weights_), _CHUNK_ROWS):
        rows = slice(start, start + _CHUNK_ROWS)
        # Floats, since BLAS multiplies only those; exact, since counts stay far below 2**53.
        cumulative = np.cumsum(weights_[rows] @ counts_, axis=1)
        ranks = np.array([_rank(percentile, int(total)) for total in cumulative[:, -1]])
        percentiles[rows] = values_[np.sum(cumulative < ranks[:, np.newaxis], axis=1)]
    return percentiles


def weighted_ratios(
    numerators: npt.ArrayLike, denominators: npt.ArrayLike, weights: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """The ratio of sums of every resample, for example CPU per request; never the mean of the rounds' ratios.

    Args:
        numerators: one figure per round, shape (R,), any sign.
        denominators: one per round, shape (R,), above 0.
        weights: shape (B, R), from `resampled_weights`.

    Returns:
        Shape (B,), numerators' unit per denominators' unit.

    Raises:
        EmptyRound: a denominator that is not above 0.
        ValueError: shapes that do not fit together, or a figure that is not finite.

    >>> weighted_ratios([10.0, 90.0], [1, 3], [[1, 1], [2, 0]]).tolist()
    [25.0, 10.0]
    """
    tops, bottoms = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    weights_ = np.asarray(weights, dtype=np.float64)
    if tops.ndim != 1 or tops.shape != bottoms.shape:
        raise ValueError(f"numerators {tops.shape} and denominators {bottoms.shape} must both be one figure a round")
    if not (np.all(np.isfinite(tops)) and np.all(np.isfinite(bottoms))):
        raise ValueError("numerators and denominators must be finite")
    _check_weights(weights_, rounds=len(tops))
    _check_no_round_is_empty(bottoms)
    ratios: npt.NDArray[np.float64] = (weights_ @ tops) / (weights_ @ bottoms)
    return ratios


def interval_of(samples: npt.ArrayLike, confidence: float) -> Interval:
    """The percentile-bootstrap interval: the samples' quantiles at (1 - confidence) / 2 and (1 + confidence) / 2.

    It covers the truth less often than it says when generations are few, since 2 processes cannot show how far
    processes differ. Simulated for the mean of a two-level normal model at a stated 95 %, 4 rounds a generation
    (tests/harness/stats/test_resampling.py repeats some of it):

        SD between generations / SD between rounds    2 generations    3       5       10
        0 (all processes alike)                       91 %             94 %    96 %    98 %
        0.2 (2 % and 10 %: short windows)             90 %             94 %    95 %    97 %
        1                                             75 %             84 %    89 %    93 %
        only generations differ                       49 %             76 %    83 %    91 %

    Args:
        samples: the figure of every resample, shape (B,), finite.
        confidence: above 0 and below 1; so high that a tail holds less than one sample is refused.

    >>> interval_of(range(101), confidence=0.5)
    Interval(low=25.0, high=75.0, confidence=0.5)
    """
    samples_ = np.asarray(samples, dtype=np.float64)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence} must be between 0 and 1")
    if samples_.ndim != 1 or not np.all(np.isfinite(samples_)):
        raise ValueError("samples must be one finite figure a resample")
    tail = (1 - confidence) / 2
    # Rounded, since 1 - 0.9995 is a little less than 0.0005 in binary.
    needed = math.ceil(round(1 / tail, 6))
    if samples_.size < needed:
        raise ValueError(
            f"{samples_.size} samples are too few for confidence={confidence:g}: no sample in a tail; at least "
            f"{needed} are needed"
        )
    low, high = np.quantile(samples_, [tail, 1 - tail])
    return Interval(float(low), float(high), confidence)


def _rank(percentile: float, total: int) -> int:
    """ceil(percentile / 100 * total) as written in decimals: in binary, 99.9 % of 1,000 could come out as 1,000."""
    return math.ceil(Fraction(str(percentile)) * total / 100)


def _equal_chances(of: int) -> npt.NDArray[np.float64]:
    return np.full(of, 1 / of)


def _check_weights(weights: npt.NDArray[np.float64], rounds: int) -> None:
    if weights.ndim != 2 or weights.shape[1] != rounds:
        raise ValueError(f"weights has shape {weights.shape}, must be (resamples, {rounds}) for {rounds} rounds")


def _check_no_round_is_empty(totals: npt.NDArray[np.float64]) -> None:
    empty = np.flatnonzero(totals <= 0)
    if empty.size:
        raise EmptyRound(int(empty[0]))
