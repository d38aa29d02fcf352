"""Do small steps, each within its limit, fail together; and is drift said wherever verdicts are?"""

from dataclasses import replace
from datetime import date

import pytest

from perfgate.comparison_verdict import judge_comparison
from perfgate.drift import Drifted, DriftLimit, NotJudged
from perfgate.drift_verdict import with_drift
from perfgate.exit_codes import ExitCode
from perfgate.experiment import health
from perfgate.experiment.comparison import against, compare
from perfgate.experiment.measurement import Measurement
from perfgate.record_entries import judgement_record
from perfgate.report.terminal import closing_line, drifts, table
from perfgate.stats.decision import Decision
from perfgate.thresholds import Limit
from perfgate.verdict import Judgement, Reason, Surroundings, Verdict, explain, judge
from perfgate.waivers import Waiver, WaiverStanding
from tests.harness.report.conftest import APPARATUS, a_record, two_arms
from tests.harness.synthetic import measurement

AROUND = Surroundings("2 cores", "litellm 1.106.2", "pytest tests/perf --seed 7", "record.json")
AGAINST = "litellm 1.79.3 of 2026-01-01 (docs/baseline.json)"
CPU = "cpu_per_request_ms"
#: What `two_arms` makes of the baseline's CPU per request.
CPU_MS = 8.0


def since(figure: float, budget: float = 0.15) -> DriftLimit:
    return DriftLimit(figure, 1 + budget, AGAINST)


def of_comparison(
    ratio: float, drift: DriftLimit | NotJudged, margin: float = 0.1, measured: Measurement | None = None
) -> Judgement:
    """The candidate's CPU is 8 ms times the ratio."""
    measured = measured or two_arms(ratio)
    limits = {CPU: Limit(CPU, "a reason", "thresholds.yaml", 8, margin=margin, drift=0.15)}
    judgements = judge_comparison(measured, limits, health.check(measured, APPARATUS))
    return with_drift(judgements, measured, {CPU: drift})[CPU]


def of_figure(drift: DriftLimit | NotJudged, measured: Measurement | None = None, maximum: float = 25) -> Judgement:
    """The p95 of the overhead is 12 ms."""
    measured = measured or measurement(gateway_ms=12)
    limit = Limit("overhead_p95_ms", "a reason", "thresholds.yaml", 8, maximum=maximum, drift=0.15)
    judgement = judge(measured, limit, health.check(measured, APPARATUS), None)
    return with_drift({limit.metric: judgement}, measured, {limit.metric: drift})[limit.metric]


def outcome(judgement: Judgement) -> tuple[Verdict, Reason]:
    return judgement.verdict, judgement.reason


def decision(judgement: Judgement) -> Decision | None:
    return judgement.drift.decision if isinstance(judgement.drift, Drifted) else None


def test_ten_steps_of_four_percent_that_pass_one_by_one_fail_together() -> None:
    figure, verdicts = CPU_MS, []
    for _ in range(10):
        step = of_comparison(1.04, since(figure), margin=0.1)
        verdicts.append(step.verdict)
        figure /= 1.04  # the record stays where it was, and what is measured gets further from it
    assert verdicts[:2] == [Verdict.PASS, Verdict.PASS]
    assert set(verdicts[4:]) == {Verdict.FAIL}


@pytest.mark.parametrize(
    ("figure", "expected", "reason"),
    [
        (CPU_MS, Decision.PASS, (Verdict.PASS, Reason.WITHIN)),
        (CPU_MS / 1.3, Decision.FAIL, (Verdict.FAIL, Reason.DRIFT)),
        (CPU_MS / 1.15, Decision.UNDECIDED, (Verdict.INVALID, Reason.UNDECIDED)),
        (CPU_MS * 2, Decision.PASS, (Verdict.PASS, Reason.WITHIN)),
    ],
)
def test_a_step_that_passes_is_judged_by_its_drift_too(
    figure: float, expected: Decision, reason: tuple[Verdict, Reason]
) -> None:
    judgement = of_comparison(1.0, since(figure))
    assert (decision(judgement), outcome(judgement)) == (expected, reason)
    assert judgement.is_open is (expected is Decision.UNDECIDED)


@pytest.mark.parametrize(
    ("figure", "expected", "reason"),
    [
        (12.0, Decision.PASS, (Verdict.PASS, Reason.WITHIN)),
        (9.0, Decision.FAIL, (Verdict.FAIL, Reason.DRIFT)),
        (
            measurement(gateway_ms=12).overhead_ms(95).value / 1.15,
            Decision.UNDECIDED,
            (Verdict.INVALID, Reason.UNDECIDED),
        ),
    ],
)
def test_so_is_a_figure_under_its_maximum(figure: float, expected: Decision, reason: tuple[Verdict, Reason]) -> None:
    judgement = of_figure(since(figure))
    assert (decision(judgement), outcome(judgement)) == (expected, reason)


def test_throughput_that_fell_since_then_is_drift() -> None:
    measured = two_arms(1.0)
    limits = {"throughput_rps": Limit("throughput_rps", "a reason", "thresholds.yaml", 8, margin=0.1, drift=0.15)}
    judgements = judge_comparison(measured, limits, health.check(measured, APPARATUS))
    for figure, verdict in ((200.0, Verdict.FAIL), (100.0, Verdict.PASS)):
        (found,) = with_drift(judgements, measured, {"throughput_rps": since(figure)}).values()
        assert found.verdict is verdict


def test_the_interval_against_a_given_figure_is_that_of_the_candidate_alone() -> None:
    measured = two_arms(1.3)
    found = against(measured, CPU, CPU_MS)
    candidate = compare(measured, CPU).candidate
    assert (found.baseline, found.candidate) == pytest.approx((CPU_MS, candidate))
    assert found.slowdown.ratio == pytest.approx(candidate / CPU_MS)
    assert found.slowdown.low(0.05) < candidate / CPU_MS < found.slowdown.high(0.05)


def test_a_step_that_is_undecided_fails_where_the_drift_is_certain() -> None:
    assert of_comparison(1.1, since(CPU_MS)).reason is Reason.UNDECIDED
    assert outcome(of_comparison(1.1, since(CPU_MS / 1.5))) == (Verdict.FAIL, Reason.DRIFT)


def test_a_step_that_fails_stays_the_reason_and_the_drift_is_said_beside_it() -> None:
    judgement = of_comparison(1.5, since(CPU_MS))
    assert (outcome(judgement), decision(judgement)) == ((Verdict.FAIL, Reason.BEYOND), Decision.FAIL)


def test_what_was_not_read_has_no_drift() -> None:
    for judgement in (
        of_figure(since(1.0), measurement(lag_ms=9)),
        of_figure(since(1.0), measurement(failed=40)),
        of_comparison(1.0, since(1.0), measured=replace(two_arms(1.0), unasked=("Python differs",))),
    ):
        assert judgement.drift == NotJudged("this run has no figure that could be judged")
        assert judgement.reason in (Reason.APPARATUS, Reason.ERRORS, Reason.ARMS_DIFFER)


def test_drift_that_is_not_judged_changes_no_verdict() -> None:
    why = NotJudged("this host is of no class")
    assert outcome(of_comparison(1.0, why)) == (Verdict.PASS, Reason.WITHIN)
    assert outcome(of_figure(why, maximum=5)) == (Verdict.FAIL, Reason.BEYOND)
    assert of_figure(why).drift == why


def test_a_waiver_does_not_cover_drift() -> None:
    measured = measurement(gateway_ms=12)
    waiver = Waiver(25, date(2026, 12, 31), "mended soon", "https://example.org/1", "thresholds.yaml", 61)
    limit = Limit("overhead_p95_ms", "a reason", "thresholds.yaml", 8, maximum=5, waiver=waiver, drift=0.15)
    judgement = judge(measured, limit, health.check(measured, APPARATUS), None)
    assert judgement.reason is Reason.WAIVED
    found = with_drift({limit.metric: judgement}, measured, {limit.metric: since(4.0)})[limit.metric]
    assert (outcome(found), found.waived) == ((Verdict.FAIL, Reason.DRIFT), WaiverStanding.NEEDED)
    kept = judgement_record(found)
    assert (kept.verdict_words, kept.is_waived) == ("FAIL", False)
    assert " 0 PASS, 1 FAIL" in closing_line(a_record(judgements=[kept]), ExitCode.FAIL)


def test_a_failure_by_drift_is_final_though_it_is_open_whether_a_waiver_is_needed() -> None:
    measured = measurement(gateway_ms=12)
    waiver = Waiver(25, date(2026, 12, 31), "mended soon", "https://example.org/1", "thresholds.yaml", 61)
    value = measured.overhead_ms(95).value
    limit = Limit("overhead_p95_ms", "a reason", "thresholds.yaml", 8, maximum=value, waiver=waiver, drift=0.15)
    judgement = judge(measured, limit, health.check(measured, APPARATUS), None)
    assert judgement.is_open
    assert not with_drift({limit.metric: judgement}, measured, {limit.metric: since(4.0)})[limit.metric].is_open


def test_limits_without_a_drift_are_left_as_they_are() -> None:
    measured = two_arms(1.0)
    limits = {name: Limit(name, "a reason", "thresholds.yaml", 8, margin=0.1) for name in (CPU, "rss_mib")}
    judgements = judge_comparison(measured, limits, health.check(measured, APPARATUS))
    found = with_drift(judgements, measured, {CPU: since(CPU_MS)})
    assert list(found) == [CPU, "rss_mib"]
    assert found["rss_mib"] is judgements["rss_mib"]


def test_drifts_are_a_family_in_which_more_evidence_is_asked_of_each() -> None:
    """Among six of them, one that alone is just beyond its budget is no FAIL."""
    measured = two_arms(1.0)
    names = (CPU, "throughput_rps", "overhead_p50_ms", "overhead_p95_ms", "overhead_p99_ms", "rss_mib")
    limits = {name: Limit(name, "a reason", "thresholds.yaml", 8, margin=0.5, drift=0.15) for name in names}
    judgements = judge_comparison(measured, limits, health.check(measured, APPARATUS))
    figures = {name: compare(measured, name).candidate for name in names}
    beyond = figures[CPU] / 1.15 / 1.03
    alone = with_drift(judgements, measured, {CPU: since(beyond)})
    among = with_drift(judgements, measured, {name: since(figures[name]) for name in names} | {CPU: since(beyond)})
    assert decision(alone[CPU]) is Decision.FAIL
    assert decision(among[CPU]) is Decision.UNDECIDED


# --- what is said ---


def test_a_failure_by_drift_says_from_what_by_how_much_and_what_to_do() -> None:
    lines = explain(of_comparison(1.0, since(CPU_MS / 1.3)), AROUND)
    assert lines[0].startswith("FAIL  regression: CPU per request: 8 -> 8 ms, slowdown ")
    assert lines[1] == "  because    the drift below is what fails"
    (drift,) = [line for line in lines if line.startswith("  drift ")]
    assert drift.startswith("  drift      +30.0 % (+")
    assert drift.endswith(f" %) from 6.15 ms of {AGAINST}, at most +15.0 %: exceeded")
    assert lines[-1] == (
        "  next       find which step it came by, or agree on what it costs and commit a new record; `perfgate "
        "report record.json` draws what was measured"
    )


def test_a_pass_whose_drift_is_undecided_says_so() -> None:
    lines = explain(of_comparison(1.0, since(CPU_MS / 1.15)), AROUND)
    assert lines[0].startswith("INVALID  regression: CPU per request:")
    assert lines[1] == "  because    the step passes, but its drift is undecided; the most rounds are done"


def test_each_drift_has_a_line_below_the_table_and_those_not_judged_are_said_by_reason() -> None:
    why = NotJudged("this host is of no class")
    judged = [of_comparison(1.0, since(CPU_MS)), of_comparison(1.0, why), of_figure(why), of_figure(since(12.0))]
    first, second, third = drifts([judgement_record(one) for one in judged])
    assert first.startswith(("regression: CPU per request: -0.0 % (", "regression: CPU per request: +0.0 % ("))
    assert first.endswith(f" %) from 8 ms of {AGAINST}, at most +15.0 %: kept")
    assert second.startswith("overhead: gateway overhead, p95: ")
    assert third == (
        "not judged, this host is of no class: regression: CPU per request; overhead: gateway overhead, p95"
    )


def test_the_table_shows_the_verdict_that_drift_leaves() -> None:
    row = table([judgement_record(of_figure(since(9.0)))], 140, colour=False).splitlines()[1]
    assert row.endswith("FAIL")


def test_the_record_has_the_figures_of_what_was_judged_and_words_alone_of_what_was_not() -> None:
    kept = judgement_record(of_comparison(1.0, since(CPU_MS / 1.3))).drift
    assert kept is not None
    assert (kept.outcome, kept.figure, kept.allowed_ratio) == ("exceeded", CPU_MS / 1.3, 1.15)
    assert kept.low is not None
    assert kept.ratio is not None
    assert kept.high is not None
    assert kept.ratio == pytest.approx(1.3, rel=0.01)
    assert kept.low < kept.ratio < kept.high
    unjudged = judgement_record(of_figure(NotJudged("this host is of no class"))).drift
    assert unjudged is not None
    assert (unjudged.outcome, unjudged.words, unjudged.ratio) == ("not judged", "this host is of no class", None)
