"""Has a figure drifted too far from the committed record, though every step on the way kept to its limit?

Comes in: verdicts as they are without it, the measurement, the drift limits. Goes out: the verdicts with what drift
says of them. A budget that is exceeded is a FAIL, one that is undecided takes a PASS away; drift that cannot be judged
changes nothing, and is said. Limits by margin are a family of their own here: 5 % for a wrong FAIL of any drift, beside
the 5 % of the steps. No I/O, no pytest.
"""

from collections.abc import Mapping
from dataclasses import replace

from perfgate.drift import Drifted, DriftLimit, NotJudged
from perfgate.experiment.comparison import Comparison, against
from perfgate.experiment.measurement import Estimate, Measurement, NotMeasured
from perfgate.stats.comparison import TooFewGenerations
from perfgate.stats.decision import Decision, judge_max
from perfgate.stats.evidence import regression_evidence
from perfgate.stats.family import judge_all
from perfgate.verdict import Judgement, Reason, Verdict


def with_drift(
    judgements: Mapping[str, Judgement], measurement: Measurement, limits: Mapping[str, DriftLimit | NotJudged]
) -> Mapping[str, Judgement]:
    """The verdicts of a scenario, drift included.

    Args:
        judgements: by metric; all limits by margin of a scenario together.
        measurement: that they are of.
        limits: of those metrics that may drift so far and no further.
    """
    drifts: dict[str, Drifted | NotJudged] = {}
    compared: dict[str, tuple[DriftLimit, Comparison]] = {}
    alpha = 0.0
    for metric, limit in limits.items():
        judgement = judgements[metric]
        if isinstance(limit, NotJudged):
            drifts[metric] = limit
        elif not _is_read(judgement):
            drifts[metric] = NotJudged("this run has no figure that could be judged")
        elif judgement.compared is not None:
            alpha = judgement.compared.alpha
            try:
                compared[metric] = limit, against(measurement, metric, limit.figure)
            except (NotMeasured, TooFewGenerations) as error:
                drifts[metric] = NotJudged(str(error))
        elif judgement.estimate is not None:
            drifts[metric] = _of_estimate(judgement.estimate, limit)
    drifts |= _of_comparisons(compared, alpha)
    return {
        metric: _with(judgement, drifts[metric], measurement) if metric in drifts else judgement
        for metric, judgement in judgements.items()
    }


def _is_read(judgement: Judgement) -> bool:
    return judgement.reason in (Reason.WITHIN, Reason.WAIVED, Reason.BEYOND, Reason.UNDECIDED)


def _of_estimate(estimate: Estimate, limit: DriftLimit) -> Drifted:
    decision = judge_max(estimate.value, estimate.low, estimate.high, limit.figure * limit.allowed_ratio)
    ratio, low, high = (end / limit.figure for end in (estimate.value, estimate.low, estimate.high))
    return Drifted(limit, ratio, low, high, decision)


def _of_comparisons(compared: Mapping[str, tuple[DriftLimit, Comparison]], alpha: float) -> Mapping[str, Drifted]:
    if not compared:
        return {}
    evidence = [regression_evidence(one.slowdown, limit.allowed_ratio) for limit, one in compared.values()]
    decisions = judge_all(evidence, alpha_fail=alpha, alpha_pass=alpha)
    return {
        metric: Drifted(limit, one.slowdown.ratio, one.slowdown.low(alpha), one.slowdown.high(alpha), decision)
        for (metric, (limit, one)), decision in zip(compared.items(), decisions, strict=True)
    }


def _with(judgement: Judgement, drift: Drifted | NotJudged, measurement: Measurement) -> Judgement:
    judgement = replace(judgement, drift=drift)
    if isinstance(drift, NotJudged) or judgement.verdict is Verdict.FAIL:
        return judgement
    if drift.decision is Decision.FAIL:
        return replace(judgement, verdict=Verdict.FAIL, reason=Reason.DRIFT, detail="the drift below is what fails")
    if drift.decision is Decision.UNDECIDED and judgement.verdict is Verdict.PASS:
        detail = "; ".join(filter(None, ("the step passes, but its drift is undecided", measurement.stopped)))
        return replace(judgement, verdict=Verdict.INVALID, reason=Reason.UNDECIDED, detail=detail)
    return judgement
