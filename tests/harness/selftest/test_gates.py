"""Is a gate that is composed of the pool's processes the gate that would have been run with them?"""

import random
from collections import Counter
from dataclasses import replace
from typing import Final

import pytest

from perfgate.comparison_verdict import judge_comparison
from perfgate.experiment import health
from perfgate.experiment.arms import BASELINE, CANDIDATE
from perfgate.experiment.comparison import FIGURES, compare
from perfgate.experiment.measurement import Measurement, Window
from perfgate.measure.histogram import Histogram
from perfgate.selftest.doses import (
    CPU_10,
    CPU_20,
    FIRST,
    LASTING,
    LEAK,
    NONE,
    SECOND,
    STALL,
    Dose,
    arm_name,
)
from perfgate.selftest.gates import GatePlan, Pair, Pool, PoolTooSmall, as_one, judged, looks
from perfgate.selftest.pool_file import DIRECT
from perfgate.thresholds import Apparatus, Limit
from perfgate.verdict import Verdict
from tests.harness.selftest.conftest import batch, pool

APPARATUS: Final = Apparatus(
    dispatch_lag_p99_ms=2.0, sent_ratio_min=0.98, generator_cpu_ratio_max=0.8, direct_p95_above_mock_delay_ms=5.0
)
METRICS: Final = tuple(metric for metric in FIGURES if not metric.startswith("latency"))


def plan(generations: int = 6, rounds_per_look: int = 2, margin: float = 0.05) -> GatePlan:
    limits = {metric: Limit(metric, "a reason", "thresholds.yaml", 1, margin=margin) for metric in METRICS}
    return GatePlan("gate", generations, rounds_per_look, 3, (2.0, 3.0, 4.0), limits, APPARATUS)


def as_it_would_have_been_run(of: Pool, pairs: list[Pair], dose: Dose, rounds: int, look: Measurement) -> Measurement:
    """The measurement of a look with every window as it was, instead of one for each process."""
    windows: list[Window] = [replace(w, generation=0) for w in of.windows(pairs[0].batch, DIRECT, 0, rounds)]
    for generation, pair in enumerate(pairs):
        before, after = arm_name(pair.baseline, NONE), arm_name(pair.candidate(dose), dose)
        for arm, name in ((BASELINE, before), (CANDIDATE, after)):
            for window in of.windows(pair.batch, name, pair.generation, rounds):
                windows.append(replace(window, arm=arm, generation=generation))
    return replace(look, windows=tuple(windows))


@pytest.mark.parametrize("dose", [NONE, CPU_10, CPU_20, LEAK])
def test_a_gate_of_merged_windows_is_judged_as_that_of_all_its_windows(dose: Dose) -> None:
    of = pool()
    pairs = list(of.pairs(6, random.Random(3)))
    for number, look in enumerate(looks(of, pairs, dose, plan()), 1):
        whole = as_it_would_have_been_run(of, pairs, dose, 2 * number, look)
        fitness = [health.check(each, APPARATUS) for each in (whole, look)]
        assert fitness[0] == fitness[1]
        judgements = [judge_comparison(each, plan().limits, fitness[0]) for each in (whole, look)]
        for metric in METRICS:
            before, after = (compare(each, metric) for each in (whole, look))
            assert after.slowdown.log_mean == pytest.approx(before.slowdown.log_mean, abs=1e-7)
            assert after.slowdown.standard_error == pytest.approx(before.slowdown.standard_error, abs=1e-7)
            assert (after.baseline, after.candidate) == pytest.approx((before.baseline, before.candidate), rel=1e-6)
            assert judgements[0][metric].verdict is judgements[1][metric].verdict


def test_windows_as_one_keep_sums_the_mean_of_memory_and_the_generators_busiest_moment() -> None:
    windows = [w for w in batch(1, 3).windows if w.arm == arm_name(FIRST, NONE)]
    first = replace(windows[0], load=replace(windows[0].load, sent=103, drained_mono_s=11.0, generator_cpu_s=0.9))
    merged = as_one([first, *windows[1:]])
    assert (merged.load.sent, merged.load.completed) == (303, 300)
    assert merged.load.latency == Histogram.merged([window.load.latency for window in windows])
    assert merged.load.generator_cpu_ratio == pytest.approx(0.9)
    assert merged.gateway is not None
    assert merged.gateway.cpu_s == pytest.approx(sum(w.gateway.cpu_s for w in windows if w.gateway))


class TestPairs:
    def test_none_is_drawn_twice(self) -> None:
        drawn = pool(batches=3).pairs(12, random.Random(1))
        assert set(Counter((pair.batch, pair.generation) for pair in drawn).values()) == {1}

    def test_either_side_may_be_the_baseline_and_the_other_is_the_candidate(self) -> None:
        drawn = pool(batches=3).pairs(12, random.Random(1))
        assert {(pair.baseline, pair.candidate(CPU_10)) for pair in drawn} == {(FIRST, SECOND), (SECOND, FIRST)}

    def test_of_a_dose_that_lasts_the_candidate_is_a_process_of_its_own(self) -> None:
        assert {pair.candidate(LEAK) for pair in pool().pairs(6, random.Random(1))} == {LASTING}

    def test_differ_from_draw_to_draw_and_come_again_with_the_seed(self) -> None:
        of = pool()
        assert of.pairs(6, random.Random(1)) != of.pairs(6, random.Random(2))
        assert of.pairs(6, random.Random(1)) == of.pairs(6, random.Random(1))

    def test_that_are_not_there_are_said(self) -> None:
        with pytest.raises(PoolTooSmall, match="has 8 pairs of processes, and a gate of 9 generations needs that many"):
            pool().pairs(9, random.Random(1))

    def test_of_pools_drawn_anew_repeat_and_stay_in_their_batch(self) -> None:
        rng, of = random.Random(1), pool()
        drawn = [of.resampled(rng).pairs_of for _ in range(10)]
        assert all([len(of_batch) for of_batch in pairs_of] == [4, 4] for pairs_of in drawn)
        assert all(set(of_batch) <= set(range(4)) for pairs_of in drawn for of_batch in pairs_of)
        assert any(len(set(of_batch)) < 4 for pairs_of in drawn for of_batch in pairs_of)


class TestJudged:
    def of(self, dose: Dose, margin: float = 0.05, generations: int = 6) -> "tuple[Verdict, set[str], float]":
        made = pool()
        result = judged(made, made.pairs(generations, random.Random(5)), dose, plan(generations, margin=margin))
        return result.verdict, set(result.failed), result.minutes

    def test_equal_processes_pass(self) -> None:
        assert self.of(NONE)[:2] == (Verdict.PASS, set())

    def test_a_dose_that_does_nothing_passes_too(self) -> None:
        assert self.of(STALL)[0] is Verdict.PASS

    def test_a_large_dose_fails_by_every_metric_at_the_first_look(self) -> None:
        assert self.of(CPU_20) == (Verdict.FAIL, set(METRICS), 2.0)

    def test_what_no_look_decides_is_invalid_and_takes_all_the_time(self) -> None:
        verdict, failed, minutes = self.of(CPU_10, margin=0.1)
        assert (verdict, failed, minutes) == (Verdict.INVALID, set(), 4.0)
