"""Does the three-way rule say FAIL, PASS and UNDECIDED where it should?"""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfgate.stats.decision import Decision, judge_max, judge_min

FIGURES = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("low", "high", "decision"),
    [
        (8.0, 9.9, Decision.PASS),
        (8.0, 10.0, Decision.PASS),  # reaching the limit is allowed
        (8.0, 10.1, Decision.UNDECIDED),
        (10.0, 12.0, Decision.UNDECIDED),
        (10.1, 12.0, Decision.FAIL),
    ],
)
def test_a_maximum_is_judged_by_the_whole_interval(low: float, high: float, decision: Decision) -> None:
    assert judge_max((low + high) / 2, low, high, maximum=10.0) is decision


@pytest.mark.parametrize(
    ("low", "high", "decision"),
    [
        (0.991, 1.0, Decision.PASS),
        (0.99, 1.0, Decision.PASS),
        (0.98, 1.0, Decision.UNDECIDED),
        (0.9, 0.99, Decision.UNDECIDED),
        (0.9, 0.98, Decision.FAIL),
    ],
)
def test_a_minimum_is_judged_by_the_whole_interval(low: float, high: float, decision: Decision) -> None:
    assert judge_min((low + high) / 2, low, high, minimum=0.99) is decision


@pytest.mark.parametrize(("value", "low", "high"), [(9.0, 11.0, 12.0), (11.0, 8.0, 9.0)])
def test_an_estimate_across_the_limit_from_its_interval_decides_nothing(value: float, low: float, high: float) -> None:
    assert judge_max(value, low, high, maximum=10.0) is Decision.UNDECIDED
    assert judge_min(value, low, high, minimum=10.0) is Decision.UNDECIDED


@given(FIGURES, FIGURES, FIGURES, FIGURES)
def test_a_minimum_is_the_mirror_of_a_maximum(value: float, one: float, other: float, limit: float) -> None:
    low, high = sorted((one, other))
    assert judge_min(value, low, high, limit) is judge_max(-value, -high, -low, -limit)


@given(FIGURES, FIGURES, FIGURES, FIGURES, st.floats(0, 1e6))
def test_a_looser_limit_never_turns_a_pass_into_anything_else(
    value: float, one: float, other: float, maximum: float, looser_by: float
) -> None:
    low, high = sorted((one, other))
    if judge_max(value, low, high, maximum) is Decision.PASS:
        assert judge_max(value, low, high, maximum + looser_by) is Decision.PASS


@pytest.mark.parametrize("name", ["value", "low", "high", "maximum"])
@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_figure_that_is_not_finite_is_refused_by_name(name: str, number: float) -> None:
    figures = {"value": 2.0, "low": 1.0, "high": 3.0, "maximum": 4.0, name: number}
    with pytest.raises(ValueError, match=f"^{name}={number} must be finite$"):
        judge_max(**figures)


def test_a_minimum_that_is_not_finite_is_called_minimum() -> None:
    with pytest.raises(ValueError, match=r"^minimum=nan must be finite$"):
        judge_min(1.0, 0.9, 1.0, math.nan)


def test_an_interval_upside_down_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^low=3\.0 must not be above high=1\.0$"):
        judge_max(2.0, 3.0, 1.0, 4.0)


def test_every_decision_is_a_sentence() -> None:
    assert len({decision.value for decision in Decision}) == len(Decision)
