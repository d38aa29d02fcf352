"""Is the candidate slower than the baseline, or another, by more than is allowed, and what is a person told about it?

Comes in: a measurement with the arms `baseline` and `candidate`, and all limits of its scenario that compare the two,
since they are judged as one family. Goes out: a `Judgement` for each. The questions in order: is it a comparison at all
(the arms differ only in what was asked for), was the apparatus fit, did requests succeed, does the same rule find the
baseline slower than itself, what do the figures say. No I/O, no pytest.
"""

from collections.abc import Mapping
from typing import Final

from perfgate.experiment.arms import BASELINE, CANDIDATE
from perfgate.experiment.comparison import Comparison, compare, control
from perfgate.experiment.health import Health
from perfgate.experiment.measurement import Measurement, NotMeasured, Unmeasurable
from perfgate.measure.histogram import NoRequests
from perfgate.stats.comparison import Slowdown, TooFewGenerations
from perfgate.stats.decision import Decision
from perfgate.stats.evidence import Evidence, allowed_ratio, equivalence_evidence, judge, regression_evidence
from perfgate.stats.family import judge_all
from perfgate.stats.sequential import alpha_at_look
from perfgate.thresholds import Limit
from perfgate.verdict import (
    DEFAULT_ERROR_RATIO_MAX,
    Compared,
    Judgement,
    Reason,
    Verdict,
    errors_decision,
    percent_words,
    seen_words,
)
from perfgate.waivers import WaiverStanding

#: The chance of a FAIL anywhere in the family while every limit is kept, and of a PASS for a limit that is broken; of
#: the whole run, all looks together.
ALPHA: Final = 0.05


def judge_comparison(measurement: Measurement, limits: Mapping[str, Limit], health: Health) -> Mapping[str, Judgement]:
    """Judge all limits of a comparison.

    Args:
        measurement: after any look; what it may claim depends on which.
        limits: by metric, as they hold in the run's profile; each is relative. What can fail is a limit or, where it is
            waived, its ceiling: those make the family.
        health: of the apparatus.
    """
    measured = any(window.arm == CANDIDATE for window in measurement.windows)
    sent = measurement.requests(CANDIDATE) if measured else 0
    errors = measurement.errors(CANDIDATE) if measured else ()

    held = {metric: limit.at_ceiling() or limit for metric, limit in limits.items()}

    def said(
        limit: Limit,
        verdict: Verdict,
        reason: Reason,
        detail: str = "",
        compared: Compared | None = None,
        waived: WaiverStanding = WaiverStanding.NOT_JUDGED,
    ) -> Judgement:
        return Judgement(
            measurement.scenario,
            limit.metric,
            verdict,
            reason,
            limit,
            None,
            health,
            errors,
            sent,
            detail,
            compared,
            ceiling=None if limit.waiver is None else held[limit.metric],
            waived=None if limit.waiver is None else waived,
        )

    def all_said(verdict: Verdict, reason: Reason, detail: str) -> Mapping[str, Judgement]:
        return {metric: said(limit, verdict, reason, detail) for metric, limit in limits.items()}

    if measurement.unasked:
        return all_said(Verdict.INVALID, Reason.ARMS_DIFFER, "; ".join(measurement.unasked))
    unfit = "; ".join(health.complaints)
    if not health.counts_are_fit:
        return all_said(Verdict.INVALID, Reason.APPARATUS, unfit)
    try:
        for arm, verdict in ((BASELINE, Verdict.INVALID), (CANDIDATE, Verdict.FAIL)):
            share = measurement.error_ratio(arm)
            if errors_decision(share, DEFAULT_ERROR_RATIO_MAX) is Decision.FAIL:
                kinds = ", ".join(f"{error.count:,} {error.kind}" for error in measurement.errors(arm))
                return all_said(
                    verdict,
                    Reason.ERRORS,
                    f"{share.value:.1%} of {measurement.requests(arm):,} requests of the arm {arm} failed ({kinds}), "
                    f"at most {DEFAULT_ERROR_RATIO_MAX:.2%} may",
                )
    except NotMeasured as error:
        return all_said(Verdict.INVALID, Reason.NOT_MEASURED, str(error))
    if not health.is_fit:
        return all_said(Verdict.INVALID, Reason.APPARATUS, unfit)

    found: dict[str, Comparison] = {}
    judgements: dict[str, Judgement] = {}
    for metric, limit in limits.items():
        try:
            found[metric] = compare(measurement, metric)
        except Unmeasurable as error:
            judgements[metric] = said(limit, Verdict.INVALID, Reason.UNMEASURABLE, str(error))
        except (NotMeasured, NoRequests, TooFewGenerations) as error:
            judgements[metric] = said(limit, Verdict.INVALID, Reason.NOT_MEASURED, str(error))
    alpha = alpha_at_look(ALPHA, measurement.look, measurement.looks)
    controls = {metric: again for metric in found if (again := control(measurement, metric)) is not None}
    decisions = _decisions(found, held, alpha)
    complaint = _complaint(controls, held, alpha)
    for metric, comparison in found.items():
        limit, slowdown = limits[metric], comparison.slowdown
        claim, claim_is_open = _claim(limit, slowdown, alpha)
        compared = Compared(
            comparison,
            allowed_ratio=_allowed(held[metric], comparison),
            alpha=alpha,
            family=len(found),
            look=measurement.look,
            looks=measurement.looks,
            control=controls.get(metric),
            claim=claim,
            claim_is_open=claim_is_open,
        )
        if complaint:
            judgements[metric] = said(limit, Verdict.INVALID, Reason.CONTROL, complaint, compared)
        elif decisions[metric] is Decision.FAIL:
            different = f"different by {percent_words(slowdown.ratio)}" if limit.equivalent_within is not None else ""
            judgements[metric] = said(limit, Verdict.FAIL, Reason.BEYOND, different, compared, WaiverStanding.BROKEN)
        elif decisions[metric] is Decision.PASS and (unkept := _unkept(limit, comparison, alpha)) is not None:
            judgements[metric] = said(limit, Verdict.PASS, Reason.WAIVED, "", compared, unkept)
        elif decisions[metric] is Decision.PASS:
            better = "an improvement" if slowdown.is_improvement(alpha) else ""
            same = "equivalent" if limit.equivalent_within is not None else better
            judgements[metric] = said(limit, Verdict.PASS, Reason.WITHIN, same, compared, WaiverStanding.NOT_NEEDED)
        else:
            detail = measurement.stopped
            if limit.equivalent_within is not None:
                detail = f"can't tell ({seen_words(compared)}): {detail}"
            judgements[metric] = said(limit, Verdict.INVALID, Reason.UNDECIDED, detail, compared)
    return {metric: judgements[metric] for metric in limits}


def _decisions(
    comparisons: Mapping[str, Comparison], limits: Mapping[str, Limit], alpha: float
) -> Mapping[str, Decision]:
    evidence = [_evidence(limits[metric], one) for metric, one in comparisons.items()]
    return dict(zip(comparisons, judge_all(evidence, alpha_fail=alpha, alpha_pass=alpha), strict=True))


def _evidence(limit: Limit, comparison: Comparison) -> Evidence:
    if limit.equivalent_within is not None:
        return equivalence_evidence(comparison.slowdown, limit.equivalent_within)
    return regression_evidence(comparison.slowdown, _allowed(limit, comparison))


def _unkept(limit: Limit, comparison: Comparison, alpha: float) -> WaiverStanding | None:
    """Of a waived limit whose ceiling is kept, how much the waiver is needed; None when it is not, or there is none."""
    if limit.waiver is None:
        return None
    match judge(_evidence(limit, comparison), alpha_fail=alpha, alpha_pass=alpha):
        case Decision.PASS:
            return None
        case Decision.FAIL:
            return WaiverStanding.NEEDED
        case _:
            return WaiverStanding.PERHAPS_NEEDED


def _allowed(limit: Limit, comparison: Comparison) -> float:
    assert limit.decided_within is not None
    return allowed_ratio(limit.decided_within, limit.floor, comparison.baseline)


def _claim(limit: Limit, slowdown: Slowdown, alpha: float) -> tuple[str, bool]:
    """What became of a claim of equivalence, judged by itself, and whether it is open; empty where there is none."""
    if limit.claim is None:
        return "", False
    claimed = f"equivalent within {limit.claim * 100:g} %"
    match judge(equivalence_evidence(slowdown, limit.claim), alpha_fail=alpha, alpha_pass=alpha):
        case Decision.PASS:
            return f"{claimed}: holds", False
        case Decision.FAIL:
            return f"{claimed}: refuted, different by {percent_words(slowdown.ratio)}", False
        case _:
            return f"{claimed}: neither shown nor refuted", True


def _complaint(controls: Mapping[str, Comparison], limits: Mapping[str, Limit], alpha: float) -> str:
    """What is wrong when the rule fails the baseline against itself, in either direction; empty when it does not."""
    for turned, words in ((False, "even generations slower than odd"), (True, "odd generations slower than even")):
        tried = {metric: _turned(one) if turned else one for metric, one in controls.items()}
        # Equivalence falls either way round: the words are for the one in which it is slower.
        fallen = [
            metric
            for metric, decision in _decisions(tried, limits, alpha).items()
            if decision is Decision.FAIL and tried[metric].slowdown.ratio > 1
        ]
        if fallen:
            return f"the same rule finds the baseline's {words}: " + ", ".join(
                f"{metric} {percent_words(tried[metric].slowdown.ratio)}" for metric in fallen
            )
    return ""


def _turned(comparison: Comparison) -> Comparison:
    """The same with the arms changed over."""
    slowdown = comparison.slowdown
    return Comparison(
        comparison.metric,
        comparison.candidate,
        comparison.baseline,
        Slowdown(-slowdown.log_mean, slowdown.standard_error, slowdown.degrees_of_freedom),
        comparison.rounds,
        comparison.generations,
        comparison.requests,
    )
