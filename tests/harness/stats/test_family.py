"""Is Holm's procedure the one of the paper, and does a gate of several limits cry wolf no more often than one?"""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfgate.stats.comparison import slowdown_of
from perfgate.stats.decision import Decision
from perfgate.stats.evidence import Evidence, regression_evidence
from perfgate.stats.family import holm, judge_all, rejected

P_VALUES = st.lists(st.floats(0, 1) | st.sampled_from([0.01, 0.02, 0.05]), min_size=1, max_size=8)


def literal_rejected(p_values: list[float], alpha: float) -> list[bool]:
    """Twin: the steps as the paper tells them, from the smallest on, until one is not small enough."""
    fallen = [False] * len(p_values)
    for step, index in enumerate(sorted(range(len(p_values)), key=lambda one: p_values[one])):
        if p_values[index] * (len(p_values) - step) > alpha:
            break
        fallen[index] = True
    return fallen


@given(P_VALUES, st.sampled_from([0.01, 0.05, 0.2]))
def test_what_falls_is_what_falls_step_by_step(p_values: list[float], alpha: float) -> None:
    assert rejected(p_values, alpha).tolist() == literal_rejected(p_values, alpha)


def test_adjusted_p_values_of_a_worked_example() -> None:
    # 4 * 0.01, 3 * 0.02, then 2 * 0.025 = 0.05, raised to the one before it, and 1 * 0.5.
    assert holm([0.5, 0.01, 0.025, 0.02]) == pytest.approx([0.5, 0.04, 0.06, 0.06])


@given(P_VALUES)
def test_adjusted_p_values_keep_their_order_and_are_never_smaller(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert np.all(adjusted >= np.array(p_values))
    assert np.all(adjusted <= 1)
    assert np.all(np.diff(adjusted[np.argsort(p_values, kind="stable")]) >= 0)


def test_one_hypothesis_is_not_adjusted_and_none_is_none() -> None:
    assert holm([0.03]).tolist() == [0.03]
    assert holm([]).tolist() == []


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_a_p_value_out_of_range_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match=rf"^p_values=\[0\.5, {p}\] must be between 0 and 1$"):
        holm([0.5, p])


def test_wrong_arguments_name_value_and_rule() -> None:
    with pytest.raises(ValueError, match=r"^p_values has shape \(1, 1\), must be one a hypothesis$"):
        holm([[0.5]])
    with pytest.raises(ValueError, match=r"^alpha=5 must be between 0 and 1$"):
        rejected([0.5], 5)


# --- a gate ---


def test_a_fail_pays_for_its_company_and_a_pass_does_not() -> None:
    fails, passes = Evidence(0.02, 0.98), Evidence(0.97, 0.03)
    assert judge_all([fails], 0.05, 0.05) == (Decision.FAIL,)
    assert judge_all([passes], 0.05, 0.05) == (Decision.PASS,)
    assert judge_all([fails, passes, passes], 0.05, 0.05) == (Decision.UNDECIDED, Decision.PASS, Decision.PASS)


def test_once_one_limit_is_broken_the_next_pays_for_fewer() -> None:
    clear, second = Evidence(0.001, 0.999), Evidence(0.02, 0.98)
    assert judge_all([second, clear], 0.05, 0.05) == (Decision.FAIL, Decision.FAIL)
    assert judge_all([second, Evidence(0.5, 0.5)], 0.03, 0.05) == (Decision.UNDECIDED, Decision.UNDECIDED)


def test_each_alpha_is_used_for_its_own_verdict() -> None:
    evidence = [Evidence(0.02, 0.98), Evidence(0.96, 0.04)]
    assert judge_all(evidence, alpha_fail=0.05, alpha_pass=0.03) == (Decision.FAIL, Decision.UNDECIDED)
    assert judge_all(evidence, alpha_fail=0.03, alpha_pass=0.05) == (Decision.UNDECIDED, Decision.PASS)


def gates(truth: float, correlation: float, runs: int) -> npt.NDArray[np.bool_]:
    """FAILs (runs, 6) of gates whose six metrics all have this log ratio, against a limit of +5 %."""
    rng = np.random.default_rng(6)
    shared, own = rng.normal(0, 0.03, (runs, 1, 10)), rng.normal(0, 0.03, (runs, 6, 10))
    logs = truth + np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    return np.array(
        [
            [
                decision is Decision.FAIL
                for decision in judge_all([regression_evidence(slowdown_of(one), 1.05) for one in gate], 0.05, 0.05)
            ]
            for gate in logs
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.7])
def test_a_gate_at_its_margins_fails_no_more_often_than_alpha(correlation: float) -> None:
    at_the_margin = gates(np.log(1.05), correlation, runs=1_000).any(axis=1).mean()
    assert 0.02 < at_the_margin < 0.065  # 5 % and three standard errors
    assert gates(np.log(1.12), correlation, runs=100).any(axis=1).mean() > 0.9
