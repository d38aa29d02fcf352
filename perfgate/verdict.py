"""Does a figure keep to its limit, and what is a person told about it?

Comes in: a measurement, a limit, the apparatus' limits. Goes out: a `Judgement` and the lines that explain it, also
those of comparison_verdict.py. The questions in order: was the apparatus fit, did requests succeed, are there enough,
what does the interval say.
No I/O, no pytest.
"""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from statistics import NormalDist
from typing import Final, Literal

from perfgate.drift import Drifted, NotJudged
from perfgate.experiment.comparison import Comparison
from perfgate.experiment.health import Health
from perfgate.experiment.measurement import Estimate, Measurement, NotMeasured, Unmeasurable
from perfgate.experiment.metrics import METRICS
from perfgate.host_limits import AS_THEY_STAND, HostStanding, NotForThisHost, limit_here
from perfgate.load.result import ErrorCount
from perfgate.measure.histogram import NoRequests
from perfgate.stats.decision import Decision, judge_max, judge_min
from perfgate.stats.power import POWER, smallest_failing_ratio
from perfgate.stats.resampling import EmptyRound, TooFewRounds
from perfgate.thresholds import Limit
from perfgate.waivers import WaiverStanding

#: The error guard of a scenario that sets no limit on error_ratio.
DEFAULT_ERROR_RATIO_MAX: Final = 0.001
#: What is said of a drift budget.
DRIFT_OUTCOMES: Final[Mapping[Decision, Literal["kept", "exceeded", "undecided"]]] = {
    Decision.PASS: "kept",
    Decision.FAIL: "exceeded",
    Decision.UNDECIDED: "undecided",
}


class Verdict(StrEnum):
    """What is said of a figure; INVALID is neither a pass nor a skip."""

    PASS = "PASS"
    FAIL = "FAIL"
    INVALID = "INVALID"


class Reason(Enum):
    """Why; the value is the sentence that is printed."""

    WITHIN = "the interval keeps to the limit"
    WAIVED = "waived: the limit is not shown to be kept, the ceiling of its waiver is"
    BEYOND = "the interval is beyond the limit"
    DRIFT = "drift: since the committed record the figure has got worse by more than its budget"
    ERRORS = "errors come first: too many requests failed, so this figure was not read"
    APPARATUS = "apparatus: what measures was not fit, so nothing is said of the gateway"
    UNDECIDED = "undecided: the limit lies within the interval after the most rounds that time allows"
    TOO_FEW_REQUESTS = "too few requests for this percentile"
    NOT_MEASURED = "not measured"
    UNMEASURABLE = "cannot be measured here"
    NOT_FOR_THIS_HOST = "limits not for this host"
    TOO_FEW_CORES = "too few cores: shown, and not judged"
    ARMS_DIFFER = "not a comparison: the arms differ in what nobody asked for"
    CONTROL = "control: this host cannot tell the baseline from itself, so nothing is said of the candidate"


#: Whose first line has the figure.
_WITH_FIGURE: Final = (
    Reason.WITHIN,
    Reason.WAIVED,
    Reason.BEYOND,
    Reason.DRIFT,
    Reason.UNDECIDED,
    Reason.TOO_FEW_CORES,
)


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison as it was judged.

    Args:
        comparison: the figures.
        allowed_ratio: the largest slowdown ratio that keeps to the limit: 1 + margin, or more by the floor.
        alpha: the error that this look may make, one-sided.
        family: how many metrics were judged together; the FAIL of each has paid for all.
        look, looks: which, of how many.
        control: odd against even generations of the baseline; None with too few of them.
        claim: what became of a claim of equivalence that is not the limit; empty where there is none.
        claim_is_open: whether more rounds could still show or refute it.
    """

    comparison: Comparison
    allowed_ratio: float
    alpha: float
    family: int
    look: int
    looks: int
    control: Comparison | None
    claim: str = ""
    claim_is_open: bool = False

    @property
    def low(self) -> float:
        """The interval's lower end, a slowdown ratio."""
        return self.comparison.slowdown.low(self.alpha)

    @property
    def high(self) -> float:
        """The interval's upper end, a slowdown ratio."""
        return self.comparison.slowdown.high(self.alpha)

    @property
    def confidence(self) -> float:
        """Of the interval between the two."""
        return 1 - 2 * self.alpha

    @property
    def smallest_failing_ratio(self) -> float:
        """The true slowdown ratio that this run would have failed at `POWER`; infinite where none."""
        slowdown = self.comparison.slowdown
        return smallest_failing_ratio(
            allowed=self.allowed_ratio,
            standard_error=slowdown.standard_error,
            degrees_of_freedom=slowdown.degrees_of_freedom,
            alpha=self.alpha / self.family,
            power=POWER,
        )


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with everything that is needed to explain it.

    Args:
        scenario, metric: as in thresholds.yaml.
        verdict, reason: see there.
        limit: with the file and line where it stands.
        estimate: None when the figure was not read.
        health: of the apparatus.
        errors: of the arm, by kind.
        sent: requests of the arm.
        detail: a sentence more on the reason, or empty.
        compared: of a limit by margin, what `estimate` is of the others.
        ceiling: of a limit that is waived, the one that its waiver puts in its place, as it holds here; else None.
        waived: what was found of that waiver; None without one.
        drift: how far the figure is from that of the committed record, or why that is not judged; None of a limit
            without such a budget.
    """

    scenario: str
    metric: str
    verdict: Verdict
    reason: Reason
    limit: Limit
    estimate: Estimate | None
    health: Health
    errors: tuple[ErrorCount, ...]
    sent: int
    detail: str = ""
    compared: Compared | None = None
    ceiling: Limit | None = None
    waived: WaiverStanding | None = None
    drift: Drifted | NotJudged | None = None

    @property
    def is_open(self) -> bool:
        """Whether more rounds could still turn it into a PASS or a FAIL, or settle what is said beside it."""
        if self.compared is not None and self.compared.claim_is_open:
            return True
        if self.reason is Reason.WAIVED and self.waived is WaiverStanding.PERHAPS_NEEDED:
            return True
        return self.reason in (Reason.UNDECIDED, Reason.APPARATUS, Reason.TOO_FEW_REQUESTS, Reason.NOT_MEASURED)

    @property
    def verdict_words(self) -> str:
        """`PASS`, `PASS, waived`, `FAIL`, `INVALID`."""
        return f"{self.verdict}, waived" if self.reason is Reason.WAIVED else str(self.verdict)


def judge(
    measurement: Measurement,
    limit: Limit,
    health: Health,
    error_limit: Limit | None,
    host: HostStanding = AS_THEY_STAND,
) -> Judgement:
    """Judge one metric of a measurement.

    Args:
        measurement: of the limit's scenario.
        limit: on one of `METRICS`.
        health: of the apparatus in this measurement.
        error_limit: the scenario's limit on error_ratio, or where that is waived its ceiling, guards all other figures;
            None takes the default.
        host: how this host stands to those that the limits were measured on.

    """
    metric = METRICS[limit.metric]
    try:
        # Of the arms that it reads, the one with the most errors speaks for all.
        arm = max(metric.arms_of(measurement), key=lambda name: sum(error.count for error in measurement.errors(name)))
        errors, sent = measurement.errors(arm), measurement.requests(arm)
    except NotMeasured as error:
        return not_measured(measurement.scenario, limit, str(error))

    ceiling = limit.at_ceiling()

    def said(
        verdict: Verdict,
        reason: Reason,
        estimate: Estimate | None = None,
        detail: str = "",
        waived: WaiverStanding = WaiverStanding.NOT_JUDGED,
    ) -> Judgement:
        return Judgement(
            measurement.scenario,
            limit.metric,
            verdict,
            reason,
            limit,
            estimate,
            health,
            errors,
            sent,
            detail,
            ceiling=ceiling,
            waived=None if ceiling is None else waived,
        )

    try:
        error_ratio = measurement.error_ratio(arm)
    except NotMeasured as error:
        return said(Verdict.INVALID, Reason.NOT_MEASURED, detail=str(error))
    error_ratio_max = DEFAULT_ERROR_RATIO_MAX
    guard = error_limit if error_limit is None else error_limit.at_ceiling() or error_limit
    if guard is not None and guard.maximum is not None:
        error_ratio_max = guard.maximum
    unfit = said(Verdict.INVALID, Reason.APPARATUS, detail="; ".join(health.complaints))
    if not health.counts_are_fit:
        return unfit
    looks_past = metric.counts_errors or metric.expects_errors
    if not looks_past and errors_decision(error_ratio, error_ratio_max) is Decision.FAIL:
        of_arm = f" of the arm {arm}" if len(metric.arms_of(measurement)) > 1 else ""
        return said(
            Verdict.FAIL,
            Reason.ERRORS,
            detail=f"{error_ratio.value:.1%} of {sent:,} requests{of_arm} failed, at most {error_ratio_max:.2%} may",
        )
    if not (metric.counts_errors or metric.is_counted) and not health.is_fit:
        return unfit
    try:
        estimate = metric.estimate(measurement)
    except Unmeasurable as error:
        return said(Verdict.INVALID, Reason.UNMEASURABLE, detail=str(error))
    except (NotMeasured, NoRequests, TooFewRounds, EmptyRound) as error:
        return said(Verdict.INVALID, Reason.NOT_MEASURED, detail=str(error))
    try:
        limit = limit_here(limit, host)
        ceiling = None if ceiling is None else limit_here(ceiling, host)
    except NotForThisHost as error:
        return said(Verdict.INVALID, Reason.NOT_FOR_THIS_HOST, estimate, str(error))
    if estimate.requests < estimate.requests_needed:
        detail = f"{estimate.requests:,} requests, at least {estimate.requests_needed:,} are needed"
        return said(Verdict.INVALID, Reason.TOO_FEW_REQUESTS, estimate, detail)
    decision = decide(estimate, limit)
    if decision is Decision.PASS:
        return said(Verdict.PASS, Reason.WITHIN, estimate, waived=WaiverStanding.NOT_NEEDED)
    at_ceiling = decision if ceiling is None else decide(estimate, ceiling)
    if at_ceiling is Decision.PASS:
        is_broken = decision is Decision.FAIL
        waived = WaiverStanding.NEEDED if is_broken else WaiverStanding.PERHAPS_NEEDED
        return said(Verdict.PASS, Reason.WAIVED, estimate, waived=waived)
    if at_ceiling is Decision.FAIL:
        return said(Verdict.FAIL, Reason.BEYOND, estimate, waived=WaiverStanding.BROKEN)
    return said(Verdict.INVALID, Reason.UNDECIDED, estimate, detail=measurement.stopped)


def shown_only(judgement: Judgement, why: str) -> Judgement:
    """The verdict on a figure that this host cannot be held to: INVALID, with the figure where it was read.

    Args:
        judgement: as it would be elsewhere; what was not read stays as it is.
        why: what the host lacks, in words.
    """
    if judgement.estimate is None:
        return judgement
    return replace(judgement, verdict=Verdict.INVALID, reason=Reason.TOO_FEW_CORES, detail=why)


def not_measured(scenario: str, limit: Limit, why: str) -> Judgement:
    """The verdict on a metric for which no request was sent at all; `why` says what to do."""
    return Judgement(
        scenario,
        limit.metric,
        Verdict.INVALID,
        Reason.NOT_MEASURED,
        limit,
        None,
        Health("nothing was measured"),
        (),
        0,
        why,
        ceiling=limit.at_ceiling(),
        waived=None if limit.waiver is None else WaiverStanding.NOT_JUDGED,
    )


def decide(estimate: Estimate, limit: Limit) -> Decision:
    """The three-way rule for a limit, by its direction."""
    if METRICS[limit.metric].counts_errors:
        if limit.maximum is not None:
            return errors_decision(estimate, limit.maximum)
        assert limit.minimum is not None
        if estimate.value >= limit.minimum:
            return Decision.PASS
        return Decision.FAIL if estimate.high < limit.minimum else Decision.UNDECIDED
    if limit.maximum is not None:
        return judge_max(estimate.value, estimate.low, estimate.high, limit.maximum)
    assert limit.minimum is not None
    return judge_min(estimate.value, estimate.low, estimate.high, limit.minimum)


def errors_decision(estimate: Estimate, maximum: float) -> Decision:
    """A share of errors passes by its own value: no run is long enough for the interval of 0 errors to end at 0.1 %."""
    if estimate.value <= maximum:
        return Decision.PASS
    return Decision.FAIL if estimate.low > maximum else Decision.UNDECIDED


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every explanation says of the run.

    Args:
        host: one line.
        versions: one line.
        reproduce: the command that runs this question again with the same seed.
        record: where the record is.
    """

    host: str
    versions: str
    reproduce: str
    record: str


def digits(value: float, count: int = 3) -> str:
    """So many significant digits, or all of a larger number: no powers of ten.

    >>> digits(14.9123), digits(1170.9)
    ('14.9', '1,171')
    """
    text = f"{value:.{count}g}"
    return f"{value:,.0f}" if "e+" in text else text


def figure(value: float, unit: str) -> str:
    """A figure as people read it: three significant digits and its unit; a ratio as a percentage.

    >>> figure(14.9123, "ms"), figure(0.0004, "")
    ('14.9 ms', '0.04 %')
    """
    if unit == "":
        return f"{digits(value * 100)} %"
    return f"{digits(value)} {unit}"


def percent_words(ratio: float) -> str:
    """A ratio as the change that it is.

    >>> percent_words(1.0463), percent_words(0.95)
    ('+4.6 %', '-5.0 %')
    """
    return f"{(ratio - 1) * 100:+.1f} %"


def limit_words(limit: Limit, unit: str) -> str:
    """`at most 25 ms`, `at least 99 %`, `at most +5 %, or 0.2 ms`, `equivalent within 5 %`."""
    if limit.equivalent_within is not None:
        return f"equivalent within {limit.equivalent_within * 100:g} %"
    if limit.margin is not None:
        floor = f", or {figure(limit.floor, unit)}" if limit.floor else ""
        return f"at most +{limit.margin * 100:g} %{floor}"
    if limit.maximum is not None:
        return f"at most {figure(limit.maximum, unit)}"
    assert limit.minimum is not None
    return f"at least {figure(limit.minimum, unit)}"


def waiver_words(ceiling: Limit, unit: str, standing: WaiverStanding) -> str:
    """What a waiver allows, and what was found of it: `at most 60 ms until 2026-12-31: broken, too`.

    Args:
        ceiling: the limit that it puts in the place of its own.
        unit: of the metric.
        standing: what was found.
    """
    assert ceiling.waiver is not None, "it comes from one"
    basis = f" ({ceiling.basis})" if ceiling.basis else ""
    return f"{limit_words(ceiling, unit)}{basis} until {ceiling.waiver.expires}: {standing}"


def drift_words(drift: Drifted | NotJudged, unit: str) -> str:
    """How far a figure has drifted: `+18.0 % (+15.1 to +20.9 %) from 8.3 ms of …, at most +15 %: exceeded`."""
    if isinstance(drift, NotJudged):
        return f"not judged: {drift.why}"
    low, high = (f"{(end - 1) * 100:+.1f}" if math.isfinite(end) else "any" for end in (drift.low, drift.high))
    figures = f"{percent_words(drift.ratio)} ({low} to {high} %) from {figure(drift.limit.figure, unit)}"
    allowed = f"at most {percent_words(drift.limit.allowed_ratio)}"
    return f"{figures} of {drift.limit.against}, {allowed}: {DRIFT_OUTCOMES[drift.decision]}"


def interval_words(estimate: Estimate) -> str:
    """`95 % interval 13.9 to 15.8 ms`."""
    percent = f"{estimate.confidence * 100:.4g}"
    if estimate.unit == "":
        return f"{percent} % interval {digits(estimate.low * 100, 2)} to {digits(estimate.high * 100, 2)} %"
    return f"{percent} % interval {digits(estimate.low)} to {digits(estimate.high)} {estimate.unit}"


def headline(judgement: Judgement) -> str:
    """The first line: verdict, question, figure, interval, limit."""
    metric = METRICS[judgement.metric]
    start = f"{judgement.verdict_words}  {judgement.scenario}: {metric.title}"
    if judgement.compared is not None:
        return f"{start}: {compared_words(judgement.compared)}, {limit_words(judgement.limit, unit_of(metric.name))}"
    estimate = judgement.estimate
    if judgement.reason in _WITH_FIGURE and estimate is not None:
        words = limit_words(judgement.limit, estimate.unit)
        interval = "counted" if metric.is_counted else interval_words(estimate)
        return f"{start}: {figure(estimate.value, estimate.unit)} ({interval}), {words}"
    return f"{start}: {judgement.reason.value}"


def compared_words(compared: Compared) -> str:
    """`9.61 -> 10.5 ms, +9.8 % (93 % interval +7.9 to +11.7 %)`."""
    one, unit = compared.comparison, unit_of(compared.comparison.metric)
    change = percent_words(one.slowdown.ratio)
    interval = f"{compared.confidence * 100:.3g} % interval {slowdown_interval(compared)}"
    return f"{one.baseline:.3g} -> {figure(one.candidate, unit)}, slowdown {change} ({interval})"


def seen_words(compared: Compared) -> str:
    """`could have seen +9.8 %`: the smallest difference that would have failed, at `POWER`."""
    ratio = compared.smallest_failing_ratio
    return f"could have seen {percent_words(ratio)}" if math.isfinite(ratio) else "could have seen nothing"


def slowdown_interval(compared: Compared) -> str:
    """`+7.9 to +11.7 %`."""
    low, high = ((end - 1) * 100 for end in (compared.low, compared.high))
    return f"{low:+.1f} to {high:+.1f} %"


def smallest_failing(judgement: Judgement) -> float | None:
    """The true value that this run would have failed at `POWER`, in the metric's unit; None where it says nothing."""
    estimate, maximum = judgement.estimate, (judgement.ceiling or judgement.limit).maximum
    if estimate is None or maximum is None or judgement.reason is Reason.TOO_FEW_CORES:
        return None
    return smallest_failing_value(judgement.metric, estimate.value, estimate.low, estimate.confidence, maximum)


def smallest_failing_value(metric: str, value: float, low: float, confidence: float, maximum: float) -> float | None:
    """The same of an estimate that is known by its figures, as it stands in a record.

    A run fails when the interval's near end passes the limit. With half-width h at a two-sided confidence whose normal
    quantile is z, the standard error is h / z, and the end passes with probability 80 % at limit + h + 0.84 * h / z
    (0.84 being the normal's quantile of 80 %).

    Args:
        metric: its name; of counted ones, and of those that count errors, nothing is said.
        value, low: the estimate and its interval's lower end.
        confidence: of the interval.
        maximum: that is allowed.
    """
    known = METRICS.get(metric)
    if known is None or known.counts_errors or known.is_counted:
        return None
    half_width = max(value - low, 0.0)
    normal = NormalDist()
    return maximum + half_width * (1 + normal.inv_cdf(POWER) / normal.inv_cdf(0.5 + confidence / 2))


def explain(judgement: Judgement, surroundings: Surroundings) -> list[str]:
    """The whole message, line by line."""
    limit, estimate = judgement.limit, judgement.estimate
    unit = estimate.unit if estimate is not None else unit_of(judgement.metric)
    place = f"{limit.path}:{limit.line}"
    lines = [headline(judgement)]
    if judgement.detail:
        lines.append(f"  because    {judgement.detail}")
    if judgement.compared is not None:
        lines += _evidence_of_comparison(judgement.compared, judgement.reason)
    basis = f" ({limit.basis})" if limit.basis else ""
    lines.append(f"  limit      {limit_words(limit, unit)}{basis}    {place} {judgement.scenario}.{judgement.metric}")
    lines.append(f"  why        {limit.why}")
    if limit.waiver is not None and judgement.ceiling is not None and judgement.waived is not None:
        waiver, words = limit.waiver, waiver_words(judgement.ceiling, unit, judgement.waived)
        lines.append(f"  waiver     {words}    {waiver.path}:{waiver.line}")
        lines.append(f"             {waiver.why} ({waiver.link})")
    if judgement.drift is not None:
        lines.append(f"  drift      {drift_words(judgement.drift, unit)}")
    if judgement.errors:
        kinds = [f"{error.count:,} {error.kind} ({error.example})" for error in judgement.errors[:5]]
        lines.append(f"  errors     of {judgement.sent:,} requests: " + "; ".join(kinds))
    if estimate is not None:
        rounds = f"{estimate.rounds} rounds in {estimate.generations} generations"
        evidence = f"  evidence   {rounds}, {estimate.requests:,} requests an arm"
        power = smallest_failing(judgement)
        if power is not None:
            evidence += f"; smallest true value this run would have failed at 80 % power: {figure(power, unit)}"
        lines.append(evidence)
    lines.append(f"  apparatus  {judgement.health.words}")
    lines.append(f"  host       {surroundings.host}")
    lines.append(f"  versions   {surroundings.versions}")
    lines.append(f"  reproduce  {surroundings.reproduce}")
    lines += _next(judgement, surroundings)
    return lines


def _evidence_of_comparison(compared: Compared, reason: Reason) -> list[str]:
    one, fails_at = compared.comparison, compared.smallest_failing_ratio
    lines = [
        f"  evidence   {one.generations} generations, {one.rounds} rounds, {one.requests:,} requests an arm, look "
        f"{compared.look} of {compared.looks}; smallest true slowdown this run would have failed at 80 % power: "
        + (percent_words(fails_at) if math.isfinite(fails_at) else "none")
    ]
    if not one.slowdown.has_spread:
        lines.append("             every generation gave the same figure: the interval is by the sign test")
    if compared.claim:
        lines.append(f"  claim      {compared.claim}")
    if compared.control is not None and reason is not Reason.CONTROL:
        lines.append(
            f"  control    odd against even generations of the baseline: "
            f"{percent_words(compared.control.slowdown.ratio)}, not a FAIL by the same rule"
        )
    return lines


def unit_of(metric: str) -> str:
    """The unit that a metric's name tells; empty for a ratio."""
    if metric.endswith("_ms"):
        return "ms"
    if metric.endswith("_rps"):
        return "requests/s"
    if metric.endswith("_sessions_per_s"):
        return "sessions/s"
    if metric.endswith("_sessions"):
        return "sessions"
    if metric.endswith("_s"):
        return "s"
    return "MiB" if "_mib" in metric else ""


def _next(judgement: Judgement, surroundings: Surroundings) -> list[str]:
    record = f"`perfgate report {shlex.quote(surroundings.record)}` draws what was measured"
    match judgement.reason:
        case Reason.CONTROL:
            return [f"  next       run it on a quieter machine, or again; {record}"]
        case Reason.ARMS_DIFFER:
            return [f"  next       make the arms alike in that, or compare something else; {record}"]
        case Reason.APPARATUS:
            causes: Sequence[str] = judgement.health.likely_causes
            return [f"  likely     {number}. {cause}" for number, cause in enumerate(causes, 1)] + [
                f"  next       free the machine and run it again; {record}"
            ]
        case Reason.UNDECIDED:
            longer = "a profile with a larger budget_minutes"
            if judgement.compared is not None:
                longer = f"more minutes in scenarios.{judgement.scenario}.rounds"
            return [f"  next       run it longer ({longer}); {record}"]
        case Reason.TOO_FEW_CORES:
            return [f"  next       run it on a host with more cores; {record}"]
        case Reason.DRIFT:
            return [
                f"  next       find which step it came by, or agree on what it costs and commit a new record; {record}"
            ]
        case Reason.ERRORS:
            return [f"  next       mend the errors named above first; {record}"]
        case _:
            return [f"  next       {record}"]
