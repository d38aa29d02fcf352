"""Are searches that are composed of the pool's processes the searches that would have been made with them?"""

import random
from collections.abc import Sequence
from statistics import fmean
from typing import Final

import pytest

from perfgate.experiment.arms import GatewaySpec
from perfgate.experiment.comparison import CPU, FIGURES
from perfgate.history.bisection import LOOKS, bisect
from perfgate.history.measuring import Version
from perfgate.history.result import Measured
from perfgate.selftest.bisections import CPU_8, Processes, composed, outcome, search_rates
from perfgate.selftest.doses import CPU_5, CPU_10, CPU_20, NONE, arm_name
from perfgate.selftest.gates import Pair, PoolTooSmall
from perfgate.stack.sources import Release
from tests.harness.history.conftest import measured
from tests.harness.selftest.conftest import pool

SERIES: Final = [Version(f"v{number}", GatewaySpec(Release("1.79.3"))) for number in range(4)]


def test_a_question_has_the_figures_of_pairs_that_were_asked_in_turn() -> None:
    of = pool()
    pairs = of.pairs(6, random.Random(1))
    found = composed(Processes(of, rounds=4), pairs, "v1", (CPU_10,), CPU)
    for (before, after), pair in zip(found.figures[CPU], pairs, strict=True):
        sides = (arm_name(pair.baseline, NONE), arm_name(pair.candidate(CPU_10), CPU_10))
        whole = [FIGURES[CPU](of.windows(pair.batch, side, pair.generation, 4), ()) for side in sides]
        assert (before, after) == pytest.approx(tuple(whole))
    assert found.slowdown(CPU).ratio == pytest.approx(1.1, rel=0.02)


def test_overheads_are_over_the_direct_windows_of_the_batch() -> None:
    of = pool()
    found = composed(Processes(of, 4), of.pairs(6, random.Random(1)), "v1", (CPU_20,), "overhead_p50_ms")
    assert found.slowdown("overhead_p50_ms").ratio == pytest.approx(1.3, rel=0.03)


def test_doses_that_take_turns_are_one_between_them() -> None:
    """Of this pool they are 1.1 and 1.3, and it is the CPU of all requests that is divided by their number."""
    of = pool()
    doses = (CPU_20, CPU_10, CPU_10, CPU_10)
    found = composed(Processes(of, rounds=4), of.pairs(8, random.Random(1)), "v1", doses, CPU)
    assert found.slowdown(CPU).ratio == pytest.approx((1.3 + 3 * 1.1) / 4, rel=0.02)


def test_8_percent_are_what_5_and_10_percent_are_on_average() -> None:
    assert fmean({CPU_5: 5, CPU_10: 10}[dose] for dose in CPU_8) == 8


def test_a_version_that_is_measured_again_is_so_with_other_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Sequence[Pair]] = []

    def shown(processes: Processes, pairs: Sequence[Pair], version: str, doses: object, metric: str) -> Measured:
        if version == "v7":
            drawn.append(pairs)
        return measured(version, 1.05, metrics=(metric,), generations=len(pairs))  # at the limit, so never decided

    monkeypatch.setattr("perfgate.selftest.bisections.composed", shown)
    search_rates(pool(), (CPU_10,), CPU, 0.05, rounds=6, searches=1, seed=1, generations=2)
    assert [len(pairs) for pairs in drawn] == [2] * LOOKS
    assert len({(pair.batch, pair.generation) for pairs in drawn for pair in pairs}) == 2 * LOOKS


@pytest.mark.parametrize("margin", [None, 0.05])
def test_a_dose_is_found_at_the_version_that_has_it(margin: float | None) -> None:
    of = pool(batches=3, pairs=8)
    found = search_rates(of, (CPU_10,), CPU, margin, rounds=6, searches=40, seed=1, generations=8)
    assert (found.right, found.wrong, found.open) == (1.0, 0.0, 0.0)
    # The two ends, and at most three questions more, most of them settled by one measurement.
    assert 1 <= found.runs_mean <= 4 * LOOKS


def test_a_dose_that_does_nothing_is_nothing_to_search_for() -> None:
    of = pool(batches=3, pairs=8)
    found = search_rates(of, (CPU_5,), CPU, 0.05, rounds=6, searches=20, seed=1, generations=8)
    assert (found.right, found.wrong) == (0.0, 1.0)


def test_the_seed_decides_all_that_is_drawn() -> None:
    first, again = (
        search_rates(pool(), (CPU_10,), CPU, 0.09, rounds=6, searches=10, seed=3, generations=2) for _ in range(2)
    )
    assert first == again


def test_a_pool_that_is_too_small_for_all_looks_is_said() -> None:
    with pytest.raises(PoolTooSmall, match="the pool has 8 pairs of processes, and a gate of 9 generations needs"):
        search_rates(pool(), (CPU_10,), CPU, None, rounds=6, searches=1, seed=1, generations=3)


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
