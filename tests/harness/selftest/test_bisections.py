"""Are searches that are composed of the pool's processes the searches that would have been made with them?"""

import random
from typing import Final

import pytest

from perfgate.experiment.arms import GatewaySpec
from perfgate.experiment.comparison import CPU, FIGURES
from perfgate.history.bisection import bisect
from perfgate.history.measuring import Version
from perfgate.history.result import Measured
from perfgate.selftest.bisections import composed, outcome, search_rates
from perfgate.selftest.doses import CPU_5, CPU_10, CPU_20, NONE, arm_name
from perfgate.selftest.gates import PoolTooSmall
from perfgate.stack.sources import Release
from tests.harness.history.conftest import measured
from tests.harness.selftest.conftest import pool

SERIES: Final = [Version(f"v{number}", GatewaySpec(Release("1.79.3"))) for number in range(4)]


def test_a_question_has_the_figures_of_pairs_that_were_asked_in_turn() -> None:
    of, rng = pool(), random.Random(1)
    found = composed(of, "v1", CPU_10, CPU, rounds=4, generations=6, rng=rng)
    pairs = of.pairs(6, random.Random(1))
    for (before, after), pair in zip(found.figures[CPU], pairs, strict=True):
        sides = (arm_name(pair.baseline, NONE), arm_name(pair.candidate(CPU_10), CPU_10))
        whole = [FIGURES[CPU](of.windows(pair.batch, side, pair.generation, 4), ()) for side in sides]
        assert (before, after) == pytest.approx(tuple(whole))
    assert found.slowdown(CPU).ratio == pytest.approx(1.1, rel=0.02)


def test_overheads_are_over_the_direct_windows_of_the_batch() -> None:
    found = composed(pool(), "v1", CPU_20, "overhead_p50_ms", rounds=4, generations=6, rng=random.Random(1))
    assert found.slowdown("overhead_p50_ms").ratio == pytest.approx(1.3, rel=0.03)


def test_a_dose_is_found_at_the_version_that_has_it() -> None:
    for margin in (None, 0.05):
        found = search_rates(pool(), CPU_10, CPU, margin, rounds=6, searches=40, seed=1, generations=6)
        assert (found.right, found.wrong, found.open) == (1.0, 0.0, 0.0)
        # The two ends, and at most three questions more, most of them settled by one measurement.
        assert 1 <= found.runs_mean <= 4 * 3


def test_a_dose_that_does_nothing_is_nothing_to_search_for() -> None:
    found = search_rates(pool(), CPU_5, CPU, 0.05, rounds=6, searches=20, seed=1, generations=6)
    assert (found.right, found.wrong) == (0.0, 1.0)


def test_the_seed_decides_all_that_is_drawn() -> None:
    first, again = (
        search_rates(pool(), CPU_10, CPU, 0.09, rounds=6, searches=10, seed=3, generations=6) for _ in range(2)
    )
    assert first == again


def test_a_pool_that_is_too_small_is_said() -> None:
    with pytest.raises(PoolTooSmall):
        search_rates(pool(), CPU_10, CPU, None, rounds=6, searches=1, seed=1, generations=9)


@pytest.mark.parametrize(
    ("ratios", "first_bad", "what"),
    [
        ((1.0, 1.0, 1.3, 1.3), "v2", "right"),
        ((1.0, 1.0, 1.3, 1.3), "v1", "wrong"),
        ((1.0, 1.0, 1.1, 1.3), "v2", "open"),
        ((1.0, 1.0, 1.1, 1.3), "v1", "wrong"),
        ((1.0, 1.0, 1.0, 1.0), "v3", "wrong"),
        ((1.0, 1.0, 1.0, 1.1), "v3", "open"),
    ],
)
def test_an_outcome_is_held_against_the_truth(ratios: tuple[float, ...], first_bad: str, what: str) -> None:
    def measure(version: Version, before: Measured | None) -> Measured:
        return measured(version.name, ratios[int(version.name[1:])])

    assert outcome(bisect(SERIES, CPU, 0.10, measure), first_bad) == what
