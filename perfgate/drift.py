"""How far may a figure be from that of the committed record, and can the two be compared at all?

Comes in: the record that thresholds.yaml names under `drift`, what this run is, a limit with a drift. Goes out: a
`DriftLimit`, or `NotJudged` with the reason in words. drift_verdict.py judges by it.

    Base (a record) --drift_limit, with Here and a Limit--> DriftLimit | NotJudged --drift_verdict.py--> Drifted

A step of a few percent passes its margin, and so do ten of them; the record stays until somebody commits another one.
Figures of two runs compare only on one class of hosts and with one load. Within a class a host is not always as fast as
it was: figures that follow its speed are carried over by the measured host speed of either run (host_limits.py).
"""

from dataclasses import dataclass
from typing import Final

from perfgate import record
from perfgate.errors import BadInput
from perfgate.experiment.metrics import METRICS
from perfgate.host_limits import SAME_SPEED_MAX, SAME_SPEED_MIN
from perfgate.record import GatewayRecord, HostSpeedRecord, JudgementRecord, MeasurementRecord, Record
from perfgate.stats.decision import Decision
from perfgate.stats.evidence import allowed_ratio
from perfgate.thresholds import DriftSource, Limit

#: What of a gateway decides what its figures mean, in words; its version may differ, that is what drifts.
_SIZE: Final = {
    "backend": "backend",
    "workers": "workers",
    "instances": "instances",
    "database": "database",
    "redis": "Redis",
    "callback": "callback",
    "cpus_per_instance": "cores of an instance",
    "memory_per_instance_bytes": "memory of an instance",
}


@dataclass(frozen=True, slots=True)
class Base:
    """The record that drift is counted from.

    Args:
        path: as thresholds.yaml names it.
        record: its content.
    """

    path: str
    record: Record

    @property
    def words(self) -> str:
        """`litellm 1.79.3 of 2026-01-01 (docs/baseline.json)`."""
        return f"{self.record.gateway} of {self.record.started_utc[:10]} ({self.path})"


@dataclass(frozen=True, slots=True)
class Here:
    """What this run is, as far as figures depend on it.

    Args:
        host_class: None for a host of none.
        host_speed: None where it was not measured.
        measurement: of the scenario; its windows do not matter.
    """

    host_class: str | None
    host_speed: HostSpeedRecord | None
    measurement: MeasurementRecord


@dataclass(frozen=True, slots=True)
class DriftLimit:
    """How far a figure may be from the record's.

    Args:
        figure: the record's, in the metric's unit, as this host would have it today.
        allowed_ratio: the largest slowdown ratio since then that keeps to the budget.
        against: what it is held against, in words.
    """

    figure: float
    allowed_ratio: float
    against: str


@dataclass(frozen=True, slots=True)
class NotJudged:
    """Why drift is not judged, in words."""

    why: str


@dataclass(frozen=True, slots=True)
class Drifted:
    """How far a figure is from the record's, as it was judged.

    Args:
        limit: see there.
        ratio: of the two, above 1 is worse, whatever the metric.
        low, high: its interval, by this run's spread alone.
        decision: FAIL where the budget is exceeded.
    """

    limit: DriftLimit
    ratio: float
    low: float
    high: float
    decision: Decision


def read_base(source: DriftSource) -> Base:
    """Read the committed record.

    Raises:
        BadInput: it is not there, or not a record of a run that was made to its end.
    """
    try:
        found = record.read(source.file)
    except BadInput as error:
        raise BadInput(
            f"{source.place}: drift.record: {error}; nothing was started\n"
            "next: commit the record of a run there (docs/thresholds.md, Drift), or take the drifts out"
        ) from error
    if found.finished_utc is None or found.incomplete:
        raise BadInput(
            f"{source.place}: drift.record: {source.path} is the record of a run that was not made to its end; nothing "
            "was started\nnext: commit that of a whole run (docs/thresholds.md, Drift)"
        )
    return Base(source.path, found)


def drift_limit(base: Base, here: Here, limit: Limit) -> DriftLimit | NotJudged:
    """What the limit's drift comes to in this run.

    Args:
        base: the committed record.
        here: this run.
        limit: with a drift, of the scenario that `here` has measured.
    """
    assert limit.drift is not None, "it has one"
    scenario = here.measurement.scenario
    then = base.record
    if here.host_class is None:
        return NotJudged("this host is in no class of thresholds.yaml (hosts); `perfgate calibrate` adds it")
    if then.host_class != here.host_class:
        of = f"the host class {then.host_class}" if then.host_class is not None else "a host of no class"
        return NotJudged(f"{base.path} was measured on {of}, this is {here.host_class}")
    factor = _slower_by(base, here)
    if isinstance(factor, NotJudged):
        return factor
    other = _other_load(then, here.measurement)
    if other is not None:
        return NotJudged(f"{base.path} was measured with {other}")
    judged = [one for one in then.judgements if (one.scenario, one.metric) == (scenario, limit.metric)]
    figure = _figure(judged[-1]) if judged else None
    if figure is None:
        return NotJudged(f"{base.path} has no figure of {scenario}.{limit.metric} that could be judged")
    if not figure > 0:
        return NotJudged(f"the figure in {base.path} is {figure:.3g}: only of one above 0 there is a share")
    metric = METRICS[limit.metric]
    carried = figure * factor if metric.grows_on_slow_hosts else figure
    carried = figure / factor if metric.shrinks_on_slow_hosts else carried
    speed = "" if carried == figure else f", host speed ×{carried / figure:.2f}"
    return DriftLimit(carried, allowed_ratio(limit.drift, limit.floor, carried), f"{base.words}{speed}")


def _slower_by(base: Base, here: Here) -> float | NotJudged:
    """How many times as long this host takes as it did then, for the same work."""
    then, now = base.record.host_speed, here.host_speed
    if then is None or now is None or then.work_version != now.work_version:
        return NotJudged(f"the host's speed is not known of this run and of {base.path}, so its figures do not compare")
    factor = now.median_ms / then.median_ms
    if not SAME_SPEED_MIN <= factor <= SAME_SPEED_MAX:
        return NotJudged(
            f"this host takes {factor:.2f} times as long as it did in {base.path} for the same work: it is busy, or "
            "not the same any more"
        )
    return factor


def _other_load(then: Record, now: MeasurementRecord) -> str | None:
    """In what the load or the gateway's size was another one, in words; None when it was not, or was never measured."""
    before = next((one for one in then.measurements if one.scenario == now.scenario), None)
    if before is None:
        return None
    if before.schedule != now.schedule:
        return f"another load of {now.scenario}"
    for arm, was in _gateways(before).items():
        found = _gateways(now).get(arm)
        for name, words in _SIZE.items() if found is not None else ():
            if getattr(was, name) != getattr(found, name):
                return f"another gateway: {words} {getattr(was, name)}, not {getattr(found, name)}"
    return None


def _gateways(measurement: MeasurementRecord) -> dict[str, GatewayRecord]:
    return {arm.name: arm.gateway for arm in measurement.arms if arm.gateway is not None}


def _figure(judgement: JudgementRecord) -> float | None:
    """What was measured of the gateway that was judged; None of what could not be judged."""
    if judgement.verdict == "INVALID":
        return None
    if judgement.comparison is not None:
        return judgement.comparison.candidate
    return None if judgement.estimate is None else judgement.estimate.value
