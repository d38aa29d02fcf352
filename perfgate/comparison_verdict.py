"""Is the candidate slower than the baseline by more than its margins allow, and what is a person told about it?

Comes in: a measurement with the arms `baseline` and `candidate`, and all limits by margin of its scenario, since they
are judged as one family. Goes out: a `Judgement` for each. The questions in order: is it a comparison at all (the
arms differ only in what was asked for), was the apparatus fit, did requests succeed, does the same rule find the
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
from perfgate.stats.evidence import allowed_ratio, regression_evidence
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
)

#: The chance of a FAIL anywhere in the family while every limit is kept, and of a PASS for a limit that is broken; of
#: the whole run, all looks together.
ALPHA: Final = 0.05


def judge_comparison(measurement: Measurement, limits: Mapping[str, Limit], health: Health) -> Mapping[str, Judgement]:
    """Judge all limits of a comparison.

    Args:
        measurement: after any look; what it may claim depends on which.
        limits: by metric, as they hold in the run's profile; each has a margin.
        health: of the apparatus.
    """
    measured = any(window.arm == CANDIDATE for window in measurement.windows)
    sent = measurement.requests(CANDIDATE) if measured else 0
    errors = measurement.errors(CANDIDATE) if measured else ()

    def said(
        limit: Limit, verdict: Verdict, reason: Reason, detail: str = "", compared: Compared | None = None
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
    decisions = _decisions(found, limits, alpha)
    complaint = _complaint(controls, limits, alpha)
    for metric, comparison in found.items():
        limit, slowdown = limits[metric], comparison.slowdown
        compared = Compared(
            comparison,
            allowed_ratio=_allowed(limit, comparison),
            alpha=alpha,
            family=len(found),
            look=measurement.look,
            looks=measurement.looks,
            control=controls.get(metric),
        )
        if complaint:
            judgements[metric] = said(limit, Verdict.INVALID, Reason.CONTROL, complaint, compared)
        elif decisions[metric] is Decision.FAIL:
            judgements[metric] = said(limit, Verdict.FAIL, Reason.BEYOND, compared=compared)
        elif decisions[metric] is Decision.PASS:
            better = "an improvement" if slowdown.is_improvement(alpha) else ""
            judgements[metric] = said(limit, Verdict.PASS, Reason.WITHIN, better, compared)
        else:
            judgements[metric] = said(limit, Verdict.INVALID, Reason.UNDECIDED, measurement.stopped, compared)
    return {metric: judgements[metric] for metric in limits}


def _decisions(
    comparisons: Mapping[str, Comparison], limits: Mapping[str, Limit], alpha: float
) -> Mapping[str, Decision]:
    evidence = [regression_evidence(one.slowdown, _allowed(limits[metric], one)) for metric, one in comparisons.items()]
    return dict(zip(comparisons, judge_all(evidence, alpha_fail=alpha, alpha_pass=alpha), strict=True))


def _allowed(limit: Limit, comparison: Comparison) -> float:
    assert limit.margin is not None
    return allowed_ratio(limit.margin, limit.floor, comparison.baseline)


def _complaint(controls: Mapping[str, Comparison], limits: Mapping[str, Limit], alpha: float) -> str:
    """What is wrong when the rule fails the baseline against itself, in either direction; empty when it does not."""
    for turned, words in ((False, "even generations slower than odd"), (True, "odd generations slower than even")):
        tried = {metric: _turned(one) if turned else one for metric, one in controls.items()}
        fallen = [metric for metric, decision in _decisions(tried, limits, alpha).items() if decision is Decision.FAIL]
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
