"""Is every verdict on two arms the one that their truth deserves, for the reason that comes first?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest

from perfgate.comparison_verdict import ALPHA, judge_comparison
from perfgate.experiment import health
from perfgate.experiment.comparison import compare
from perfgate.experiment.measurement import Measurement
from perfgate.stats.sequential import alpha_at_look
from perfgate.thresholds import Apparatus, Limit
from perfgate.verdict import Judgement, Reason, Surroundings, Verdict, explain, headline
from tests.harness.synthetic import Truth, comparison

APPARATUS: Final = Apparatus(
    dispatch_lag_p99_ms=2.0, sent_ratio_min=0.98, generator_cpu_ratio_max=0.8, direct_p95_above_mock_delay_ms=5.0
)
AROUND: Final = Surroundings("2 cores", "baseline …, candidate …", "pytest tests/perf --seed 7", "record.json")
CPU: Final = "cpu_per_request_ms"
#: Those of the shipped file.
FAMILY: Final = (CPU, "throughput_rps", "overhead_p50_ms", "overhead_p95_ms", "overhead_p99_ms", "rss_mib")
#: How far eight generations of either arm are from the truth: about 1.5 %, and in a different order for the other.
WOBBLE: Final = (0.98, 1.02, 1.01, 0.99, 1.0, 0.98, 1.01, 1.02)


def limits(*metrics: str, margin: float = 0.05, floor: float = 0.0) -> Mapping[str, Limit]:
    """The same margin for each metric, or for those of the shipped file."""
    return {
        metric: Limit(metric, "a reason", "thresholds.yaml", 41, margin=margin, floor=floor)
        for metric in metrics or FAMILY
    }


def arm(ratio: float = 1.0, wobble: Sequence[float] = WOBBLE) -> list[Truth]:
    """A generation for each wobble."""
    return [Truth().slower(ratio * w) for w in wobble]


def two_arms(ratio: float = 1.0, **rest: Any) -> Measurement:
    """A candidate that is slower by a ratio, in everything."""
    return comparison(arm(), arm(ratio, WOBBLE[::-1]), **rest)


def judged(measured: Measurement, of: Mapping[str, Limit] | None = None) -> Mapping[str, Judgement]:
    return judge_comparison(measured, of or limits(), health.check(measured, APPARATUS))


def verdicts(judgements: Mapping[str, Judgement]) -> set[tuple[Verdict, Reason]]:
    return {(judgement.verdict, judgement.reason) for judgement in judgements.values()}


def text(judgement: Judgement) -> str:
    return "\n".join(explain(judgement, AROUND))


# --- the figures decide ---


def test_equal_arms_pass_every_limit() -> None:
    found = judged(two_arms())
    assert list(found) == list(FAMILY)
    assert verdicts(found) == {(Verdict.PASS, Reason.WITHIN)}
    assert {judgement.detail for judgement in found.values()} == {""}


def test_a_candidate_that_is_slower_in_everything_fails_every_limit() -> None:
    found = judged(two_arms(1.2))
    assert verdicts(found) == {(Verdict.FAIL, Reason.BEYOND)}
    for metric, judgement in found.items():
        assert judgement.compared is not None
        assert judgement.compared.comparison.slowdown.ratio == pytest.approx(1.2, rel=0.01), metric
        assert 1.05 < judgement.compared.low < 1.2 < judgement.compared.high


def test_swapping_the_arms_turns_fail_into_pass_and_says_improvement() -> None:
    slower = comparison(arm(), arm(1.2, WOBBLE[::-1]))
    swapped = comparison(arm(1.2, WOBBLE[::-1]), arm())
    before, after = judged(slower), judged(swapped)
    assert verdicts(before) == {(Verdict.FAIL, Reason.BEYOND)}
    assert verdicts(after) == {(Verdict.PASS, Reason.WITHIN)}
    for metric in FAMILY:
        one, other = before[metric].compared, after[metric].compared
        assert one is not None
        assert other is not None
        assert one.comparison.slowdown.ratio == pytest.approx(1 / other.comparison.slowdown.ratio)
        assert (one.low, one.high) == pytest.approx((1 / other.high, 1 / other.low))
        assert after[metric].detail == "an improvement"
        assert "because    an improvement" in text(after[metric])


def test_an_improvement_is_said_only_where_the_interval_shows_it() -> None:
    assert {one.detail for one in judged(two_arms(0.97)).values()} == {"an improvement"}
    assert {one.detail for one in judged(two_arms(0.997)).values()} == {""}


def test_one_slow_metric_fails_alone() -> None:
    candidate = [replace(truth, cpu_ms=truth.cpu_ms * 1.2) for truth in arm(wobble=WOBBLE[::-1])]
    found = judged(comparison(arm(), candidate))
    assert found[CPU].verdict is Verdict.FAIL
    assert {found[metric].verdict for metric in FAMILY if metric != CPU} == {Verdict.PASS}


def test_between_pass_and_fail_it_is_undecided_and_open_and_says_why_it_ended() -> None:
    found = judged(two_arms(1.05))
    assert verdicts(found) == {(Verdict.INVALID, Reason.UNDECIDED)}
    assert {judgement.detail for judgement in found.values()} == {"the most rounds are done"}
    assert all(judgement.is_open for judgement in found.values())
    assert "  next       run it longer (more minutes in scenarios.regression.rounds); `perfgate report" in text(
        found[CPU]
    )


@pytest.mark.parametrize(("margin", "verdict"), [(0.02, Verdict.FAIL), (0.2, Verdict.PASS)])
def test_each_limit_has_its_own_margin(margin: float, verdict: Verdict) -> None:
    of = {**limits(), **limits("rss_mib", margin=margin)}
    found = judged(two_arms(1.08), of)
    assert found["rss_mib"].verdict is verdict
    assert found["rss_mib"].compared is not None
    assert found["rss_mib"].compared.allowed_ratio == 1 + margin


class TestFloor:
    def test_a_difference_below_it_does_not_matter_however_large_its_ratio(self) -> None:
        """0.2 ms where 1 ms are usual: +20 %."""
        old = [replace(truth, cpu_ms=truth.cpu_ms / 8) for truth in arm()]
        new = [replace(truth, cpu_ms=truth.cpu_ms / 8) for truth in arm(1.2, WOBBLE[::-1])]
        measured = comparison(old, new)
        assert judged(measured, limits(CPU))[CPU].verdict is Verdict.FAIL
        with_floor = judged(measured, limits(CPU, floor=0.3))[CPU]
        assert with_floor.verdict is Verdict.PASS
        assert with_floor.compared is not None
        assert with_floor.compared.allowed_ratio == pytest.approx(1.3, rel=0.001)

    def test_above_it_the_margin_holds(self) -> None:
        found = judged(two_arms(1.2), limits(CPU, floor=0.2))[CPU]
        assert found.verdict is Verdict.FAIL
        assert found.compared is not None
        assert found.compared.allowed_ratio == 1.05
        assert "limit      at most +5 %, or 0.2 ms    thresholds.yaml:41 regression.cpu_per_request_ms" in text(found)


class TestFamily:
    """A FAIL pays for all metrics that are judged together."""

    def borderline(self) -> Measurement:
        """CPU is slower, and the p-value of "by 5 % at most" lies between 0.05 / 6 and 0.05."""
        candidate = [replace(truth, cpu_ms=truth.cpu_ms * 1.075) for truth in arm(wobble=WOBBLE[::-1])]
        measured = comparison(arm(), candidate)
        assert ALPHA / 6 < compare(measured, CPU).slowdown.p_not_above(1.05) < ALPHA
        return measured

    def test_a_metric_that_fails_alone_need_not_fail_among_six(self) -> None:
        alone, among = judged(self.borderline(), limits(CPU)), judged(self.borderline())
        assert alone[CPU].verdict is Verdict.FAIL
        assert among[CPU].reason is Reason.UNDECIDED
        assert {among[metric].verdict for metric in FAMILY if metric != CPU} == {Verdict.PASS}

    def test_holm_lets_it_fail_when_all_others_have_failed_before_it(self) -> None:
        measured = self.borderline()
        windows = []
        for window in measured.windows:
            use = window.gateway
            if window.arm == "candidate" and use is not None:
                window = replace(window, gateway=replace(use, rss_after_bytes=2 * use.rss_after_bytes))
            windows.append(window)
        found = judged(replace(measured, windows=tuple(windows)), limits(CPU, "rss_mib"))
        assert {judgement.verdict for judgement in found.values()} == {Verdict.FAIL}

    def test_a_pass_pays_for_nobody(self) -> None:
        for metric in FAMILY:
            assert judged(two_arms(), limits(metric))[metric].verdict is judged(two_arms())[metric].verdict

    def test_what_was_not_measured_is_no_member(self) -> None:
        measured = two_arms()
        measured = replace(measured, windows=tuple(replace(w, gateway=None) for w in measured.windows))
        found = judged(measured)
        assert {metric for metric, one in found.items() if one.reason is Reason.UNMEASURABLE} == {CPU, "rss_mib"}
        assert {one.compared.family for one in found.values() if one.compared} == {4}
        assert list(found) == list(FAMILY), "in the file's order all the same"


class TestLooks:
    def test_each_look_has_its_share_of_the_error(self) -> None:
        for look in (1, 2, 3):
            found = judged(two_arms(look=look, looks=3))[CPU].compared
            assert found is not None
            assert found.alpha == alpha_at_look(ALPHA, look, 3)
            assert found.confidence == 1 - 2 * found.alpha
            assert (found.look, found.looks, found.family) == (look, 3, 6)

    def test_what_an_only_look_decides_the_first_of_several_may_leave_open(self) -> None:
        for measured in (two_arms(1.085), two_arms(1.028)):
            only, first = judged(measured)[CPU], judged(replace(measured, look=1, looks=5))[CPU]
            assert only.verdict in (Verdict.FAIL, Verdict.PASS)
            assert first.reason is Reason.UNDECIDED


# --- reasons, in their order ---

SLOW: Final = arm(2.0, WOBBLE[::-1])
#: Odd generations of the baseline are half as slow again as even ones.
UNSTEADY: Final = [Truth().slower(ratio * w) for ratio, w in zip((1.5, 1.0) * 4, WOBBLE, strict=True)]


def with_problems_from(first: int) -> Measurement:
    """A measurement with all that can be wrong from that number on, in the order in which it is to be found."""
    is_bad = [number >= first for number in range(7)]
    baseline, candidate = UNSTEADY if is_bad[6] else arm(), SLOW
    if is_bad[2]:
        baseline = [replace(truth, failed=10) for truth in baseline]
    if is_bad[3]:
        candidate = [replace(truth, failed=10) for truth in candidate]
    measured = comparison(baseline, candidate, direct_failed=5 if is_bad[1] else 0, lag_ms=9 if is_bad[4] else 0.2)
    if is_bad[5]:
        kept = [w for w in measured.windows if (w.arm, w.generation) != ("candidate", 3)]
        measured = replace(measured, windows=tuple(kept))
    return replace(measured, unasked=("Python differs",) if is_bad[0] else ())


@pytest.mark.parametrize(
    ("first", "verdict", "reason", "said"),
    [
        (0, Verdict.INVALID, Reason.ARMS_DIFFER, "Python differs"),
        (1, Verdict.INVALID, Reason.APPARATUS, "10 requests of the direct arm failed at the mock endpoint: 10 http_5"),
        (2, Verdict.INVALID, Reason.ERRORS, "10.0% of 1,600 requests of the arm baseline failed (160 http_500), at mo"),
        (3, Verdict.FAIL, Reason.ERRORS, "10.0% of 1,400 requests of the arm candidate failed (140 http_500), at most"),
        (4, Verdict.INVALID, Reason.APPARATUS, "the generator sent late: dispatch lag p99 9"),
        (5, Verdict.INVALID, Reason.NOT_MEASURED, "5, 6, 7], the candidate in [0, 1, 2, 4, 5, 6, 7]"),
        (6, Verdict.INVALID, Reason.CONTROL, "the same rule finds the baseline's odd generations slower than even: "),
        (7, Verdict.FAIL, Reason.BEYOND, ""),
    ],
)  # fmt: skip
def test_of_several_things_that_are_wrong_the_first_is_the_reason(
    first: int, verdict: Verdict, reason: Reason, said: str
) -> None:
    found = judged(with_problems_from(first))
    assert verdicts(found) == {(verdict, reason)}
    for judgement in found.values():
        assert said in judgement.detail
        has_figures = reason in (Reason.CONTROL, Reason.BEYOND)
        assert (judgement.compared is not None) == has_figures


def test_too_few_errors_to_be_sure_of_do_not_hide_the_figures() -> None:
    """One in 1,600 is under the 0.1 % that may fail."""
    measured = two_arms()
    first = next(w for w in measured.windows if w.arm == "candidate")
    bad = replace(first, load=replace(first.load, succeeded=first.load.succeeded - 1))
    found = judged(replace(measured, windows=tuple(bad if w is first else w for w in measured.windows)))
    assert verdicts(found) == {(Verdict.PASS, Reason.WITHIN)}


def test_a_baseline_that_was_not_measured_is_no_pass() -> None:
    measured = two_arms()
    only = replace(measured, windows=tuple(w for w in measured.windows if w.arm != "baseline"))
    found = judged(only)
    assert verdicts(found) == {(Verdict.INVALID, Reason.NOT_MEASURED)}
    assert "no window of arm 'baseline'" in found[CPU].detail


def test_nothing_measured_since_the_arms_differ_is_said_without_a_single_window() -> None:
    nothing = replace(two_arms(), windows=(), unasked=("Python differs", "the access log differs"))
    found = judge_comparison(nothing, limits(), health.Health("nothing was measured"))
    assert verdicts(found) == {(Verdict.INVALID, Reason.ARMS_DIFFER)}
    assert found[CPU].detail == "Python differs; the access log differs"
    assert (found[CPU].sent, found[CPU].errors) == (0, ())
    assert not found[CPU].is_open


def test_a_single_generation_is_not_measured() -> None:
    found = judged(comparison(arm(wobble=[1.0]), arm(wobble=[1.0])))
    assert verdicts(found) == {(Verdict.INVALID, Reason.NOT_MEASURED)}
    assert "at least 2 generations" in found[CPU].detail


class TestControl:
    @pytest.mark.parametrize(
        ("ratios", "words"),
        [
            ((1.0, 1.3), "the same rule finds the baseline's even generations slower than odd: "),
            ((1.3, 1.0), "the same rule finds the baseline's odd generations slower than even: "),
        ],
    )
    def test_a_baseline_that_differs_from_itself_is_invalid_in_both_directions(
        self, ratios: tuple[float, float], words: str
    ) -> None:
        wobbling = [Truth().slower(ratio * w) for ratio, w in zip(ratios * 4, WOBBLE, strict=True)]
        found = judged(comparison(wobbling, arm(3.0)))
        assert verdicts(found) == {(Verdict.INVALID, Reason.CONTROL)}
        assert {judgement.detail for judgement in found.values()} == {found[CPU].detail}
        assert found[CPU].detail.startswith(words)
        falling = dict(one.removesuffix(" %").split(" ") for one in found[CPU].detail.removeprefix(words).split(", "))
        assert list(falling) == list(FAMILY)
        assert [float(slowdown) for slowdown in falling.values()] == pytest.approx([30] * 6, abs=1)
        assert not any(judgement.is_open for judgement in found.values())
        lines = text(found[CPU])
        assert "next       run it on a quieter machine, or again" in lines
        assert "  control    " not in lines, "the reason has said it"

    def test_a_difference_within_the_margin_is_none(self) -> None:
        steady = [Truth().slower(ratio * w) for ratio, w in zip((1.0, 1.02) * 4, WOBBLE, strict=True)]
        assert verdicts(judged(comparison(steady, arm(1.3)))) == {(Verdict.FAIL, Reason.BEYOND)}

    def test_it_has_the_same_rule_as_the_candidate(self) -> None:
        """Margin and family count: the same baseline, unsteady in CPU alone."""
        unsteady = [
            replace(truth, cpu_ms=truth.cpu_ms * ratio) for truth, ratio in zip(arm(), (1.0, 1.12) * 4, strict=True)
        ]
        measured = comparison(unsteady, arm())
        assert judged(measured, limits(CPU))[CPU].reason is Reason.CONTROL
        assert judged(measured, limits(CPU, margin=0.15))[CPU].reason is not Reason.CONTROL
        assert judged(replace(measured, looks=5), limits(CPU))[CPU].reason is not Reason.CONTROL

    def test_what_it_found_is_shown_beside_every_other_verdict(self) -> None:
        found = judged(two_arms())[CPU]
        assert found.compared is not None
        assert found.compared.control is not None
        ratio = found.compared.control.slowdown.ratio
        assert f"odd against even generations of the baseline: {(ratio - 1) * 100:+.1f} %, not a FAIL" in text(found)

    def test_with_too_few_generations_there_is_none(self) -> None:
        few = WOBBLE[:3]
        found = judged(comparison(arm(wobble=few), arm(2.0, few[::-1])))[CPU]
        assert found.verdict is Verdict.FAIL
        assert found.compared is not None
        assert found.compared.control is None
        assert "control" not in text(found)


# --- what people read ---


class TestWords:
    def test_the_headline_has_both_figures_the_slowdown_its_interval_and_the_limit(self) -> None:
        found = judged(two_arms(1.2), limits(CPU, floor=0.2))[CPU]
        assert found.compared is not None
        low, high = found.compared.low, found.compared.high
        assert headline(found) == (
            f"FAIL  regression: CPU per request: 8.01 -> 9.61 ms, slowdown +20.0 % (90 % interval "
            f"{(low - 1) * 100:+.1f} to {(high - 1) * 100:+.1f} %), at most +5 %, or 0.2 ms"
        )

    def test_throughput_that_fell_is_a_slowdown_above_0(self) -> None:
        line = headline(judged(two_arms(1.25))["throughput_rps"])
        assert line.startswith("FAIL  regression: requests answered a second: 150 -> 120 requests/s, slowdown +25.")

    def test_the_evidence_says_what_the_run_would_have_failed(self) -> None:
        found = judged(two_arms(look=2, looks=3))[CPU]
        assert found.compared is not None
        smallest = found.compared.smallest_failing_ratio
        assert 1.05 < smallest < 1.2
        assert (
            "evidence   8 generations, 16 rounds, 1,600 requests an arm, look 2 of 3; smallest true slowdown this run "
            f"would have failed at 80 % power: {(smallest - 1) * 100:+.1f} %"
        ) in text(found)

    def test_a_larger_family_and_an_earlier_look_would_have_failed_less(self) -> None:
        def smallest(measured: Measurement, of: Mapping[str, Limit]) -> float:
            compared = judged(measured, of)[CPU].compared
            assert compared is not None
            return compared.smallest_failing_ratio

        alone = smallest(two_arms(), limits(CPU))
        assert smallest(two_arms(), limits()) > alone
        assert smallest(two_arms(look=1, looks=3), limits(CPU)) > alone

    def test_generations_that_all_agree_are_judged_by_the_sign_test_and_it_is_said(self) -> None:
        flat = [1.0] * 8
        found = judged(comparison(arm(wobble=flat), arm(1.2, flat)), limits(CPU))[CPU]
        assert found.verdict is Verdict.FAIL
        assert "every generation gave the same figure: the interval is by the sign test" in text(found)
        assert "sign test" not in text(judged(two_arms(), limits(CPU))[CPU])

    def test_too_few_that_agree_decide_nothing_and_would_have_failed_nothing(self) -> None:
        flat = [1.0] * 3
        found = judged(comparison(arm(wobble=flat), arm(1.2, flat)), limits(CPU))[CPU]
        assert found.reason is Reason.UNDECIDED
        assert found.compared is not None
        assert (found.compared.low, found.compared.high) == (0.0, math.inf)
        assert "failed at 80 % power: none" in text(found)

    def test_arms_that_differ_are_told_what_to_do(self) -> None:
        found = judged(replace(two_arms(), unasked=("the access log is off in baseline, on in candidate",)))[CPU]
        lines = text(found).splitlines()
        assert lines[0] == (
            "INVALID  regression: CPU per request: not a comparison: the arms differ in what nobody asked for"
        )
        assert lines[1] == "  because    the access log is off in baseline, on in candidate"
        assert lines[-1].startswith("  next       make the arms alike in that, or compare something else; ")

    def test_errors_are_listed_by_kind(self) -> None:
        failing = [replace(truth, failed=20) for truth in arm()]
        lines = text(judged(comparison(arm(), failing))[CPU])
        assert "errors     of 1,600 requests: 320 http_500 (500 boom)" in lines
        assert "next       mend the errors named above first" in lines

    def test_an_unfit_apparatus_has_its_likely_causes(self) -> None:
        assert "likely     1. another process takes the generator's core" in text(judged(two_arms(lag_ms=9))[CPU])


# --- many runs whose truth is known ---


def drawn(ratio: float, rng: np.random.Generator, *, generations: int = 10) -> Measurement:
    """Processes of one release differ by 2 %, windows by 10 %, each in its own way in every figure.

    Args:
        ratio: of the candidate, in everything.
        rng: of all that is random.
        generations: of each arm.
    """

    def noisy(truth: Truth, sd: float) -> Truth:
        overhead, cpu, rss, rps = np.exp(rng.normal(0, sd, 4))
        return replace(
            truth,
            overhead_ms=truth.overhead_ms * overhead,
            cpu_ms=truth.cpu_ms * cpu,
            rss_mib=truth.rss_mib * rss,
            rps=truth.rps * rps,
        )

    # Forty windows of a generation are one whose noise is a sixth of theirs.
    of_arms = [
        [noisy(noisy(Truth().slower(of_arm), 0.02), 0.10 / math.sqrt(40)) for _ in range(generations)]
        for of_arm in (1.0, ratio)
    ]
    return comparison(of_arms[0], of_arms[1], rounds=1, look=3, looks=3)


def counted(ratio: float, runs: int, of: Mapping[str, Limit] | None = None) -> Mapping[str, int]:
    """Of so many runs: how many have a FAIL, pass as a whole, are INVALID by the control."""
    rng = np.random.default_rng(20_260_101)
    counts = {"fail": 0, "pass": 0, "control": 0}
    for _ in range(runs):
        found = judged(drawn(ratio, rng), of).values()
        counts["fail"] += any(one.verdict is Verdict.FAIL for one in found)
        counts["pass"] += all(one.verdict is Verdict.PASS for one in found)
        counts["control"] += any(one.reason is Reason.CONTROL for one in found)
    return counts


@pytest.mark.slow
def test_equal_arms_never_fail_and_hardly_ever_fail_the_control() -> None:
    counts = counted(1.0, 120)
    assert counts["fail"] == 0
    assert counts["control"] <= 3
    assert counts["pass"] >= 90


@pytest.mark.slow
def test_a_candidate_that_is_slower_by_a_fifth_fails_whenever_the_control_holds() -> None:
    counts = counted(1.2, 60)
    assert counts["fail"] + counts["control"] == 60
    assert counts["control"] <= 2


@pytest.mark.slow
def test_a_candidate_exactly_at_its_margin_fails_no_more_often_than_alpha_says() -> None:
    """All six limits are kept by a hair; any FAIL is false. 5 % of 150 and three standard deviations are 15."""
    assert counted(1.05, 150)["fail"] <= 15


# --- "the same" is a claim of its own ---


def equivalent(*metrics: str, within: float = 0.05) -> Mapping[str, Limit]:
    return {
        metric: Limit(metric, "a reason", "thresholds.yaml", 41, equivalent_within=within)
        for metric in metrics or FAMILY
    }


def claimed(claim: float, margin: float = 0.5) -> Mapping[str, Limit]:
    return {CPU: Limit(CPU, "a reason", "thresholds.yaml", 41, margin=margin, claim=claim)}


class TestEquivalence:
    def test_equal_arms_are_equivalent(self) -> None:
        found = judged(two_arms(), equivalent())
        assert verdicts(found) == {(Verdict.PASS, Reason.WITHIN)}
        assert {judgement.detail for judgement in found.values()} == {"equivalent"}
        assert headline(found[CPU]).endswith(", equivalent within 5 %")

    @pytest.mark.parametrize("ratio", [1.2, 1 / 1.2])
    def test_what_is_wholly_outside_is_different_whichever_way(self, ratio: float) -> None:
        found = judged(two_arms(ratio), equivalent())
        assert verdicts(found) == {(Verdict.FAIL, Reason.BEYOND)}
        assert found[CPU].detail.startswith("different by +2" if ratio > 1 else "different by -1")

    @pytest.mark.parametrize("ratio", [1.05, 1 / 1.05])
    def test_between_the_two_it_cannot_tell_and_says_what_it_could_have_seen(self, ratio: float) -> None:
        judgement = judged(two_arms(ratio), equivalent())[CPU]
        assert (judgement.verdict, judgement.reason) == (Verdict.INVALID, Reason.UNDECIDED)
        assert judgement.compared is not None
        seen = (judgement.compared.smallest_failing_ratio - 1) * 100
        assert judgement.detail == f"can't tell (could have seen {seen:+.1f} %): the most rounds are done"

    def test_an_improvement_beyond_it_is_different_and_no_improvement(self) -> None:
        judgement = judged(two_arms(0.7), equivalent())[CPU]
        assert judgement.verdict is Verdict.FAIL
        assert "improvement" not in text(judgement)

    def test_it_stands_in_one_family_with_margins(self) -> None:
        mixed = {**equivalent(CPU), **limits("throughput_rps", "rss_mib", margin=0.5)}
        found = judged(two_arms(1.2), mixed)
        assert [judgement.verdict for judgement in found.values()] == [Verdict.FAIL, Verdict.PASS, Verdict.PASS]
        assert {judgement.compared.family for judgement in found.values() if judgement.compared} == {3}

    def test_among_margins_that_pass_it_needs_more_to_fail_than_alone(self) -> None:
        """CPU is less by 7.5 %, which is too much for one limit and too little to be sure of one among six."""
        measured = comparison(
            arm(), [replace(truth, cpu_ms=truth.cpu_ms / 1.075) for truth in arm(wobble=WOBBLE[::-1])]
        )
        alone, among = judged(measured, equivalent(CPU)), judged(measured, {**limits(), **equivalent(CPU)})
        assert alone[CPU].verdict is Verdict.FAIL
        assert among[CPU].reason is Reason.UNDECIDED
        assert {among[metric].verdict for metric in FAMILY if metric != CPU} == {Verdict.PASS}

    @pytest.mark.parametrize(
        ("ratios", "words"),
        [((1.0, 1.3), "even generations slower than odd: "), ((1.3, 1.0), "odd generations slower than even: ")],
    )
    def test_a_baseline_that_differs_from_itself_is_invalid_and_it_is_said_which_way(
        self, ratios: tuple[float, float], words: str
    ) -> None:
        wobbling = [Truth().slower(ratio * w) for ratio, w in zip(ratios * 4, WOBBLE, strict=True)]
        found = judged(comparison(wobbling, arm()), equivalent())
        assert verdicts(found) == {(Verdict.INVALID, Reason.CONTROL)}
        assert found[CPU].detail.startswith(f"the same rule finds the baseline's {words}{CPU} +")

    def test_too_few_generations_to_see_anything_say_so(self) -> None:
        flat = [1.0] * 3
        judgement = judged(comparison(arm(wobble=flat), arm(1.2, flat)), equivalent(CPU))[CPU]
        assert judgement.detail == "can't tell (could have seen nothing): the most rounds are done"


class TestClaims:
    """A limit may be what is known, and a claim that is not kept is said beside it."""

    @pytest.mark.parametrize(
        ("ratio", "words"),
        [
            (1.0, "equivalent within 5 %: holds"),
            (1.2, "equivalent within 5 %: refuted, different by +2"),
            (1.05, "equivalent within 5 %: neither shown nor refuted"),
        ],
    )
    def test_what_becomes_of_it_is_said_while_the_limit_passes(self, ratio: float, words: str) -> None:
        judgement = judged(two_arms(ratio), claimed(0.05))[CPU]
        assert judgement.verdict is Verdict.PASS
        assert judgement.compared is not None
        assert judgement.compared.claim.startswith(words)
        assert f"  claim      {words}" in text(judgement)

    def test_a_wider_claim_is_another_one(self) -> None:
        judgement = judged(two_arms(1.2), claimed(0.4))[CPU]
        assert judgement.compared is not None
        assert judgement.compared.claim == "equivalent within 40 %: holds"

    @pytest.mark.parametrize(("ratio", "is_open"), [(1.0, False), (1.2, False), (1.05, True)])
    def test_one_that_is_neither_shown_nor_refuted_is_worth_more_rounds(self, ratio: float, is_open: bool) -> None:
        assert judged(two_arms(ratio), claimed(0.05))[CPU].is_open == is_open

    def test_where_nobody_claims_anything_nothing_is_said(self) -> None:
        assert "claim" not in text(judged(two_arms())[CPU])


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [1.05, 1 / 1.05])
def test_arms_exactly_as_far_apart_as_is_allowed_are_called_different_no_more_often_than_alpha_says(
    ratio: float,
) -> None:
    """As `test_a_candidate_exactly_at_its_margin_...`, at either end."""
    assert counted(ratio, 150, equivalent())["fail"] <= 15


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [1.08, 1 / 1.08])
def test_arms_that_are_further_apart_than_is_allowed_are_hardly_ever_called_equivalent(ratio: float) -> None:
    """All six limits are broken; a PASS of the whole needs six wrong ones."""
    assert counted(ratio, 60, equivalent())["pass"] == 0
