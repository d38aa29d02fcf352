"""Are slowdowns, their ends and their p-values those of the textbook, and does the interval cover the truth?"""

import math
import statistics
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from perfgate.stats.comparison import (
    Noise,
    OneRoundEach,
    Slowdown,
    TooFewGenerations,
    generation_means,
    noise_of,
    slowdown_of,
)

LOGS = st.floats(-1, 1)
ALPHAS = st.sampled_from([0.001, 0.01, 0.05, 0.2])
SPREAD = Slowdown(log_mean=math.log(1.08), standard_error=0.01, degrees_of_freedom=9)
#: Four generations agree on +8 %.
AGREED = Slowdown(log_mean=math.log(1.08), standard_error=0.0, degrees_of_freedom=3)


@st.composite
def rounds_of_generations(draw: st.DrawFn) -> tuple[list[float], list[int]]:
    """Log ratios and labels of 2 to 5 generations with 1 to 4 rounds each, in any order."""
    rounds = [
        (log, label) for label in range(draw(st.integers(2, 5))) for log in draw(st.lists(LOGS, min_size=1, max_size=4))
    ]
    shuffled = draw(st.permutations(rounds))
    return [log for log, _ in shuffled], [label for _, label in shuffled]


def literal_groups(logs: Sequence[float], labels: Sequence[int]) -> list[list[float]]:
    return [[log for log, own in zip(logs, labels, strict=True) if own == label] for label in sorted(set(labels))]


# --- generations ---


@given(rounds_of_generations())
def test_a_generation_is_the_mean_of_its_rounds(rounds: tuple[list[float], list[int]]) -> None:
    logs, labels = rounds
    literal = [statistics.fmean(group) for group in literal_groups(logs, labels)]
    assert generation_means(logs, labels) == pytest.approx(literal)


def test_means_come_in_the_order_of_the_labels() -> None:
    assert generation_means([5.0, 1.0, 3.0], [9, 2, 4]).tolist() == [1.0, 3.0, 5.0]


def test_rounds_that_do_not_fit_their_labels_are_refused() -> None:
    expected = r"^log_ratios \(2,\) and generation_of_round \(1,\) must both be one figure a round$"
    with pytest.raises(ValueError, match=expected):
        generation_means([0.1, 0.2], [1])
    with pytest.raises(ValueError, match="must both be one figure a round"):
        noise_of([[0.1]], [[1]])


def test_a_log_ratio_that_is_not_finite_is_named() -> None:
    with pytest.raises(ValueError, match=r"^the log ratio of round 1 is -inf, must be finite$"):
        generation_means([0.1, -math.inf], [1, 1])
    with pytest.raises(ValueError, match=r"^the log ratio of generation 2 is nan, must be finite$"):
        slowdown_of([0.1, 0.2, math.nan])


# --- the slowdown ---


@given(st.lists(LOGS, min_size=2, max_size=12), ALPHAS, st.floats(0.5, 2.0))
def test_ends_and_p_values_are_those_of_the_t_test(logs: list[float], alpha: float, ratio: float) -> None:
    assume(statistics.stdev(logs) > 1e-6)
    slowdown = slowdown_of(logs)
    low = stats.ttest_1samp(logs, 0.0, alternative="greater").confidence_interval(1 - alpha).low
    high = stats.ttest_1samp(logs, 0.0, alternative="less").confidence_interval(1 - alpha).high
    assert slowdown.low(alpha) == pytest.approx(math.exp(low), rel=1e-6)
    assert slowdown.high(alpha) == (pytest.approx(math.exp(high), rel=1e-6) if high < 700 else math.inf)
    above = stats.ttest_1samp(logs, math.log(ratio), alternative="greater")
    assert slowdown.p_not_above(ratio) == pytest.approx(above.pvalue, rel=1e-6, abs=1e-12)
    assert slowdown.p_not_below(ratio) == pytest.approx(1 - above.pvalue, rel=1e-6, abs=1e-12)
    assert slowdown.ratio == pytest.approx(math.exp(statistics.fmean(logs)))
    assert slowdown.degrees_of_freedom == len(logs) - 1
    assert slowdown.has_spread


def test_a_p_value_equals_alpha_where_the_interval_ends() -> None:
    assert SPREAD.p_not_above(SPREAD.low(0.03)) == pytest.approx(0.03)
    assert SPREAD.p_not_below(SPREAD.high(0.03)) == pytest.approx(0.03)


def test_the_interval_has_half_of_the_error_in_each_tail() -> None:
    interval = SPREAD.interval(0.9)
    assert (interval.low, interval.high) == pytest.approx((SPREAD.low(0.05), SPREAD.high(0.05)))
    assert interval.confidence == 0.9


def test_swapping_the_arms_inverts_everything() -> None:
    logs = np.array([0.01, 0.05, 0.02, 0.04])
    forth, back = slowdown_of(logs), slowdown_of(-logs)
    assert back.ratio == pytest.approx(1 / forth.ratio)
    assert back.low(0.05) == pytest.approx(1 / forth.high(0.05))
    assert back.p_not_below(1 / 1.05) == pytest.approx(forth.p_not_above(1.05))


def test_an_improvement_is_one_at_its_alpha() -> None:
    faster = Slowdown(log_mean=math.log(0.98), standard_error=0.01, degrees_of_freedom=9)
    assert faster.p_not_below(1.0) == pytest.approx(0.037, abs=0.001)
    assert faster.is_improvement(0.05)
    assert not faster.is_improvement(0.03)
    assert not SPREAD.is_improvement(0.05)


def test_two_generations_are_so_unsure_that_an_end_may_be_infinite() -> None:
    assert slowdown_of([0.0, 0.1]).high(1e-6) == math.inf
    assert slowdown_of([0.0, 0.1]).low(1e-6) == 0.0


@pytest.mark.parametrize("generations", [0, 1])
def test_fewer_than_two_generations_are_an_error_with_a_name(generations: int) -> None:
    expected = rf"^a comparison needs at least 2 generations \(starts of each arm\), there is {generations}$"
    with pytest.raises(TooFewGenerations, match=expected) as caught:
        slowdown_of([0.1] * generations)
    assert caught.value.generations == generations
    with pytest.raises(TooFewGenerations, match=expected):
        noise_of([0.1] * generations, [1] * generations)


def test_wrong_arguments_of_a_slowdown_name_value_and_rule() -> None:
    with pytest.raises(ValueError, match=r"^log_ratios_of_generations has shape \(1, 2\), must be one log ratio a gen"):
        slowdown_of([[0.1, 0.2]])
    for alpha in (0, 1, math.nan):
        with pytest.raises(ValueError, match=f"^alpha={alpha} must be between 0 and 1$"):
            SPREAD.low(alpha)
    for ratio in (0, -1, math.inf, math.nan):
        with pytest.raises(ValueError, match=f"^ratio={ratio} must be finite and above 0$"):
            SPREAD.p_not_above(ratio)


# --- without spread ---


def test_generations_that_agree_are_as_sure_as_so_many_coins_on_one_side() -> None:
    assert not AGREED.has_spread
    assert AGREED.p_not_above(1.05) == AGREED.p_not_below(1.10) == 1 / 2**4
    assert AGREED.p_not_above(1.10) == AGREED.p_not_below(1.05) == 1.0


def test_the_interval_of_generations_that_agree_is_their_figure_or_has_no_end() -> None:
    assert AGREED.low(0.07) == AGREED.high(0.07) == pytest.approx(1.08)
    assert (AGREED.low(0.06), AGREED.high(0.06)) == (0.0, math.inf)


def test_a_figure_that_is_reached_exactly_speaks_for_neither_side() -> None:
    equal = slowdown_of([0.0, 0.0, 0.0])
    assert equal.p_not_above(1.0) == equal.p_not_below(1.0) == 1.0
    assert not equal.is_improvement(0.2)


def test_the_same_figure_computed_in_another_order_is_no_spread() -> None:
    assert 0.1 + 0.2 != 0.3
    assert not slowdown_of([0.1 + 0.2, 0.3, 0.3]).has_spread


# --- the noise ---


def literal_noise(groups: list[list[float]]) -> Noise:
    """Twin of `noise_of`: the analysis of variance as the textbook tells it."""
    everything = [log for group in groups for log in group]
    total, count = len(everything), len(groups)
    grand = statistics.fmean(everything)
    within = sum((log - statistics.fmean(group)) ** 2 for group in groups for log in group) / (total - count)
    between = sum(len(group) * (statistics.fmean(group) - grand) ** 2 for group in groups) / (count - 1)
    each = (total - sum(len(group) ** 2 for group in groups) / total) / (count - 1)
    variance = (between - within) / each
    return Noise(process_sd=math.sqrt(variance) if variance > 0 else 0.0, round_sd=math.sqrt(within))


@given(rounds_of_generations())
def test_the_noise_is_that_of_the_analysis_of_variance(rounds: tuple[list[float], list[int]]) -> None:
    logs, labels = rounds
    groups = literal_groups(logs, labels)
    assume(any(len(group) > 1 for group in groups))
    literal = literal_noise(groups)
    noise = noise_of(logs, labels)
    assert noise.process_sd**2 == pytest.approx(literal.process_sd**2, abs=1e-9)
    assert noise.round_sd**2 == pytest.approx(literal.round_sd**2, abs=1e-9)


def test_a_known_noise_is_found() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(400), 20)
    noise = noise_of(rng.normal(0, 0.03, 400)[labels] + rng.normal(0, 0.10, labels.size), labels)
    assert noise.process_sd == pytest.approx(0.03, rel=0.15)
    assert noise.round_sd == pytest.approx(0.10, rel=0.05)


def test_generations_nearer_than_their_rounds_would_make_them_show_no_process_noise() -> None:
    noise = noise_of([-0.1, 0.1, -0.1, 0.1], [1, 1, 2, 2])
    assert noise.process_sd == 0.0
    assert noise.round_sd == pytest.approx(0.1 * math.sqrt(2))


def test_single_rounds_cannot_tell_two_spreads_apart() -> None:
    expected = "^every generation has one round: how far rounds differ cannot be told from how far processes do$"
    with pytest.raises(OneRoundEach, match=expected):
        noise_of([0.1, 0.2], [1, 2])


def test_the_standard_error_is_that_of_simulated_comparisons() -> None:
    rng = np.random.default_rng(2)
    noise = Noise(process_sd=0.03, round_sd=0.10)
    rounds = rng.normal(0, noise.process_sd, (4_000, 5, 1)) + rng.normal(0, noise.round_sd, (4_000, 5, 8))
    assert rounds.mean(axis=(1, 2)).std() == pytest.approx(noise.standard_error(generations=5, rounds=8), rel=0.05)


# --- with a known truth ---


@pytest.mark.slow
@pytest.mark.parametrize("generations", [2, 4, 10])
def test_the_interval_covers_the_truth_as_often_as_it_says(generations: int) -> None:
    rng = np.random.default_rng(generations)
    covered = 0
    for _ in range(1_500):
        logs = math.log(1.07) + rng.normal(0, 0.031, generations) + rng.normal(0, 0.10 / math.sqrt(20), generations)
        interval = slowdown_of(logs).interval(0.95)
        covered += interval.low <= 1.07 <= interval.high
    assert covered / 1_500 == pytest.approx(0.95, abs=0.02)
