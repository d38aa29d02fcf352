"""What is said of one verdict, wherever a table of verdicts is shown: on a terminal, in Markdown, in HTML?

Comes in: a `JudgementRecord`. Goes out: a `Row`, figures in words. No I/O; colours, columns and escaping are for
whoever shows it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from perfgate.experiment.metrics import METRICS
from perfgate.record import ComparisonRecord, EstimateRecord, JudgementRecord, LimitRecord
from perfgate.thresholds import Limit
from perfgate.verdict import (
    Reason,
    Verdict,
    digits,
    figure,
    limit_words,
    percent_words,
    smallest_failing_value,
    unit_of,
)

#: The worst first.
WORST_FIRST: Final = (Verdict.FAIL, Verdict.INVALID, Verdict.PASS)


@dataclass(frozen=True, slots=True)
class Row:
    """One verdict in words.

    Args:
        verdict: PASS, FAIL or INVALID.
        said: what follows the verdict, such as `, improvement`; mostly empty.
        is_waived: whether it is a PASS only by a waiver.
        scenario, metric: as in thresholds.yaml.
        title: the metric as people read it.
        observed: the figure with its unit; of a comparison both; `not read` where there is none.
        interval: its interval; of a comparison the slowdown in percent with its interval, above 0 is worse.
        limit: what is allowed.
        basis: what a limit that is not the file's own `max` or `min` is made of; else empty.
        fails_from: the true value, or slowdown, that this run would have failed at 80 % power; empty where nothing is
            to be said of that.
        place: file and line of the limit.
        why: the reason of the limit.
        reason, detail: of the verdict.
        apparatus: how generator, mock and host fared.
        value: the figure as a number in `unit`; None where it was not read, or is two.
        unit: of `value`; empty for a ratio.
        nearness: how much of what is allowed is used: 1 at the limit, more beyond; None where that cannot be said.
    """

    verdict: Verdict
    said: str
    is_waived: bool
    scenario: str
    metric: str
    title: str
    observed: str
    interval: str
    limit: str
    basis: str
    fails_from: str
    place: str
    why: str
    reason: str
    detail: str
    apparatus: str
    value: float | None
    unit: str
    nearness: float | None


def row_of(judgement: JudgementRecord) -> Row:
    """A verdict in words."""
    limit, metric = judgement.limit, METRICS.get(judgement.metric)
    unit, verdict = unit_of(judgement.metric), Verdict(judgement.verdict)
    observed, interval, said, value = "not read", "", "", None
    fails_from, nearness = "", None
    if (estimate := judgement.estimate) is not None:
        observed, value = figure(estimate.value, unit), estimate.value
        factor = 100 if unit == "" else 1
        interval = f"{digits(estimate.low * factor)} to {digits(estimate.high * factor)}"
        if metric is not None and metric.is_counted:
            interval = "counted"
        fails_from, nearness = _fails_from(judgement, estimate), _nearness(estimate, limit)
    if (compared := judgement.comparison) is not None:
        observed, value = f"{compared.baseline:.3g} -> {figure(compared.candidate, unit)}", None
        ends = ["none" if end is None else f"{(end - 1) * 100:+.1f}" for end in (compared.low, compared.high)]
        interval = f"{percent_words(compared.ratio)} ({' to '.join(ends)})"
        said = _said_of(judgement, compared)
        seen = compared.smallest_failing_ratio
        fails_from = percent_words(seen) if seen is not None else "no slowdown"
        nearness = _change(compared, limit) / compared.allowed_ratio
    return Row(
        verdict=verdict,
        said=", waived" if judgement.is_waived else said,
        is_waived=judgement.is_waived,
        scenario=judgement.scenario,
        metric=judgement.metric,
        title=metric.title if metric is not None else judgement.metric,
        observed=observed,
        interval=interval,
        limit=_limit_words(judgement.metric, limit, unit),
        basis=limit.basis,
        fails_from=fails_from,
        place=f"{limit.path}:{limit.line}",
        why=limit.why,
        reason=judgement.reason,
        detail=judgement.detail,
        apparatus=judgement.apparatus,
        value=value,
        unit=unit,
        nearness=nearness,
    )


def worst(rows: Sequence[Row], count: int) -> list[Row]:
    """The rows to look at first: FAIL, the farthest beyond its limit first; then INVALID; then what passed narrowly."""

    def order(row: Row) -> tuple[int, float]:
        return WORST_FIRST.index(row.verdict), -math.inf if row.nearness is None else -row.nearness

    return sorted(rows, key=order)[:count]


def _said_of(judgement: JudgementRecord, compared: ComparisonRecord) -> str:
    """What follows the verdict of a comparison."""
    is_pass = judgement.verdict == Verdict.PASS
    if judgement.limit.equivalent_within is None:
        return ", improvement" if is_pass and compared.is_improvement else ""
    if is_pass:
        return ", equivalent"
    if judgement.verdict == Verdict.FAIL:
        return f", different by {percent_words(compared.ratio)}"
    seen = compared.smallest_failing_ratio
    return f", can't tell (could have seen {percent_words(seen)})" if seen is not None else ", can't tell"


def _fails_from(judgement: JudgementRecord, estimate: EstimateRecord) -> str:
    maximum = judgement.limit.maximum
    if maximum is None or judgement.reason == Reason.TOO_FEW_CORES.value:
        return ""
    if judgement.waiver is not None:
        maximum = judgement.waiver.ceiling
    value = smallest_failing_value(judgement.metric, estimate.value, estimate.low, estimate.confidence, maximum)
    return "" if value is None else figure(value, estimate.unit)


def _nearness(estimate: EstimateRecord, limit: LimitRecord) -> float | None:
    """Of what must stay below, the share that is used; of what must stay above, how much of it is missing or there.

    Of a share that must stay above one near 1 it is how much of what may lack lacks: 99.4 % is far from 99 %.
    """
    if limit.maximum is not None:
        if limit.maximum > 0:
            return max(estimate.value, 0.0) / limit.maximum
        return math.inf if estimate.value > limit.maximum else 0.0
    if limit.minimum is not None:
        if not estimate.unit and limit.minimum < 1:
            return max(0.0, (1 - estimate.value) / (1 - limit.minimum))
        return limit.minimum / estimate.value if estimate.value > 0 else math.inf
    return None


def _change(compared: ComparisonRecord, limit: LimitRecord) -> float:
    """The slowdown; where either way counts, the larger of it and its inverse."""
    if limit.equivalent_within is None or not compared.ratio > 0:
        return compared.ratio
    return max(compared.ratio, 1 / compared.ratio)


def _limit_words(metric: str, limit: LimitRecord, unit: str) -> str:
    ends = (limit.maximum, limit.minimum, limit.margin, limit.equivalent_within)
    if sum(end is not None for end in ends) != 1:
        return "not stated in one way"
    return limit_words(limit_of(metric, limit), unit)


def limit_of(metric: str, limit: LimitRecord) -> Limit:
    """The limit that a record tells of; raises ValueError where it tells of none, or of two."""
    return Limit(
        metric,
        limit.why,
        limit.path,
        limit.line,
        limit.maximum,
        limit.minimum,
        margin=limit.margin,
        equivalent_within=limit.equivalent_within,
        claim=limit.claim,
        floor=limit.floor,
        basis=limit.basis,
    )
