"""Is the stated power that of runs that were drawn and judged?"""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from perfgate.stats.comparison import slowdown_of
from perfgate.stats.power import POWER, largest_passing_ratio, power_to_fail, power_to_pass, smallest_failing_ratio

GENERATIONS = st.integers(2, 30)
ALPHAS = st.sampled_from([0.001, 0.01, 0.05])
RUN: dict[str, Any] = {"allowed": 1.05, "standard_error": 0.0106, "degrees_of_freedom": 9, "alpha": 0.01}


@given(st.floats(0.9, 1.3), st.floats(0.005, 0.1), GENERATIONS, ALPHAS)
def test_power_is_that_of_the_noncentral_t_distribution(
    ratio: float, standard_error: float, generations: int, alpha: float
) -> None:
    """Twin: SciPy's, where it gives a number at all; PASS is FAIL with everything mirrored."""
    df, critical = generations - 1, stats.t.isf(alpha, generations - 1)
    distance = math.log(ratio / 1.05) / standard_error
    run: dict[str, Any] = {"allowed": 1.05, "standard_error": standard_error, "degrees_of_freedom": df, "alpha": alpha}
    fails, passes = stats.nct.sf(critical, df, distance), stats.nct.sf(critical, df, -distance)
    if math.isfinite(fails):
        assert power_to_fail(ratio, **run) == pytest.approx(fails, abs=2e-4)
    if math.isfinite(passes):
        assert power_to_pass(ratio, **run) == pytest.approx(passes, abs=2e-4)


@given(st.floats(0.1, 10), st.floats(0.0001, 0.2), GENERATIONS, ALPHAS)
def test_power_is_a_chance_however_far_the_truth_is(
    ratio: float, standard_error: float, generations: int, alpha: float
) -> None:
    run: dict[str, Any] = RUN | {
        "standard_error": standard_error,
        "degrees_of_freedom": generations - 1,
        "alpha": alpha,
    }
    assert 0 <= power_to_fail(ratio, **run) <= power_to_fail(ratio * 1.01, **run) <= 1
    assert 1 >= power_to_pass(ratio, **run) >= power_to_pass(ratio * 1.01, **run) >= 0


@pytest.mark.slow
def test_power_is_the_share_of_drawn_runs_that_are_judged_so() -> None:
    rng = np.random.default_rng(3)
    run: dict[str, Any] = {"allowed": 1.05, "standard_error": 0.02, "degrees_of_freedom": 7, "alpha": 0.05}
    noise = rng.normal(0, 0.02 * math.sqrt(8), (3_000, 8))
    for ratio in (1.00, 1.08, 1.12):
        slowdowns = [slowdown_of(logs) for logs in math.log(ratio) + noise]
        fails = np.mean([slowdown.p_not_above(1.05) <= 0.05 for slowdown in slowdowns])
        passes = np.mean([slowdown.p_not_below(1.05) <= 0.05 for slowdown in slowdowns])
        assert power_to_fail(ratio, **run) == pytest.approx(fails, abs=0.03)
        assert power_to_pass(ratio, **run) == pytest.approx(passes, abs=0.03)


@given(st.floats(0.005, 0.1), GENERATIONS, ALPHAS, st.sampled_from([0.5, 0.8, 0.95]))
def test_the_stated_ratios_have_the_stated_power(
    standard_error: float, generations: int, alpha: float, power: float
) -> None:
    run: dict[str, Any] = {
        "allowed": 1.05,
        "standard_error": standard_error,
        "degrees_of_freedom": generations - 1,
        "alpha": alpha,
    }
    failing, passing = smallest_failing_ratio(**run, power=power), largest_passing_ratio(**run, power=power)
    if failing < 1e6:  # two generations may need a slowdown beyond all sense
        assert power_to_fail(failing, **run) == pytest.approx(power, abs=1e-4)
        assert power_to_pass(passing, **run) == pytest.approx(power, abs=1e-4)
    assert passing < 1.05 < failing


def test_power_is_80_percent_unless_told() -> None:
    assert smallest_failing_ratio(**RUN) == smallest_failing_ratio(**RUN, power=0.8)
    assert largest_passing_ratio(**RUN) == largest_passing_ratio(**RUN, power=POWER)


@pytest.mark.parametrize(
    ("change", "harder"),
    [
        ({"alpha": 0.001}, True),
        ({"standard_error": 0.02}, True),
        ({"degrees_of_freedom": 4}, True),
        ({"alpha": 0.05}, False),
    ],
    ids=str,
)
def test_less_error_more_noise_and_fewer_generations_take_a_larger_slowdown(
    change: dict[str, Any], harder: bool
) -> None:
    assert (smallest_failing_ratio(**RUN | change) > smallest_failing_ratio(**RUN)) is harder
    assert (largest_passing_ratio(**RUN | change) < largest_passing_ratio(**RUN)) is harder


def test_the_ratios_move_with_the_limit() -> None:
    looser = RUN | {"allowed": 1.10}
    assert smallest_failing_ratio(**looser) == pytest.approx(smallest_failing_ratio(**RUN) * 1.10 / 1.05)
    assert largest_passing_ratio(**looser) == pytest.approx(largest_passing_ratio(**RUN) * 1.10 / 1.05)


def test_generations_that_agreed_fail_anything_or_nothing() -> None:
    agreed = RUN | {"standard_error": 0.0}
    assert smallest_failing_ratio(**agreed) == largest_passing_ratio(**agreed) == 1.05
    too_few = agreed | {"degrees_of_freedom": 3}
    assert smallest_failing_ratio(**too_few) == math.inf
    assert largest_passing_ratio(**too_few) == 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"allowed": 0}, "allowed=0 must be finite and above 0"),
        ({"standard_error": -1}, "standard_error=-1 must be finite and above 0"),
        ({"degrees_of_freedom": 0}, "degrees_of_freedom=0 must be at least 1"),
        ({"alpha": 0.5}, "alpha=0.5 must be above 0 and below 0.5"),
    ],
)
def test_wrong_arguments_name_value_and_rule(change: dict[str, Any], message: str) -> None:
    for function in (smallest_failing_ratio, largest_passing_ratio):
        with pytest.raises(ValueError, match=f"^{message}$"):
            function(**RUN | change)
    for chance in (power_to_fail, power_to_pass):
        with pytest.raises(ValueError, match=f"^{message}$"):
            chance(1.1, **RUN | change)


def test_a_power_or_a_truth_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^power=80 must be between 0 and 1$"):
        smallest_failing_ratio(**RUN, power=80)
    for chance in (power_to_fail, power_to_pass):
        with pytest.raises(ValueError, match=r"^true_ratio=0 must be finite and above 0$"):
            chance(0, **RUN)
        with pytest.raises(ValueError, match=r"^standard_error=0 must be finite and above 0$"):
            chance(1.1, **RUN | {"standard_error": 0})
