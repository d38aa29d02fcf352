"""Are the rates of a pool whose truth is known the rates that it must have?"""

import random
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from perfgate.experiment.comparison import FIGURES
from perfgate.experiment.comparison_plan import NOISE
from perfgate.experiment.metrics import METRICS
from perfgate.selftest.doses import CPU_10, CPU_20, LEAK, NONE
from perfgate.selftest.gates import GatePlan
from perfgate.selftest.rates import effects, noise_of_pool, plan_of, rates, rival_rates
from perfgate.selftest.rivals import RIVALS
from perfgate.thresholds import Thresholds, load_thresholds
from tests.harness.selftest.conftest import pool
from tests.harness.selftest.test_gates import plan

ROOT: Final = Path(__file__).parents[3]
GIB: Final = 2**30


@pytest.fixture
def thresholds(monkeypatch: pytest.MonkeyPatch) -> Thresholds:
    monkeypatch.chdir(ROOT)
    return load_thresholds(Path("thresholds.yaml"), METRICS, FIGURES)


def shipped(thresholds: Thresholds, profile: str, rounds_max: int = 1_000, memory_bytes: int = 24 * GIB) -> GatePlan:
    return plan_of(thresholds, profile, noise=NOISE, memory_bytes=memory_bytes, rounds_max=rounds_max)


def test_equal_processes_never_fail_and_a_large_dose_always_does() -> None:
    of = pool()
    none, large = (rates(of, plan(), dose, gates=40, replicates=5, gates_each=4, seed=1) for dose in (NONE, CPU_20))
    assert (none.fail.value, none.passed.value) == (0.0, 1.0)
    assert (large.fail.value, large.passed.value, large.invalid.value) == (1.0, 0.0, 0.0)
    assert set(large.found_by.values()) == {1.0}
    assert set(none.found_by.values()) == set(none.undecided.values()) == {0.0}
    assert (none.dose, none.profile, none.gates) == ("none", "gate", 40)
    assert (large.minutes_p50, large.minutes_p95) == (2.0, 2.0)


def test_the_three_verdicts_are_all_there_is_and_the_seed_decides_what_is_drawn() -> None:
    tight = plan(margin=0.09)
    found = [rates(pool(), tight, CPU_10, gates=30, replicates=10, gates_each=5, seed=seed) for seed in (1, 1, 2)]
    for one in found:
        assert one.fail.value + one.passed.value + one.invalid.value == pytest.approx(1.0)
        assert 0 <= one.fail.low <= one.fail.high <= 1
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_without_replicates_nothing_is_known_of_the_interval() -> None:
    share = rates(pool(), plan(), NONE, gates=2, replicates=0, gates_each=1, seed=1).fail
    assert (share.low, share.high) == (0.0, 1.0)


def test_what_a_dose_does_is_measured_within_each_process() -> None:
    for dose, ratio in ((CPU_10, 1.1), (CPU_20, 1.3), (LEAK, 1.5)):
        for effect in effects(pool(), dose, ["cpu_per_request_ms", "overhead_p50_ms", "rss_mib", "throughput_rps"]):
            assert effect.ratio == pytest.approx(ratio, rel=2e-3), effect
            assert effect.low <= effect.ratio <= effect.high


def test_the_pools_noise_is_that_of_pairs_of_equal_processes() -> None:
    found = noise_of_pool(pool(), random.Random(1))
    assert 0.005 < found.process_sd < 0.03  # a pair of processes that differ by 1 % each
    alike = noise_of_pool(pool(wobble=(1.0,)), random.Random(1))
    assert alike.process_sd == NOISE.process_sd / 10, "no host's processes are all alike"


def test_the_plan_is_that_of_the_profile(thresholds: Thresholds) -> None:
    gate, release = shipped(thresholds, "gate"), shipped(thresholds, "release")
    assert gate.generations <= 12 < release.generations <= 22
    assert gate.minutes[-1] <= 5
    assert release.minutes[-1] <= 15
    assert gate.limits["cpu_per_request_ms"].margin == 2 * (release.limits["cpu_per_request_ms"].margin or 0)
    assert len(gate.minutes) == gate.looks == 3
    assert list(gate.minutes) == sorted(gate.minutes)


def test_a_plan_goes_no_further_than_the_pools_rounds_and_the_hosts_memory(thresholds: Thresholds) -> None:
    assert shipped(thresholds, "gate", rounds_max=9).rounds_per_look == 3
    assert shipped(thresholds, "release", memory_bytes=8 * GIB).generations < shipped(thresholds, "release").generations


def test_other_rules_judge_the_same_gates() -> None:
    of = pool(rounds=12)
    none, large = (
        rival_rates(of, plan(rounds_per_look=4), dose, gates=5, replicates=2, gates_each=2, seed=1)
        for dose in (NONE, CPU_20)
    )
    assert [(one.rule, one.data) for one in none] == [(rival.name, rival.data) for rival in RIVALS]
    assert {one.gates for one in none} == {5}
    assert sum(one.fail.value for one in large) > sum(one.fail.value for one in none)
    assert all(one.fail.value == 1 for one in large if "10 %" in one.rule and "latency" in one.rule)


def test_a_pool_of_other_margins_is_judged_by_them() -> None:
    wide = replace(plan(), limits={m: replace(limit, margin=0.5) for m, limit in plan().limits.items()})
    assert rates(pool(), wide, CPU_20, gates=5, replicates=0, gates_each=1, seed=1).passed.value == 1.0
