"""Which absolute limits do some runs of one gateway on this host speak for, and how often would each cry wolf?

Comes in: records of runs that are alike, thresholds.yaml, the host's class. Goes out: a `Proposal` for each limit, or
why there is none (`NotProposed`), and the words for both. No I/O, no pytest.

    Record, Limit --proposals--> Proposal --has--> Outlook (of the present number), Outlook (of the proposed one)
                            \\--> NotProposed

A `max` PASSes a run whose interval ends at or below it, and FAILs one whose interval begins above it (verdict.py). So
the runs' upper ends say what a limit has to be, and their lower ends how often it would be a false alarm: the same
gateway, and FAIL. Both are predicted from the runs (stats/prediction.py); `min` is the mirror image.

The rule. Proposed is the number that the next run PASSes with a chance of `PASS_CHANCE`, rounded away from the figures
to two digits. The present number stays, so that there is no needless change, as long as it is

    tight enough    no more than `LOOSE_RATIO` times as far out as the proposed one: a limit that is far too wide sleeps
    quiet enough    FAIL has a chance of at most `FALSE_ALARM_MAX`, and PASS one of at least `KEPT_PASS_CHANCE`

or, where it is not, as long as it is no closer than the number for `PASS_CHANCE` would be if many runs had shown this
mean and SD: then it is not the host that speaks against it, but that the runs are few, and a limit must not begin to
sleep for that.

Left alone are margins, which need no calibration, and limits on counts and ratios, whose truth is known.

What it rests on: the next run is made on this host as it was during these. Runs of one hour do not know of another. A
run goes on measuring while it is undecided, so that somewhat more of them PASS in the end than is said here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import Enum
from typing import Final, Literal

from perfgate.experiment.metrics import METRICS
from perfgate.host_limits import limit_here, standing
from perfgate.record import EstimateRecord, JudgementRecord, Record
from perfgate.stats.prediction import RUNS_MIN, NoSpread, Prediction, prediction_of, reach_sds
from perfgate.thresholds import HostClass, Limit, Thresholds
from perfgate.verdict import Reason, figure, limit_words, unit_of

#: With which the next run PASSes a limit that is proposed.
PASS_CHANCE: Final = 0.99
#: A present limit that is further out than this is tightened: below a tenth, two calibrations of one host differ.
LOOSE_RATIO: Final = 1.1
#: A present limit that fails the same gateway more often is a false alarm too many.
FALSE_ALARM_MAX: Final = 0.01
#: A present limit that passes less often costs time and INVALIDs.
KEPT_PASS_CHANCE: Final = 0.95
#: A calibration that is as good as it gets for its time, to compare few runs with.
_MANY_RUNS: Final = 10


class Change(Enum):
    """What becomes of a limit; the value is the reason that is printed."""

    KEPT = "kept: tight enough and quiet enough"
    KEPT_FOR_NOW = "kept: these runs are clear of it, but too few to promise more: add some"
    TIGHTENED = "tightened: it is further out than this host needs"
    LOOSENED = "loosened: it is too close to what this host shows"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a number would do to runs of the same gateway on this host.

    Args:
        number: the limit, in the metric's unit.
        fail_chance: of the next run: a false alarm.
        undecided_chance: of the next run.
        failed_runs: of those that were made.
    """

    number: float
    fail_chance: float
    undecided_chance: float
    failed_runs: int

    @property
    def pass_chance(self) -> float:
        """Of the next run."""
        return 1 - self.fail_chance - self.undecided_chance


@dataclass(frozen=True, slots=True)
class Proposal:
    """A limit and what the runs say of it.

    Args:
        scenario: of the limit.
        limit: as the file has it.
        kind: whether a figure must stay below (`max`) or above (`min`).
        on_class: the number is that for hosts of this class (`max_on`); None for the limit's own.
        runs: how many have an interval for it.
        uppers, lowers: the ends of these, in the runs' order.
        present, proposed: the two numbers.
        of_many_runs: what would be proposed, but for its rounding, if many runs had shown this mean and SD.
    """

    scenario: str
    limit: Limit
    kind: Literal["max", "min"]
    on_class: str | None
    runs: int
    uppers: tuple[float, ...]
    lowers: tuple[float, ...]
    present: Outlook
    proposed: Outlook
    of_many_runs: float

    @property
    def change(self) -> Change:
        """By the module's rule."""
        is_max = self.kind == "max"
        present, proposed = self.present.number, self.proposed.number
        is_loose = present > proposed * LOOSE_RATIO if is_max else present * LOOSE_RATIO < proposed
        if is_loose:
            return Change.TIGHTENED
        is_quiet = self.present.fail_chance <= FALSE_ALARM_MAX and self.present.pass_chance >= KEPT_PASS_CHANCE
        if is_quiet:
            return Change.KEPT
        is_clear = present >= self.of_many_runs if is_max else present <= self.of_many_runs
        return Change.KEPT_FOR_NOW if is_clear else Change.LOOSENED

    @property
    def is_kept(self) -> bool:
        """Whether the present number stays."""
        return self.change in (Change.KEPT, Change.KEPT_FOR_NOW)

    @property
    def outlook(self) -> Outlook:
        """That of the number which will be in the file if the proposal is taken."""
        return self.present if self.is_kept else self.proposed

    @property
    def worst(self) -> float:
        """The end that comes closest to the limit: the highest upper one, for `min` the lowest lower one."""
        return max(self.uppers) if self.kind == "max" else min(self.lowers)


@dataclass(frozen=True, slots=True)
class NotProposed:
    """A limit that the runs say nothing of, or whose number the file has no place for; `why` says so in words."""

    scenario: str
    metric: str
    why: str


def has_absolute_limits(limits: Mapping[str, Limit]) -> bool:
    """Whether anything could be proposed for a scenario with these limits."""
    return any(_is_absolute(limit) for limit in limits.values())


def proposals(
    runs: Sequence[Record], thresholds: Thresholds, scenarios: Iterable[str], class_name: str | None
) -> tuple[Proposal | NotProposed, ...]:
    """What the runs say of every absolute limit of these scenarios, in the file's order.

    Args:
        runs: of one gateway on one host, with the loads and rounds of `thresholds`; only what they judged is read.
        thresholds: with the present limits.
        scenarios: names of it.
        class_name: of the host. None only where the file names no hosts: elsewhere such a host has scaled limits.
    """
    return tuple(
        _proposal(_judged(runs, scenario, limit.metric), scenario, limit, thresholds.hosts, class_name)
        for scenario in scenarios
        for limit in thresholds.scenarios[scenario].limits.values()
        if _is_absolute(limit)
    )


def not_counted(runs: Sequence[Record], scenarios: Iterable[str]) -> list[str]:
    """What of the runs has no interval to go by, and why; a sentence for each run, scenario and reason."""
    said = [
        f"the run of {_minute(run.started_utc)} UTC: {judgement.scenario} is not counted: {judgement.reason}"
        + (f" ({judgement.detail})" if judgement.detail else "")
        for scenario in scenarios
        for run in runs
        for judgement in run.judgements
        if judgement.scenario == scenario and unit_of(judgement.metric) and _interval(judgement) is None
    ]
    return list(dict.fromkeys(said))


def rounded_away(number: float, kind: Literal["max", "min"]) -> float:
    """Two significant digits, never closer to the figures.

    >>> rounded_away(23.1, "max"), rounded_away(0.03129, "min"), rounded_away(25.0, "max")
    (24.0, 0.031, 25.0)
    """
    exact = Decimal(repr(number))
    last_digit = Decimal((0, (1,), exact.adjusted() - 1))
    return float(exact.quantize(last_digit, ROUND_CEILING if kind == "max" else ROUND_FLOOR))


def why_of(proposal: Proposal, runs: Sequence[Record], class_name: str | None) -> str:
    """The reason that the file gives for a number that is taken over.

    Of a number for one class it stands behind the reason of the limit's own, in the place of an earlier one.
    """
    unit = unit_of(proposal.limit.metric)
    end = "highest upper" if proposal.kind == "max" else "lowest lower"
    date = max(run.started_utc for run in runs)[: len("2026-01-01")]
    made = (
        f"{proposal.runs} runs of {runs[0].gateway} on {class_name or 'this host'}, {date}: "
        f"{end} end {figure(proposal.worst, unit)}, false alarms {percent(proposal.proposed.fail_chance)}"
    )
    if proposal.on_class is None:
        return made
    others = [
        part for part in proposal.limit.why.split("; ") if " runs of " not in part or f" on {class_name}, " not in part
    ]
    return "; ".join([*others, made])


def words(proposal: Proposal | NotProposed) -> list[str]:
    """What is said of a limit, a line each."""
    if isinstance(proposal, NotProposed):
        return [f"{proposal.scenario}: {METRICS[proposal.metric].title}: left as it is: {proposal.why}"]
    limit, unit = proposal.limit, unit_of(proposal.limit.metric)
    ends = [
        f"{name} ends {min(ends):.3g} to {figure(max(ends), unit)}"
        for name, ends in (("lower", proposal.lowers), ("upper", proposal.uppers))
    ]
    of_class = f" (max_on {proposal.on_class})" if proposal.on_class is not None else ""
    place = f"{limit.path}:{limit.line}{of_class}"
    lines = [f"{proposal.scenario}: {METRICS[limit.metric].title}: {', '.join(ends)} in {proposal.runs} runs"]
    for name, outlook in (("present", proposal.present), ("proposed", proposal.proposed)):
        words_of_number = limit_words(_with_number(limit, proposal.kind, outlook.number), unit)
        lines.append(
            f"  {name:<9}{words_of_number}: false alarms {percent(outlook.fail_chance)}, undecided "
            f"{percent(outlook.undecided_chance)}; {outlook.failed_runs} of the {proposal.runs} runs would have failed"
        )
    return [*lines, f"  {'change':<9}{proposal.change.value}    {place}"]


def summary(found: Sequence[Proposal | NotProposed], runs: Sequence[Record]) -> list[str]:
    """What is said of all of it: the whole run, how far few runs reach, and which hours they speak for."""
    made = [one for one in found if isinstance(one, Proposal)]
    lines = []
    if made:
        alarms = sum(one.outlook.fail_chance for one in made)
        before = sum(one.present.fail_chance for one in made)
        lines.append(
            f"together: a false alarm in any of these limits in {percent(min(alarms, 1.0))} of runs at most, in "
            f"{percent(min(before, 1.0))} with the present numbers"
        )
    lines += [
        f"{count} runs: the number that the next one keeps to with {PASS_CHANCE * 100:.0f} % stands "
        f"{reach_sds(count, PASS_CHANCE):.1f} SDs of the runs above their mean; with {_MANY_RUNS} runs it would be "
        f"{reach_sds(_MANY_RUNS, PASS_CHANCE):.1f}"
        for count in sorted({one.runs for one in made})
        if count < _MANY_RUNS
    ]
    first, last = min(run.started_utc for run in runs), max(run.finished_utc or run.started_utc for run in runs)
    lines.append(
        f"the runs were made from {_minute(first)} to {_minute(last)} UTC: of busier hours than these they know nothing"
    )
    return lines


def percent(chance: float) -> str:
    """A chance as people read it; below a thousandth the t distribution is not to be trusted with digits.

    >>> percent(0.0312), percent(0.00001)
    ('3.1 %', '< 0.1 %')
    """
    if chance < 0.001:
        return "< 0.1 %"
    return f"{chance * 100:.2g} %" if chance < 0.1 else f"{chance * 100:.0f} %"


def _is_absolute(limit: Limit) -> bool:
    metric = METRICS[limit.metric]
    return not limit.is_relative and not (metric.is_counted or metric.counts_errors)


def _judged(runs: Sequence[Record], scenario: str, metric: str) -> list[JudgementRecord]:
    return [
        judgement
        for run in runs
        for judgement in run.judgements
        if (judgement.scenario, judgement.metric) == (scenario, metric)
    ]


def _interval(judgement: JudgementRecord) -> EstimateRecord | None:
    """The interval, where a limit could be judged by it."""
    return None if judgement.reason == Reason.TOO_FEW_REQUESTS.value else judgement.estimate


def _proposal(
    judged: Sequence[JudgementRecord],
    scenario: str,
    limit: Limit,
    hosts: Mapping[str, HostClass],
    class_name: str | None,
) -> Proposal | NotProposed:
    def left(why: str) -> NotProposed:
        return NotProposed(scenario, limit.metric, why)

    kind: Literal["max", "min"] = "max" if limit.maximum is not None else "min"
    on_class = _class_of_its_own(limit, hosts, class_name)
    if on_class is not None and kind == "min":
        return left(f"thresholds.yaml has no place for a min of the class {on_class} alone")
    estimates = [estimate for judgement in judged if (estimate := _interval(judgement)) is not None]
    if len(estimates) < RUNS_MIN:
        return left(f"{len(estimates)} of the runs have an interval for it, at least {RUNS_MIN} are needed")
    # As verdict.py does: an interval that leaves out its own estimate reaches as far as that.
    uppers = tuple(max(estimate.value, estimate.high) for estimate in estimates)
    lowers = tuple(min(estimate.value, estimate.low) for estimate in estimates)
    try:
        passing = prediction_of(uppers if kind == "max" else lowers)
        failing = prediction_of(lowers if kind == "max" else uppers)
    except NoSpread as error:
        return left(str(error))
    if kind == "max":
        bound, of_many_runs = passing.at_most(PASS_CHANCE), passing.at_most_of_many(PASS_CHANCE)
    else:
        bound, of_many_runs = passing.at_least(PASS_CHANCE), passing.at_least_of_many(PASS_CHANCE)
    number = rounded_away(bound, kind) if bound > 0 else 0.0
    if number <= 0:
        unit = unit_of(limit.metric)
        return left(f"the runs speak for {figure(bound, unit)}, and thresholds.yaml takes numbers above 0 only")
    here = limit_here(limit, standing(class_name, hosts, None))
    present = here.maximum if kind == "max" else here.minimum
    assert present is not None
    outlooks = [_outlook(tried, kind, passing, failing, uppers, lowers) for tried in (present, number)]
    return Proposal(
        scenario, limit, kind, on_class, len(estimates), uppers, lowers, outlooks[0], outlooks[1], of_many_runs
    )


def _class_of_its_own(limit: Limit, hosts: Mapping[str, HostClass], class_name: str | None) -> str | None:
    """The class that the number belongs to alone; None where it is the limit's own, measured on hosts like this one."""
    if class_name is None:
        return None
    # Limits are scaled by the first class with a speed, so they are its own; without any, the first one's.
    measured_on = standing(None, hosts, None).reference or next(iter(hosts))
    return None if class_name == measured_on and class_name not in limit.maximum_on else class_name


def _outlook(
    number: float,
    kind: Literal["max", "min"],
    passing: Prediction,
    failing: Prediction,
    uppers: Sequence[float],
    lowers: Sequence[float],
) -> Outlook:
    if kind == "max":
        misses, fails = passing.chance_above(number), failing.chance_above(number)
        failed_runs = sum(low > number for low in lowers)
    else:
        misses, fails = passing.chance_below(number), failing.chance_below(number)
        failed_runs = sum(high < number for high in uppers)
    # The two ends are predicted apart, but an interval that is all beyond is also one that is not within.
    fails = min(fails, misses)
    return Outlook(number, fails, misses - fails, failed_runs)


def _with_number(limit: Limit, kind: Literal["max", "min"], number: float) -> Limit:
    return replace(limit, maximum=number if kind == "max" else None, minimum=number if kind == "min" else None)


def _minute(utc: str) -> str:
    """`2026-01-01 20:15`, of an ISO 8601 instant."""
    return utc[: len("2026-01-01T20:15")].replace("T", " ")
