"""Is the interval of a proportion the exact binomial one?"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfgate.stats.proportion import proportion_interval


def literal_upper_tail(successes: int, trials: int, share: float) -> float:
    """Twin: the chance of at least `successes` in `trials`, term by term."""
    return math.fsum(
        math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(successes, trials + 1)
    )


@given(st.integers(1, 60), st.data(), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_the_ends_leave_exactly_half_the_error_in_each_tail(
    trials: int, data: st.DataObject, confidence: float
) -> None:
    successes = data.draw(st.integers(0, trials))
    interval = proportion_interval(successes, trials, confidence)
    tail = (1 - confidence) / 2
    if successes == 0:
        assert interval.low == 0.0
    else:
        assert literal_upper_tail(successes, trials, interval.low) == pytest.approx(tail, rel=1e-6)
    if successes == trials:
        assert interval.high == 1.0
    else:
        assert 1 - literal_upper_tail(successes + 1, trials, interval.high) == pytest.approx(tail, rel=1e-6)
    assert interval.low <= successes / trials <= interval.high
    assert interval.confidence == confidence


def test_no_error_in_a_thousand_allows_for_a_few_in_a_thousand() -> None:
    # The closed form for none of n: 1 - (tail) ** (1 / n).
    assert proportion_interval(0, 1_000, 0.95).high == pytest.approx(1 - 0.025 ** (1 / 1_000))


def test_it_covers_the_truth_at_least_as_often_as_it_says() -> None:
    errors = np.random.default_rng(1).binomial(500, 0.01, size=2_000)
    intervals = {int(k): proportion_interval(int(k), 500, 0.95) for k in np.unique(errors)}
    covered = np.mean([intervals[int(k)].low <= 0.01 <= intervals[int(k)].high for k in errors])
    assert 0.95 <= covered < 0.999


@pytest.mark.parametrize(
    ("successes", "trials", "confidence", "message"),
    [
        (0, 0, 0.95, "trials=0 must be at least 1"),
        (3, 2, 0.95, "successes=3 must be between 0 and trials=2"),
        (-1, 2, 0.95, "successes=-1 must be between 0 and trials=2"),
        (1, 2, 95, "confidence=95 must be between 0 and 1"),
    ],
)
def test_wrong_arguments_name_value_and_rule(successes: int, trials: int, confidence: float, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        proportion_interval(successes, trials, confidence)
