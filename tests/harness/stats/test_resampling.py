"""Are resampled figures those of the literal definition, and do intervals cover the truth as often as documented?"""

import math
import random
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfgate.stats.resampling import (
    EmptyRound,
    Interval,
    TooFewRounds,
    interval_of,
    resampled_weights,
    weighted_percentiles,
    weighted_ratios,
)


def literal_weights(generation_of_round: Sequence[int], resamples: int, seed: int) -> npt.NDArray[np.int64]:
    """Twin of `resampled_weights`: the two draws as they are told."""
    rng = random.Random(seed)
    generations = sorted(set(generation_of_round))
    rows = []
    for _ in range(resamples):
        times: Counter[int] = Counter()
        for _ in generations:
            drawn = rng.choice(generations)
            its_rounds = [index for index, label in enumerate(generation_of_round) if label == drawn]
            times.update(rng.choice(its_rounds) for _ in its_rounds)
        rows.append([times[index] for index in range(len(generation_of_round))])
    return np.array(rows)


def literal_percentile(values: Sequence[float], counts: Sequence[int], percentile: float) -> float:
    """Twin of one resample's percentile: every recorded value written out, in order."""
    recorded = [value for value, count in zip(values, counts, strict=True) for _ in range(count)]
    return sorted(recorded)[math.ceil(Fraction(str(percentile)) / 100 * len(recorded)) - 1]


@st.composite
def round_tables(draw: st.DrawFn) -> tuple[list[int], list[list[int]], list[list[int]]]:
    """values (bins,), counts (R, bins) with no empty round, weights (B, R) with no empty resample."""
    values = sorted(draw(st.sets(st.integers(1, 10_000), min_size=1, max_size=8)))
    rounds = draw(st.integers(1, 5))
    row = st.lists(st.integers(0, 30), min_size=len(values), max_size=len(values)).filter(any)
    counts = draw(st.lists(row, min_size=rounds, max_size=rounds))
    weight_row = st.lists(st.integers(0, 4), min_size=rounds, max_size=rounds).filter(any)
    return values, counts, draw(st.lists(weight_row, min_size=1, max_size=5))


PERCENTILES = st.sampled_from([0.1, 1.0, 29.0, 50.0, 58.0, 90.0, 95.0, 99.0, 99.9, 100.0])


# --- the weights ---


def test_weights_have_the_moments_of_the_literal_two_level_draw() -> None:
    generations = [7, 3, 7, 3, 3, 9]  # unordered, of unequal size
    ours = resampled_weights(generations, resamples=20_000, seed=1)
    literal = literal_weights(generations, resamples=20_000, seed=2)
    assert ours.mean(axis=0) == pytest.approx(literal.mean(axis=0), abs=0.04)
    # The covariances tell two levels from one: rounds of one generation come and go together.
    assert np.cov(ours.T) == pytest.approx(np.cov(literal.T), abs=0.08)
    assert np.cov(ours.T)[0, 2] > 0.1
    assert np.cov(ours.T)[0, 1] < -0.1


def test_every_generation_is_drawn_whole() -> None:
    weights = resampled_weights([0, 0, 0, 1, 1], resamples=500, seed=3)
    assert set(np.unique(weights[:, :3].sum(axis=1))) == {0, 3, 6}
    assert set(np.unique(weights[:, 3:].sum(axis=1))) == {0, 2, 4}


def test_the_labels_of_generations_do_not_matter() -> None:
    assert np.array_equal(resampled_weights([0, 0, 1, 1], 50, seed=1), resampled_weights([4, 4, 8, 8], 50, seed=1))


def test_the_seed_decides_the_draws() -> None:
    again = [resampled_weights([0, 0, 1, 1], 100, seed=seed) for seed in (5, 5, 6)]
    assert np.array_equal(again[0], again[1])
    assert not np.array_equal(again[0], again[2])


def test_there_are_as_many_rows_as_resamples_asked_for() -> None:
    assert resampled_weights([0, 1], resamples=17, seed=1).shape == (17, 2)


@pytest.mark.parametrize("rounds", [0, 1])
def test_fewer_than_two_rounds_are_an_error_with_a_name(rounds: int) -> None:
    with pytest.raises(TooFewRounds, match=f"^an interval needs at least 2 rounds, there is {rounds}$") as caught:
        resampled_weights([0] * rounds, resamples=10, seed=1)
    assert caught.value.rounds == rounds


def test_wrong_arguments_of_the_weights_name_value_and_rule() -> None:
    with pytest.raises(ValueError, match=r"generation_of_round has shape \(1, 2\), must be one label a round"):
        resampled_weights([[0, 1]], resamples=10, seed=1)
    with pytest.raises(ValueError, match="resamples=0 must be at least 1"):
        resampled_weights([0, 1], resamples=0, seed=1)


# --- percentiles ---


@given(round_tables(), PERCENTILES)
def test_percentiles_are_those_of_every_value_written_out(
    table: tuple[list[int], list[list[int]], list[list[int]]], percentile: float
) -> None:
    values, counts, weights = table
    merged = [[int(count) for count in row] for row in np.array(weights) @ np.array(counts)]
    assert weighted_percentiles(values, counts, weights, percentile).tolist() == [
        literal_percentile(values, row, percentile) for row in merged
    ]


def test_a_percentile_at_a_whole_rank_is_not_moved_by_binary_fractions() -> None:
    # 58 % of 100 is the 58th value; 0.58 * 100 is 57.99999999999999 and 0.29 * 100 is 28.999999999999996 in binary,
    # while 0.07 * 100 is 7.000000000000001.
    ones = np.ones((1, 100), dtype=int)
    for percentile in (7, 29, 58):
        assert weighted_percentiles(np.arange(1, 101), ones, [[1]], percentile).tolist() == [percentile]


def test_more_resamples_than_one_chunk_are_all_computed() -> None:
    weights = resampled_weights([0, 0, 1, 1], resamples=1_000, seed=1)
    counts = [[9, 0, 1], [0, 8, 2], [4, 4, 4], [0, 1, 9]]
    merged = weights @ np.array(counts)
    assert weighted_percentiles([1, 2, 3], counts, weights, 40).tolist() == [
        literal_percentile([1, 2, 3], row.tolist(), 40) for row in merged
    ]


def test_an_empty_round_is_an_error_that_names_the_round() -> None:
    expected = r"^round 1 counted no request: its share of the figure is undefined$"
    with pytest.raises(EmptyRound, match=expected) as caught:
        weighted_percentiles([1, 2], [[1, 0], [0, 0]], [[1, 1]], 50)
    assert caught.value.round_index == 1
    with pytest.raises(EmptyRound, match=expected):
        weighted_ratios([1.0, 1.0], [5.0, 0.0], [[1, 1]])


@pytest.mark.parametrize("percentile", [0, -1, 100.1, math.nan])
def test_a_percentile_out_of_range_is_refused(percentile: float) -> None:
    with pytest.raises(ValueError, match="must be above 0 and at most 100"):
        weighted_percentiles([1], [[1]], [[1]], percentile)


def test_wrong_shapes_of_percentiles_name_shape_and_rule() -> None:
    with pytest.raises(ValueError, match=r"counts has shape \(1, 2\), must be \(rounds, 3\) for 3 values"):
        weighted_percentiles([1, 2, 3], [[1, 1]], [[1]], 50)
    with pytest.raises(ValueError, match=r"weights has shape \(1, 2\), must be \(resamples, 1\) for 1 rounds"):
        weighted_percentiles([1, 2], [[1, 1]], [[1, 1]], 50)
    with pytest.raises(ValueError, match="values must be ascending, each once"):
        weighted_percentiles([2, 2], [[1, 1]], [[1]], 50)


# --- ratios ---


@given(
    st.lists(st.tuples(st.integers(-1000, 1000), st.integers(1, 1000)), min_size=1, max_size=6),
    st.data(),
)
def test_ratios_are_sums_over_sums(rounds: list[tuple[int, int]], data: st.DataObject) -> None:
    row = data.draw(st.lists(st.integers(0, 4), min_size=len(rounds), max_size=len(rounds)).filter(any))
    top = sum(Fraction(weight * numerator) for weight, (numerator, _) in zip(row, rounds, strict=True))
    bottom = sum(Fraction(weight * denominator) for weight, (_, denominator) in zip(row, rounds, strict=True))
    (ratio,) = weighted_ratios([n for n, _ in rounds], [d for _, d in rounds], [row])
    assert ratio == pytest.approx(float(top / bottom))


def test_wrong_arguments_of_ratios_are_refused() -> None:
    with pytest.raises(ValueError, match=r"numerators \(2,\) and denominators \(1,\) must both be one figure a round"):
        weighted_ratios([1.0, 2.0], [1.0], [[1, 1]])
    with pytest.raises(ValueError, match="numerators and denominators must be finite"):
        weighted_ratios([math.nan, 2.0], [1.0, 1.0], [[1, 1]])
    with pytest.raises(ValueError, match="weights has shape"):
        weighted_ratios([1.0, 2.0], [1.0, 1.0], [1, 1])


# --- the interval ---


def test_the_interval_is_the_samples_quantiles() -> None:
    samples = np.random.default_rng(1).permutation(1001)
    wide = interval_of(samples, confidence=0.95)
    assert (wide.low, wide.high) == pytest.approx((25, 975))
    assert wide.confidence == 0.95
    assert interval_of(samples, confidence=0.5) == Interval(low=250.0, high=750.0, confidence=0.5)


def test_wrong_arguments_of_the_interval_are_refused() -> None:
    with pytest.raises(ValueError, match="confidence=1 must be between 0 and 1"):
        interval_of([1.0] * 100, confidence=1)
    with pytest.raises(ValueError, match="samples must be one finite figure a resample"):
        interval_of([1.0, math.inf] * 50, confidence=0.9)
    with pytest.raises(ValueError, match=r"39 samples are too few for confidence=0\.95: .*; at least 40 are needed"):
        interval_of([1.0] * 39, confidence=0.95)
    assert interval_of([1.0] * 40, confidence=0.95).low == 1.0


def coverage_ratio(generations: int, per_generation: int, sd_between: float, sd_within: float, runs: int) -> float:
    """How often the 95 % interval of the mean holds the true mean, in a two-level normal model."""
    rng = np.random.default_rng(20_260)
    labels = np.repeat(np.arange(generations), per_generation)
    covered = 0
    for run in range(runs):
        figures = 100 + rng.normal(0, sd_between, generations)[labels] + rng.normal(0, sd_within, labels.size)
        weights = resampled_weights(labels, resamples=400, seed=run)
        interval = interval_of(weighted_ratios(figures, np.ones(labels.size), weights), confidence=0.95)
        covered += interval.low <= 100 <= interval.high
    return covered / runs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("generations", "sd_between", "sd_within", "documented"),
    [
        (2, 0.0, 10.0, 0.91),
        (2, 2.0, 10.0, 0.90),
        (2, 10.0, 10.0, 0.75),
        (2, 10.0, 0.001, 0.49),
        (5, 2.0, 10.0, 0.95),
        (10, 10.0, 10.0, 0.93),
        (10, 10.0, 0.001, 0.91),
    ],
)
def test_the_interval_covers_the_truth_as_often_as_its_docstring_says(
    generations: int, sd_between: float, sd_within: float, documented: float
) -> None:
    measured = coverage_ratio(generations, 4, sd_between, sd_within, runs=1_000)
    assert measured == pytest.approx(documented, abs=0.04)


@pytest.mark.slow
def test_an_interval_from_single_requests_would_be_far_too_narrow() -> None:
    """Why rounds and generations are drawn: 100 requests share their round's luck."""
    rng = np.random.default_rng(5)
    labels = np.repeat(np.arange(10), 4)
    covered = 0
    for run in range(300):
        level = (100 + rng.normal(0, 2, 10)[labels] + rng.normal(0, 10, labels.size))[:, np.newaxis]
        requests = level + rng.normal(0, 5, (labels.size, 100))
        sums = requests.sum(axis=1)
        by_round = interval_of(
            weighted_ratios(sums, np.full(labels.size, 100), resampled_weights(labels, 400, run)), 0.95
        )
        by_request = 1.96 * requests.std() / math.sqrt(requests.size)
        assert by_round.high - by_round.low > 2 * by_request
        covered += abs(requests.mean() - 100) < by_request
    assert covered / 300 < 0.5
