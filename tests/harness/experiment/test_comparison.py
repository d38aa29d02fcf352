"""Do the figures of two arms, and the ratio between them, come out as they were put in?"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import pytest

from perfgate.experiment.comparison import FIGURES, MORE_IS_BETTER, compare, control, noise_of_comparison
from perfgate.experiment.measurement import Measurement, NotMeasured, Unmeasurable, Window
from perfgate.experiment.metrics import METRICS
from perfgate.measure.histogram import Histogram
from perfgate.stats.comparison import OneRoundEach, TooFewGenerations
from tests.harness.synthetic import Truth, comparison, window_of

PLAIN: Final = Truth()
#: Of `PLAIN`, whose mock answers in 1 ms.
FIGURES_OF_PLAIN: Final[Mapping[str, float]] = {
    "latency_p50_ms": 12.0,
    "latency_p95_ms": 23.0,
    "latency_p99_ms": 45.0,
    "overhead_p50_ms": 11.0,
    "overhead_p95_ms": 22.0,
    "overhead_p99_ms": 44.0,
    "cpu_per_request_ms": 8.0,
    "throughput_rps": 150.0,
    "rss_mib": 300.0,
}
#: As good as the histogram keeps them.
PRECISION: Final = 2e-3


def generations(*ratios: float) -> list[Truth]:
    """One for each ratio."""
    return [PLAIN.slower(ratio) for ratio in ratios]


def without_windows_of(measured: Measurement, arm: str, generation: int | None = None) -> Measurement:
    kept = [w for w in measured.windows if w.arm != arm or generation not in (None, w.generation)]
    return replace(measured, windows=tuple(kept))


class TestFigures:
    def test_every_metric_that_can_have_a_margin_is_one_that_exists(self) -> None:
        assert FIGURES.keys() == FIGURES_OF_PLAIN.keys()
        assert FIGURES.keys() <= METRICS.keys()
        assert FIGURES.keys() >= MORE_IS_BETTER

    @pytest.mark.parametrize("metric", FIGURES)
    def test_of_equal_arms_they_are_the_truth_and_their_ratio_is_1(self, metric: str) -> None:
        found = compare(comparison(generations(1, 1), generations(1, 1)), metric)
        assert found.metric == metric
        assert found.baseline == found.candidate == pytest.approx(FIGURES_OF_PLAIN[metric], rel=PRECISION)
        assert found.slowdown.ratio == 1.0

    @pytest.mark.parametrize("metric", [metric for metric in FIGURES if not metric.startswith("latency")])
    @pytest.mark.parametrize("ratio", [0.8, 1.25])
    def test_a_candidate_that_is_slower_by_a_ratio_has_that_ratio_whatever_the_metric(
        self, metric: str, ratio: float
    ) -> None:
        found = compare(comparison(generations(1, 1), generations(ratio, ratio)), metric)
        assert found.slowdown.ratio == pytest.approx(ratio, rel=PRECISION)
        is_more = found.candidate > found.baseline
        assert is_more == (ratio < 1 if metric == "throughput_rps" else ratio > 1)
        assert (found.worse_by > 0) == (ratio > 1)
        assert abs(found.worse_by) == pytest.approx(abs(found.candidate - found.baseline))

    def test_latency_has_the_mocks_own_time_in_it(self) -> None:
        found = compare(comparison(generations(1, 1), generations(2, 2)), "latency_p50_ms")
        assert found.slowdown.ratio == pytest.approx((1 + 2 * 11) / (1 + 11), rel=PRECISION)

    def test_an_arm_is_the_geometric_mean_of_its_generations_which_are_compared_pair_by_pair(self) -> None:
        found = compare(comparison(generations(1, 4), generations(1.1, 4.4)), "cpu_per_request_ms")
        assert (found.baseline, found.candidate) == pytest.approx((16.0, 17.6))
        assert found.slowdown.ratio == pytest.approx(1.1)
        assert not found.slowdown.has_spread, "what both of a generation share cancels"
        assert found.slowdown.degrees_of_freedom == 1

    def test_how_generations_differ_is_in_the_uncertainty_and_more_rounds_do_not_take_it_away(self) -> None:
        few, many = (
            compare(comparison(generations(1, 1, 1, 1), generations(1.1, 0.9, 1.1, 0.9), rounds=rounds), "rss_mib")
            for rounds in (1, 6)
        )
        assert few.slowdown.standard_error == pytest.approx(many.slowdown.standard_error)
        assert few.slowdown.standard_error == pytest.approx(0.058, abs=0.001)  # ln(1.1 / 0.9) / 2 / sqrt(3)

    def test_the_order_of_windows_does_not_matter(self) -> None:
        measured = comparison(generations(1, 2, 3), generations(1.1, 2.4, 3.9))
        backwards = replace(measured, windows=measured.windows[::-1])
        for metric in FIGURES:
            assert compare(backwards, metric) == compare(measured, metric)

    def test_rounds_generations_and_requests_are_counted(self) -> None:
        found = compare(comparison(generations(1, 1, 1), generations(1, 1, 1), rounds=4, requests=50), "rss_mib")
        assert (found.generations, found.rounds, found.requests) == (3, 12, 600)

    def test_requests_are_those_of_the_arm_that_has_fewer(self) -> None:
        measured = comparison(generations(1, 1), generations(1, 1))
        fewer = tuple(
            replace(w, load=replace(w.load, sent=70)) if w.arm == "baseline" and w.round == 0 else w
            for w in measured.windows
        )
        assert compare(replace(measured, windows=fewer), "rss_mib").requests == 2 * 70 + 2 * 100


class TestOneGeneration:
    """Its rounds make one figure together, in which each counts as much as was in it."""

    def of(self, metric: str, first: Window, second: Window) -> float:
        """The candidate's figure, of two generations of two rounds each."""
        measured = comparison(generations(1, 1), [])
        windows = [
            replace(w, arm="candidate", generation=g, round=n) for g in range(2) for n, w in enumerate((first, second))
        ]
        return compare(measured.with_windows(tuple(windows)), metric).candidate

    def test_cpu_is_all_of_it_for_all_requests(self) -> None:
        small, large = window_of(Truth(cpu_ms=20), "c", requests=100), window_of(Truth(cpu_ms=5), "c", requests=400)
        assert self.of("cpu_per_request_ms", small, large) == pytest.approx((100 * 20 + 400 * 5) / 500)

    def test_throughput_is_all_requests_in_all_of_the_time(self) -> None:
        slow, fast = window_of(Truth(rps=50), "c"), window_of(Truth(rps=200), "c")
        assert self.of("throughput_rps", slow, fast) == pytest.approx(200 / (100 / 50 + 100 / 200))

    def test_throughput_counts_what_succeeded(self) -> None:
        failing = window_of(Truth(rps=100, failed=20), "c")
        whole = replace(failing, load=replace(failing.load, drained_mono_s=11.0))
        assert self.of("throughput_rps", whole, whole) == pytest.approx(80)

    def test_memory_is_the_mean_of_its_windows(self) -> None:
        low, high = window_of(Truth(rss_mib=200), "c"), window_of(Truth(rss_mib=500), "c")
        assert self.of("rss_mib", low, high) == pytest.approx(350)

    def test_a_percentile_is_that_of_all_its_requests_together_and_no_mean_of_percentiles(self) -> None:
        quiet, noisy = window_of(Truth(overhead_ms=9), "c"), window_of(Truth(overhead_ms=99), "c")
        # 90 requests of 10 ms, 7 of 19, 3 of 37; 90 of 100 ms, 7 of 199, 3 of 397: the 100th of 200, and the 190th.
        assert self.of("latency_p50_ms", quiet, noisy) == pytest.approx(37, rel=PRECISION)
        assert self.of("latency_p95_ms", quiet, noisy) == pytest.approx(100, rel=PRECISION)
        assert self.of("latency_p99_ms", quiet, noisy) == pytest.approx(397, rel=PRECISION)

    def test_overhead_is_above_the_direct_arm_of_the_whole_run(self) -> None:
        measured = comparison(generations(1, 1), generations(1, 1), rounds=4)
        slow_mock = replace(measured.of_arm("direct")[0].load, latency=Histogram.of_us([7000] * 100))
        windows = tuple(replace(w, load=slow_mock) if w.arm == "direct" and w.round else w for w in measured.windows)
        found = compare(replace(measured, windows=windows), "overhead_p50_ms")
        assert found.candidate == pytest.approx(12 - 7, rel=PRECISION), "three of four direct windows took 7 ms"


class TestWhatCannotBeCompared:
    def test_a_figure_that_is_not_above_0_is_named_with_its_value(self) -> None:
        measured = comparison(generations(1, 1), generations(1, 1), direct_ms=1.0)
        slow_mock = replace(measured.of_arm("direct")[0].load, latency=Histogram.of_us([14_000] * 100))
        windows = tuple(replace(w, load=slow_mock) if w.arm == "direct" else w for w in measured.windows)
        with pytest.raises(NotMeasured, match=r"^overhead_p50_ms is -2 in a generation: only figures above 0 have a"):
            compare(replace(measured, windows=windows), "overhead_p50_ms")

    def test_nothing_at_all_is_no_figure_either(self) -> None:
        measured = comparison([replace(PLAIN, cpu_ms=0.0)] * 2, generations(1, 1))
        with pytest.raises(NotMeasured, match="cpu_per_request_ms is 0 in a generation"):
            compare(measured, "cpu_per_request_ms")

    def test_overhead_without_a_direct_arm(self) -> None:
        measured = without_windows_of(comparison(generations(1, 1), generations(1, 1)), "direct")
        with pytest.raises(NotMeasured, match="overhead needs a direct arm"):
            compare(replace(measured, arms=measured.arms[1:]), "overhead_p50_ms")
        assert compare(replace(measured, arms=measured.arms[1:]), "latency_p50_ms").slowdown.ratio == 1.0

    def test_generations_that_only_one_arm_has(self) -> None:
        measured = without_windows_of(comparison(generations(1, 1, 1), generations(1, 1, 1)), "candidate", 2)
        with pytest.raises(
            NotMeasured, match=r"^regression: the baseline has windows in .* \[0, 1, 2\], the candidate in \[0, 1\]$"
        ):
            compare(measured, "rss_mib")

    def test_a_single_generation(self) -> None:
        with pytest.raises(TooFewGenerations, match="at least 2 generations"):
            compare(comparison(generations(1), generations(1)), "rss_mib")

    def test_an_arm_without_windows_is_named(self) -> None:
        with pytest.raises(NotMeasured, match="no window of arm 'candidate'"):
            compare(comparison(generations(1, 1), []), "rss_mib")

    def test_a_generation_that_answered_nothing(self) -> None:
        measured = comparison(generations(1, 1), generations(1, 1))
        mute = tuple(
            replace(w, load=replace(w.load, completed=0)) if (w.arm, w.generation) == ("candidate", 1) else w
            for w in measured.windows
        )
        with pytest.raises(NotMeasured, match="no request of a generation was answered"):
            compare(replace(measured, windows=mute), "cpu_per_request_ms")

    @pytest.mark.parametrize("metric", ["cpu_per_request_ms", "rss_mib"])
    def test_processes_that_are_not_ours_and_no_further_round_helps(self, metric: str) -> None:
        measured = comparison(generations(1, 1), generations(1, 1))
        windows = tuple(replace(w, gateway=None) for w in measured.windows)
        with pytest.raises(Unmeasurable, match="of arm 'baseline' are not measured: its processes are not ours"):
            compare(replace(measured, windows=windows), metric)


class TestControl:
    @pytest.mark.parametrize("metric", FIGURES)
    def test_it_is_odd_against_even_generations_of_the_baseline(self, metric: str) -> None:
        measured = comparison(generations(1, 1.3, 1, 1.3), generations(9, 9, 9, 9))
        found = control(measured, metric)
        assert found is not None
        assert found.baseline == pytest.approx(FIGURES_OF_PLAIN[metric], rel=PRECISION)
        expected = (1 + 1.3 * 11) / 12 if metric == "latency_p50_ms" else 1.3
        assert found.slowdown.ratio == pytest.approx(expected, rel=0.02)
        assert (found.metric, found.generations) == (metric, 2)

    @pytest.mark.parametrize(("count", "pairs"), [(4, 2), (5, 2), (8, 4), (9, 4)])
    def test_an_odd_one_out_at_the_end_has_no_partner(self, count: int, pairs: int) -> None:
        ratios = [1.0, 1.2] * pairs + [50.0] * (count - 2 * pairs)
        found = control(comparison(generations(*ratios), generations(*ratios)), "rss_mib")
        assert found is not None
        assert found.generations == pairs
        assert found.slowdown.ratio == pytest.approx(1.2, rel=PRECISION)

    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_two_pairs_are_the_fewest(self, count: int) -> None:
        assert control(comparison(generations(*[1.0] * count), generations(*[1.0] * count)), "rss_mib") is None

    def test_each_side_has_half_of_the_requests(self) -> None:
        found = control(comparison(generations(1, 1, 1, 1), generations(1, 1, 1, 1), rounds=3), "rss_mib")
        assert found is not None
        assert (found.requests, found.rounds) == (600, 12)


class TestNoise:
    """Of CPU per request, for the plan of the next comparison."""

    def of_rounds(self, between_processes: float, between_rounds: float, rounds: int = 2) -> Measurement:
        """Four generations whose pairs differ by so much, with rounds whose pairs do; on the log scale, either way."""
        windows = [
            window_of(PLAIN.slower(math.exp(ratio)), arm, generation, number)
            for generation in range(4)
            for number in range(rounds)
            for arm, ratio in (
                ("baseline", 0.0),
                ("candidate", between_processes * (-1) ** generation + between_rounds * (-1) ** number),
            )
        ]
        return replace(comparison([], []), windows=tuple(windows))

    def test_it_tells_processes_from_rounds(self) -> None:
        # Two rounds at ±0.1 have a sample_sd of 0.1 * sqrt(2); four generations at ±0.05 one of 0.05 * sqrt(4 / 3).
        noise = noise_of_comparison(self.of_rounds(0.0, 0.1))
        assert (noise.process_sd, noise.round_sd) == pytest.approx((0.0, 0.1 * math.sqrt(2)))
        noise = noise_of_comparison(self.of_rounds(0.05, 0.0))
        assert (noise.process_sd, noise.round_sd) == pytest.approx((0.05 * math.sqrt(4 / 3), 0.0), abs=1e-9)

    def test_a_round_that_only_one_arm_has_is_left_out(self) -> None:
        whole = self.of_rounds(0.05, 0.1, rounds=3)
        cut = replace(whole, windows=whole.windows[:-1])
        shorter = [w for w in whole.windows if (w.generation, w.round) != (3, 2)]
        assert noise_of_comparison(cut) == noise_of_comparison(replace(whole, windows=tuple(shorter)))

    def test_what_has_no_spread_to_tell_is_an_error_with_a_name(self) -> None:
        with pytest.raises(OneRoundEach):
            noise_of_comparison(self.of_rounds(0.05, 0.1, rounds=1))
        with pytest.raises(NotMeasured, match="no window of arm 'candidate'"):
            noise_of_comparison(comparison(generations(1, 1), []))
        measured = comparison(generations(1, 1), generations(1, 1))
        with pytest.raises(Unmeasurable):
            noise_of_comparison(replace(measured, windows=tuple(replace(w, gateway=None) for w in measured.windows)))
