"""Does the next run keep to what was predicted from a few, as often as is said?"""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from perfgate.stats.prediction import NoSpread, TooFewRuns, prediction_of, reach_sds

RUNS = [10.0, 11.0, 12.0, 10.5, 11.5]
CHANCES = st.sampled_from([0.001, 0.01, 0.5, 0.95, 0.99])


def literal_bound(figures: Sequence[float], chance: float) -> float:
    """The textbook's formula, term by term."""
    count = len(figures)
    mean = sum(figures) / count
    variance = sum((figure - mean) ** 2 for figure in figures) / (count - 1)
    return mean + stats.t.ppf(chance, count - 1) * math.sqrt(variance) * math.sqrt(1 + 1 / count)


@given(st.lists(st.floats(0.01, 100), min_size=3, max_size=20, unique=True), CHANCES)
def test_positive_figures_are_predicted_by_their_logarithms(figures: list[float], chance: float) -> None:
    expected = math.exp(literal_bound([math.log(figure) for figure in figures], chance))
    assert prediction_of(figures).at_most(chance) == pytest.approx(expected, rel=1e-6)
    assert prediction_of(figures).is_log


@given(st.lists(st.floats(-5, 5).map(lambda x: round(x, 3)), min_size=3, max_size=20, unique=True), CHANCES)
def test_figures_that_are_not_all_above_0_are_predicted_as_they_are(figures: list[float], chance: float) -> None:
    figures = [*figures, -1.0]
    assert prediction_of(figures).at_most(chance) == pytest.approx(literal_bound(figures, chance), rel=1e-6, abs=1e-9)
    assert not prediction_of(figures).is_log


@pytest.mark.parametrize("shift", [0.0, -11.0], ids=["log", "plain"])
@pytest.mark.parametrize("chance", [0.05, 0.5, 0.99])
def test_a_bound_is_exceeded_with_the_chance_that_is_left(shift: float, chance: float) -> None:
    prediction = prediction_of([figure + shift for figure in RUNS])
    assert prediction.chance_above(prediction.at_most(chance)) == pytest.approx(1 - chance)
    assert prediction.chance_below(prediction.at_least(chance)) == pytest.approx(1 - chance)
    assert prediction.chance_above(2.0) + prediction.chance_below(2.0) == pytest.approx(1)


@pytest.mark.parametrize("shift", [0.0, -11.0], ids=["log", "plain"])
def test_many_runs_would_come_closer_to_the_mean(shift: float) -> None:
    """Twin: the normal distribution with the runs' mean and SD; 300 times the runs come to nearly the same."""
    figures = [figure + shift for figure in RUNS]
    few = prediction_of(figures)
    scaled = figures if shift else np.log(figures)
    bound = stats.norm.ppf(0.99, np.mean(scaled), np.std(scaled, ddof=1))
    assert few.at_most_of_many(0.99) == pytest.approx(bound if shift else math.exp(bound))
    assert few.at_most_of_many(0.99) < few.at_most(0.99)
    assert few.at_least_of_many(0.99) > few.at_least(0.99)
    assert few.at_least_of_many(0.99) == pytest.approx(few.at_most_of_many(0.01))
    many = prediction_of(figures * 300)
    assert many.at_most(0.99) == pytest.approx(many.at_most_of_many(0.99), rel=0.01)


def test_what_is_above_0_is_never_predicted_below() -> None:
    assert prediction_of(RUNS).chance_above(0) == 1
    assert prediction_of(RUNS).chance_below(-1) == 0
    assert prediction_of(RUNS).at_least(0.999999) > 0


@pytest.mark.slow
@pytest.mark.parametrize("runs", [3, 5, 10])
@pytest.mark.parametrize("is_log", [True, False])
def test_the_next_figure_keeps_to_the_bound_as_often_as_is_said(runs: int, is_log: bool) -> None:
    """Of 4,000 calibrations: the standard error of a share of 99 % is 0.16 %, that of 90 % is 0.5 %."""
    drawn = np.random.default_rng(runs).normal(0, 0.3, (4_000, runs + 1))
    drawn = np.exp(drawn) if is_log else drawn
    for chance, within in ((0.99, 0.006), (0.90, 0.02)):
        kept = [row[-1] <= prediction_of(row[:-1].tolist()).at_most(chance) for row in drawn]
        assert np.mean(kept) == pytest.approx(chance, abs=within)


def test_the_mean_and_some_sds_would_promise_too_much() -> None:
    """99 % of a known normal distribution are 2.3 SDs; of three runs that takes 8."""
    drawn = np.random.default_rng(1).normal(0, 1, (4_000, 4))
    means, sds = drawn[:, :3].mean(axis=1), drawn[:, :3].std(axis=1, ddof=1)
    assert np.mean(drawn[:, 3] <= means + 2.33 * sds) < 0.95
    assert np.mean(drawn[:, 3] <= means + reach_sds(3, 0.99) * sds) == pytest.approx(0.99, abs=0.006)


def test_reach_is_that_of_the_bound() -> None:
    figures = [-1.0, 0.0, 2.0, 4.0]
    reach = (prediction_of(figures).at_most(0.99) - float(np.mean(figures))) / float(np.std(figures, ddof=1))
    assert reach == pytest.approx(reach_sds(4, 0.99))
    assert reach_sds(4, 0.95) < reach_sds(4, 0.99)


def test_two_runs_predict_nothing() -> None:
    with pytest.raises(TooFewRuns, match="needs the figures of at least 3 runs, there are 2"):
        prediction_of([1.0, 2.0])
    with pytest.raises(TooFewRuns, match="there are 2"):
        reach_sds(2, 0.99)


@pytest.mark.parametrize("figure", [5.0, 0.0, -5.0])
def test_equal_figures_predict_nothing(figure: float) -> None:
    with pytest.raises(NoSpread, match=f"all 4 runs gave {figure:g}: how far the next may be from it is not known"):
        prediction_of([figure] * 4)


def test_figures_that_differ_by_less_than_their_logarithms_can_show_predict_nothing() -> None:
    with pytest.raises(NoSpread):
        prediction_of([1e300, math.nextafter(1e300, math.inf), 1e300])


@pytest.mark.parametrize("figure", [math.nan, math.inf])
def test_a_figure_that_is_no_number_is_named(figure: float) -> None:
    with pytest.raises(ValueError, match=rf"figures\[1\]={figure} must be finite"):
        prediction_of([1.0, figure, 2.0])


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_a_chance_that_is_none_is_refused(chance: float) -> None:
    runs = prediction_of(RUNS)
    for bound in (runs.at_most, runs.at_least, runs.at_most_of_many, lambda chance: reach_sds(5, chance)):
        with pytest.raises(ValueError, match="must be between 0 and 1"):
            bound(chance)
