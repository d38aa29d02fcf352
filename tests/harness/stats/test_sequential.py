"""Do the looks share the error without remainder, and does peeking then stay within it?"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfgate.stats.comparison import slowdown_of
from perfgate.stats.sequential import RHO, alpha_at_look


@given(st.floats(0.001, 0.4), st.integers(1, 10), st.floats(0.5, 5))
def test_the_shares_add_up_to_the_whole(alpha: float, looks: int, rho: float) -> None:
    shares = [alpha_at_look(alpha, look, looks, rho) for look in range(1, looks + 1)]
    assert math.fsum(shares) == pytest.approx(alpha)
    assert all(share > 0 for share in shares)


def test_shares_are_those_of_the_power_family() -> None:
    # 1, 7 and 19 parts of 27: the differences of the cubes 0, 1, 8 and 27.
    assert [alpha_at_look(0.27, look, 3) for look in (1, 2, 3)] == pytest.approx([0.01, 0.07, 0.19])
    assert RHO == 3


def test_a_single_look_has_it_all() -> None:
    assert alpha_at_look(0.05, 1, 1) == 0.05


def test_a_smaller_rho_gives_earlier_looks_more() -> None:
    assert [alpha_at_look(0.06, look, 3, rho=1) for look in (1, 2, 3)] == pytest.approx([0.02, 0.02, 0.02])


@pytest.mark.slow
def test_peeking_pays_only_with_shares() -> None:
    """Equal arms, five looks at growing generations: at 5 % each, far more than 5 % of the runs look different."""
    rng = np.random.default_rng(1)
    looks, runs = 5, 1_000
    shared, naive = 0, 0
    for _ in range(runs):
        rounds = rng.normal(0, 0.1, (8, 10 * looks))
        p_values = [slowdown_of(rounds[:, : 10 * look].mean(axis=1)).p_not_above(1.0) for look in range(1, looks + 1)]
        naive += min(p_values) <= 0.05
        shared += any(p <= alpha_at_look(0.05, look, looks) for look, p in enumerate(p_values, start=1))
    assert naive / runs > 0.09
    assert 0.02 < shared / runs < 0.06


@pytest.mark.parametrize(
    ("alpha", "look", "looks", "rho", "message"),
    [
        (0, 1, 3, 3, "alpha=0 must be between 0 and 1"),
        (1, 1, 3, 3, "alpha=1 must be between 0 and 1"),
        (0.05, 1, 0, 3, "looks=0 must be at least 1"),
        (0.05, 0, 3, 3, "look=0 must be between 1 and looks=3"),
        (0.05, 4, 3, 3, "look=4 must be between 1 and looks=3"),
        (0.05, 1, 3, 0, "rho=0 must be above 0"),
        (0.05, 1, 3, math.nan, "rho=nan must be above 0"),
    ],
)
def test_wrong_arguments_name_value_and_rule(alpha: float, look: int, looks: int, rho: float, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        alpha_at_look(alpha, look, looks, rho)
