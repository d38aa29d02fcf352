"""Is a step the difference of two measurements with the sum of their variances, and are steps found that are there?"""

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from perfgate.stats.comparison import Slowdown, slowdown_of
from perfgate.stats.steps import ALPHA, difference, p_same, steps

ANCHOR = Slowdown(0.0, 0.0, 1_000_000)
LOGS = st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=9)


@given(LOGS, LOGS)
def test_a_difference_is_welchs_test_of_the_two_measurements(before: list[float], after: list[float]) -> None:
    assume(min(np.std(before), np.std(after)) > 1e-6)
    change = difference(slowdown_of(before), slowdown_of(after))
    welch = stats.ttest_ind(after, before, equal_var=False)
    assert change.log_mean == pytest.approx(np.mean(after) - np.mean(before))
    assert change.degrees_of_freedom == pytest.approx(math.floor(welch.df + 1e-6), abs=1)
    # Degrees of freedom are rounded down, so that p is never smaller.
    assert p_same(change) >= welch.pvalue - 1e-9
    assert change.standard_error == pytest.approx(
        math.sqrt(np.var(before, ddof=1) / len(before) + np.var(after, ddof=1) / len(after))
    )


def test_against_the_anchor_a_difference_is_the_measurement_itself() -> None:
    measured = Slowdown(0.1, 0.02, 7)
    assert difference(ANCHOR, measured) == measured
    back = difference(measured, ANCHOR)
    assert (back.log_mean, back.standard_error, back.degrees_of_freedom) == (-0.1, 0.02, 7)


def test_without_any_spread_the_sign_test_of_the_fewer_generations_holds() -> None:
    change = difference(Slowdown(0.0, 0.0, 3), Slowdown(0.1, 0.0, 7))
    assert not change.has_spread
    assert p_same(change) == pytest.approx(2 * 0.5**4)


def test_a_step_is_marked_either_way_and_its_size_is_told() -> None:
    slower, faster = steps([ANCHOR, Slowdown(0.10, 0.005, 7), Slowdown(0.0, 0.005, 7)])
    assert (slower.is_marked, faster.is_marked) == (True, True)
    assert slower.change.ratio == pytest.approx(math.exp(0.10))
    assert faster.change.ratio == pytest.approx(math.exp(-0.10))


def test_p_values_pay_for_all_neighbours() -> None:
    alone = steps([ANCHOR, Slowdown(0.03, 0.01, 7)])[0]
    among = steps([ANCHOR, Slowdown(0.03, 0.01, 7), *[Slowdown(0.03, 0.01, 7)] * 9])[0]
    assert alone.is_marked
    assert not among.is_marked
    assert among.p_adjusted == pytest.approx(10 * alone.p_adjusted)


def test_fewer_than_two_members_have_no_steps() -> None:
    assert steps([]) == ()
    assert steps([ANCHOR]) == ()


def test_an_alpha_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^alpha=1 must be between 0 and 1$"):
        steps([ANCHOR], alpha=1)


# --- a series whose truth is known ---

#: Releases with two steps up and one down; everything else is noise.
TRUTH = np.log(np.array([1.00, 1.00, 1.00, 1.12, 1.12, 1.12, 1.12, 1.26, 1.26, 1.26, 1.12, 1.12]))
GENERATIONS = 8
#: Of a generation's log ratio: 2.5 % between pairs of processes, 15 % between 40 rounds (docs/method.md).
SD = math.hypot(0.025, 0.15 / math.sqrt(40))


def measured(truth: npt.NDArray[np.float64], rng: np.random.Generator) -> list[Slowdown]:
    """A history of that truth; the first member is the anchor."""
    logs = truth[1:, np.newaxis] + rng.normal(0, SD, (len(truth) - 1, GENERATIONS))
    return [ANCHOR, *(slowdown_of(one) for one in logs)]


@pytest.mark.slow
def test_where_nothing_changed_a_step_is_marked_no_more_often_than_it_says() -> None:
    rng, runs = np.random.default_rng(1), 1_000
    with_any = sum(any(step.is_marked for step in steps(measured(np.zeros(12), rng))) for _ in range(runs))
    # Three standard errors of a share of 5 % are 2 points.
    assert with_any / runs <= ALPHA + 0.02
    assert with_any > 0, "else the rule would never mark anything"


@pytest.mark.slow
def test_steps_are_found_where_they_are_and_nowhere_else() -> None:
    rng, runs = np.random.default_rng(2), 300
    true_steps = np.array([after - before for before, after in pairwise(TRUTH)])
    found = np.zeros(len(true_steps))
    wrong_runs, covered = 0, 0
    for _ in range(runs):
        marked = steps(measured(TRUTH, rng))
        is_marked = np.array([step.is_marked for step in marked])
        found += is_marked
        wrong_runs += bool(is_marked[true_steps == 0].any())
        covered += sum(
            step.change.low(0.025) <= math.exp(true) <= step.change.high(0.025)
            for step, true in zip(marked, true_steps, strict=True)
        )
    assert np.all(found[true_steps != 0] / runs > 0.95)
    assert wrong_runs / runs <= ALPHA + 0.04
    assert covered / (runs * len(true_steps)) == pytest.approx(0.95, abs=0.015)
