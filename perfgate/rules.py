"""Which limits hold in a run, and what do they say of a measurement?

Comes in: thresholds, the profile, how the host stands to those that limits were measured on; then measurements. Goes
out: judgements by metric. A run judges by this while it measures, and whoever judges its record again (rejudge.py) does
too, so that both say the same. No I/O, no pytest.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from perfgate import drift, verdict
from perfgate.comparison_verdict import judge_comparison
from perfgate.drift_verdict import with_drift
from perfgate.experiment import health
from perfgate.experiment.health import Health
from perfgate.experiment.measurement import Measurement
from perfgate.host_limits import HostStanding
from perfgate.record import HostSpeedRecord
from perfgate.record_entries import measurement_record
from perfgate.thresholds import Limit, Thresholds
from perfgate.verdict import Judgement

#: The limit on any of these guards a scenario's other figures.
ERROR_GUARDS: Final = ("error_ratio", "fault_error_ratio", "size_error_ratio", "gateways_error_ratio")


@dataclass(frozen=True, slots=True)
class DriftRules:
    """What drift is counted from, and what this run is, as far as it matters for that.

    Args:
        base: the committed record.
        host_class, host_speed: of this run; None where not known.
    """

    base: drift.Base
    host_class: str | None
    host_speed: HostSpeedRecord | None

    def limits(
        self, measurement: Measurement, limits: Iterable[Limit]
    ) -> Mapping[str, drift.DriftLimit | drift.NotJudged]:
        """How far the figures of those limits that have a drift may be from those of the committed record."""
        drifting = [limit for limit in limits if limit.drift is not None]
        if not drifting:
            return {}
        what = measurement_record(replace(measurement, windows=(), shown=(), faults=(), objective=None))
        here = drift.Here(self.host_class, self.host_speed, what)
        return {limit.metric: drift.drift_limit(self.base, here, limit) for limit in drifting}


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits of one run.

    Args:
        thresholds: all of the file.
        profile: that the run is of; margins may depend on it.
        host: what absolute limits come to there.
        drifts: None where no limit has a drift.
    """

    thresholds: Thresholds
    profile: str
    host: HostStanding
    drifts: DriftRules | None = None

    def compared(self, measurement: Measurement) -> Mapping[str, Judgement]:
        """The verdicts by all limits of the measurement's scenario that compare two arms: they are judged together."""
        limits = self.thresholds.scenarios[measurement.scenario].limits
        here = {metric: limit.in_profile(self.profile) for metric, limit in limits.items() if limit.is_relative}
        judgements = judge_comparison(measurement, here, self._fitness(measurement))
        return self._with_drift(judgements, measurement, here.values())

    def absolute(self, measurement: Measurement, metrics: Collection[str] | None = None) -> Mapping[str, Judgement]:
        """The verdicts by limits of the measurement's scenario that are numbers.

        Args:
            measurement: see there.
            metrics: of these limits alone; None for all of them.
        """
        return {judgement.metric: judgement for judgement in self._each_absolute(measurement, metrics)}

    def leaves_open(self, measurement: Measurement) -> bool:
        """Whether more rounds could still decide one of the limits that are numbers."""
        return any(judgement.is_open for judgement in self._each_absolute(measurement, None))

    def _each_absolute(self, measurement: Measurement, metrics: Collection[str] | None) -> Iterator[Judgement]:
        limits = self.thresholds.scenarios[measurement.scenario].limits
        error_limit = next((limits[metric] for metric in ERROR_GUARDS if metric in limits), None)
        fitness = self._fitness(measurement)  # once: it merges every window's histograms
        for metric, limit in limits.items():
            if not limit.is_relative and (metrics is None or metric in metrics):
                judgement = verdict.judge(measurement, limit, fitness, error_limit, self.host)
                yield self._with_drift({metric: judgement}, measurement, [limit])[metric]

    def _with_drift(
        self, judgements: Mapping[str, Judgement], measurement: Measurement, limits: Iterable[Limit]
    ) -> Mapping[str, Judgement]:
        if self.drifts is None:
            return judgements
        return with_drift(judgements, measurement, self.drifts.limits(measurement, limits))

    def _fitness(self, measurement: Measurement) -> Health:
        if not measurement.windows:  # of two arms that are not to be compared
            return Health("nothing was measured")
        return health.check(measurement, self.thresholds.apparatus)
