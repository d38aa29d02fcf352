"""Do limits, floors and equivalence come out as FAIL, PASS and UNDECIDED where they should?"""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtrit

from perfgate.stats.comparison import Slowdown
from perfgate.stats.decision import Decision
from perfgate.stats.evidence import Evidence, allowed_ratio, equivalence_evidence, judge, regression_evidence

ALPHA = 0.05
DF = 9


def slowdown(ratio: float, standard_error: float = 0.01) -> Slowdown:
    return Slowdown(math.log(ratio), standard_error, DF)


SLOWDOWNS = st.builds(slowdown, st.floats(0.8, 1.25), st.floats(0.001, 0.1))

# --- the limit ---


@pytest.mark.parametrize(
    ("margin", "floor", "baseline", "allowed"),
    [
        (0.05, 0.0, 8.0, 1.05),
        (0.05, 0.2, 8.0, 1.05),  # the floor is 2.5 % here
        (0.05, 0.2, 4.0, 1.05),  # where both are the same
        (0.05, 0.2, 2.0, 1.10),
        (0.05, 0.2, 0.1, 3.0),
        (0.0, 0.5, 10.0, 1.05),
    ],
)
def test_the_margin_or_the_floor_is_allowed_whichever_is_more(
    margin: float, floor: float, baseline: float, allowed: float
) -> None:
    assert allowed_ratio(margin, floor, baseline) == pytest.approx(allowed)


def test_without_a_floor_the_margin_is_allowed() -> None:
    assert allowed_ratio(0.05) == 1.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"margin": -0.05}, "margin=-0.05 must be finite and at least 0"),
        ({"margin": math.nan}, "margin=nan must be finite and at least 0"),
        ({"margin": 0.05, "floor": math.inf, "baseline": 1.0}, "floor=inf must be finite and at least 0"),
        ({"margin": 0.05, "floor": 0.2, "baseline": 0.0}, r"baseline=0\.0 must be above 0"),
        ({"margin": 0.05, "floor": 0.2, "baseline": math.nan}, "baseline=nan must be above 0"),
    ],
)
def test_wrong_arguments_of_a_limit_name_value_and_rule(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        allowed_ratio(**arguments)


# --- regression ---


@given(SLOWDOWNS, st.floats(0.0, 0.2))
def test_a_regression_is_judged_by_the_one_sided_ends(one: Slowdown, margin: float) -> None:
    decision = judge(regression_evidence(one, 1 + margin), ALPHA, ALPHA)
    if one.low(ALPHA) > 1 + margin:
        assert decision is Decision.FAIL
    elif one.high(ALPHA) < 1 + margin:
        assert decision is Decision.PASS
    else:
        assert decision is Decision.UNDECIDED


def test_a_large_improvement_keeps_a_regression_limit() -> None:
    faster = slowdown(0.5)
    assert judge(regression_evidence(faster, 1.05), ALPHA, ALPHA) is Decision.PASS
    assert faster.is_improvement(ALPHA)


def test_a_ratio_beyond_the_margin_passes_when_all_of_it_is_under_the_floor() -> None:
    eight_percent = slowdown(1.08, standard_error=0.005)
    assert judge(regression_evidence(eight_percent, allowed_ratio(0.05)), ALPHA, ALPHA) is Decision.FAIL
    # 8 % of 2 ms are 0.16 ms, 8 % of 2.5 ms are 0.2 ms, 8 % of 8 ms are 0.64 ms; 0.2 ms do not matter.
    for baseline_ms, decision in ((2.0, Decision.PASS), (2.5, Decision.UNDECIDED), (8.0, Decision.FAIL)):
        allowed = allowed_ratio(0.05, floor=0.2, baseline=baseline_ms)
        assert judge(regression_evidence(eight_percent, allowed), ALPHA, ALPHA) is decision


@pytest.mark.parametrize(
    ("p_kept", "p_broken", "decision"),
    [
        (0.01, 0.99, Decision.FAIL),
        (0.02, 0.98, Decision.FAIL),
        (0.021, 0.979, Decision.UNDECIDED),
        (0.969, 0.031, Decision.UNDECIDED),
        (0.97, 0.03, Decision.PASS),
    ],
)
def test_fail_and_pass_have_an_alpha_each(p_kept: float, p_broken: float, decision: Decision) -> None:
    assert judge(Evidence(p_kept, p_broken), alpha_fail=0.02, alpha_pass=0.03) is decision


@pytest.mark.parametrize("alpha", [0, 0.5, math.nan])
@pytest.mark.parametrize("name", ["alpha_fail", "alpha_pass"])
def test_an_alpha_out_of_range_is_refused_by_name(name: str, alpha: float) -> None:
    with pytest.raises(ValueError, match=f"^{name}={alpha} must be above 0 and below 0.5$"):
        judge(Evidence(0.5, 0.5), **{"alpha_fail": 0.05, "alpha_pass": 0.05, name: alpha})


# --- equivalence ---


@given(SLOWDOWNS, st.floats(0.01, 0.2))
def test_equivalence_is_judged_by_the_90_percent_interval(one: Slowdown, within: float) -> None:
    """Twin: the interval as it is told, with its t quantile."""
    reach = stdtrit(DF, 0.95) * one.standard_error
    low, high = one.log_mean - reach, one.log_mean + reach
    most = math.log(1 + within)
    decision = judge(equivalence_evidence(one, within), ALPHA, ALPHA)
    if -most < low and high < most:
        assert decision is Decision.PASS
    elif low > most or high < -most:
        assert decision is Decision.FAIL
    else:
        assert decision is Decision.UNDECIDED


@given(SLOWDOWNS, st.floats(0.01, 0.2))
def test_equivalence_does_not_care_which_arm_is_the_baseline(one: Slowdown, within: float) -> None:
    swapped = Slowdown(-one.log_mean, one.standard_error, one.degrees_of_freedom)
    ours, theirs = equivalence_evidence(one, within), equivalence_evidence(swapped, within)
    assert (ours.p_kept, ours.p_broken) == pytest.approx((theirs.p_kept, theirs.p_broken))


def test_an_improvement_breaks_an_equivalence_limit() -> None:
    assert judge(equivalence_evidence(slowdown(0.9), 0.05), ALPHA, ALPHA) is Decision.FAIL


@pytest.mark.parametrize("within", [0, -0.1, math.inf, math.nan])
def test_an_equivalence_without_width_is_refused(within: float) -> None:
    with pytest.raises(ValueError, match=f"^within={within} must be finite and above 0$"):
        equivalence_evidence(slowdown(1.0), within)
