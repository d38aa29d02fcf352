"""How do a measurement and a verdict stand in the record?

Comes in: a `Measurement`, a `Judgement`. Goes out: the models of record.py that say the same. recorded_measurement.py
is the way back. No I/O.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict

from perfgate import drift
from perfgate.experiment import capacity_figures
from perfgate.experiment.arms import Arm, GatewaySpec
from perfgate.experiment.gateway_figures import gateway_rows
from perfgate.experiment.measurement import Measurement, NotMeasured, Window
from perfgate.load import wire
from perfgate.load.schedule import ClosedLoop, OpenLoop, Schedule
from perfgate.record import (
    ArmRecord,
    CapacityRecord,
    ClosedLoopRecord,
    ComparisonRecord,
    CurvePointRecord,
    DriftRecord,
    EstimateRecord,
    FaultCycleRecord,
    GatewayRecord,
    GatewayRowRecord,
    GatewayUseRecord,
    JudgementRecord,
    LedgerUseRecord,
    LimitRecord,
    LoadRecord,
    MeasurementRecord,
    ObjectiveRecord,
    OpenLoopRecord,
    SearchRecord,
    SinkUseRecord,
    TrialRecord,
    WaiverRecord,
    WindowRecord,
)
from perfgate.stats.rate_search import Capacity
from perfgate.thresholds import Limit, Objective
from perfgate.verdict import DRIFT_OUTCOMES, Compared, Judgement, drift_words, unit_of


def _window_record(window: Window) -> WindowRecord:
    load = wire.result_as_json(window.load)
    del load["failed_replies"]  # they have a file of their own
    return WindowRecord(
        arm=window.arm,
        generation=window.generation,
        round=window.round,
        position=window.position,
        seed=window.seed,
        load=LoadRecord.model_validate(load),
        gateway=GatewayUseRecord(**asdict(window.gateway)) if window.gateway else None,
        upstream_requests=window.upstream_requests,
        ledger=LedgerUseRecord(**asdict(window.ledger)) if window.ledger else None,
        sink=SinkUseRecord(**asdict(window.sink)) if window.sink else None,
        trial=TrialRecord(**asdict(window.trial)) if window.trial else None,
    )


def measurement_record(measurement: Measurement, written: Sequence[WindowRecord] = ()) -> MeasurementRecord:
    """A measurement as it stands in the record; `written` are those of its windows that do so already."""
    return MeasurementRecord(
        scenario=measurement.scenario,
        arms=[_arm_record(arm) for arm in measurement.arms],
        schedule=_schedule_record(measurement.schedule),
        direct_schedule=_schedule_record(measurement.direct_schedule),
        mock_delay_ms=measurement.mock_delay_ms,
        looks=measurement.looks,
        look=measurement.look,
        rounds_planned_max=measurement.rounds_planned_max,
        stopped=measurement.stopped,
        unasked=list(measurement.unasked),
        shown=[_window_record(window) for window in measurement.shown],
        shown_schedule=_schedule_record(measurement.shown_schedule),
        faults=[FaultCycleRecord(**asdict(cycle)) for cycle in measurement.faults],
        gateways=_gateway_rows(measurement),
        search=_search_record(measurement, measurement.objective) if measurement.objective is not None else None,
        windows=[*written, *map(_window_record, measurement.windows[len(written) :])],
    )


def _search_record(measurement: Measurement, objective: Objective) -> SearchRecord:
    def of(figure: Callable[[Measurement], Capacity]) -> CapacityRecord | None:
        try:
            found = figure(measurement)
        except NotMeasured:
            return None  # no window of that arm so far
        return CapacityRecord(**{**asdict(found), "high_rps": _if_finite(found.high_rps)})

    return SearchRecord(
        objective=ObjectiveRecord(**objective.model_dump()),
        gateway=of(capacity_figures.capacity),
        direct=of(capacity_figures.ceiling),
        curve=[CurvePointRecord(**asdict(point)) for point in capacity_figures.curve(measurement)],
    )


def _gateway_rows(measurement: Measurement) -> list[GatewayRowRecord]:
    """The table of a measurement that is over: one that goes on would make it anew after every window."""
    if not measurement.stopped:
        return []
    words = {arm.name: str(arm.gateway) if arm.gateway is not None else "no gateway" for arm in measurement.arms}
    return [GatewayRowRecord(**asdict(row), words=words[row.arm]) for row in gateway_rows(measurement)]


def _schedule_record(schedule: Schedule | None) -> OpenLoopRecord | ClosedLoopRecord | None:
    match schedule:
        case OpenLoop():
            return OpenLoopRecord(**asdict(schedule))
        case ClosedLoop():
            return ClosedLoopRecord(**asdict(schedule))
        case None:
            return None


def _arm_record(arm: Arm) -> ArmRecord:
    return ArmRecord(
        name=arm.name,
        gateway=_gateway_record(arm.gateway) if arm.gateway else None,
        model=arm.model,
        same_prompt=arm.same_prompt,
        api=arm.api.value,
        backend=arm.backend,
    )


def _gateway_record(gateway: GatewaySpec) -> GatewayRecord:
    return GatewayRecord(
        words=str(gateway),
        product=gateway.product,
        source=gateway.source.option_text,
        deps=gateway.deps,
        workers=gateway.workers,
        instances=gateway.instances,
        config_path=str(gateway.config_path) if gateway.config_path is not None else None,
        with_packages=list(gateway.with_packages),
        faults=gateway.faults,
        backend=gateway.backend,
        database=gateway.database,
        redis=gateway.redis,
        redis_fails=gateway.redis_fails,
        callback=gateway.callback,
        callback_fault=gateway.callback_fault,
        cpus_per_instance=gateway.cpus_per_instance,
        memory_per_instance_bytes=gateway.memory_per_instance_bytes,
        every_api=gateway.every_api,
        apart=gateway.apart,
    )


def judgement_record(judgement: Judgement) -> JudgementRecord:
    """A verdict as it stands in the record."""
    estimate = None
    if judgement.estimate is not None:
        fields = asdict(judgement.estimate)
        estimate = EstimateRecord(**{name: fields[name] for name in EstimateRecord.model_fields})
    return JudgementRecord(
        scenario=judgement.scenario,
        metric=judgement.metric,
        verdict=judgement.verdict.value,
        reason=judgement.reason.value,
        detail=judgement.detail,
        limit=_limit_record(judgement.limit),
        estimate=estimate,
        comparison=_comparison_record(judgement.compared) if judgement.compared is not None else None,
        apparatus=judgement.health.words,
        waiver=_waiver_record(judgement),
        drift=_drift_record(judgement),
    )


def _comparison_record(compared: Compared) -> ComparisonRecord:
    one, slowdown = compared.comparison, compared.comparison.slowdown
    return ComparisonRecord(
        baseline=one.baseline,
        candidate=one.candidate,
        ratio=slowdown.ratio,
        low=compared.low if compared.low > 0 else None,
        high=_if_finite(compared.high),
        confidence=compared.confidence,
        allowed_ratio=compared.allowed_ratio,
        smallest_failing_ratio=_if_finite(compared.smallest_failing_ratio),
        log_standard_error=slowdown.standard_error,
        family=compared.family,
        look=compared.look,
        looks=compared.looks,
        rounds=one.rounds,
        generations=one.generations,
        requests=one.requests,
        control_ratio=compared.control.slowdown.ratio if compared.control is not None else None,
        is_improvement=slowdown.is_improvement(compared.alpha),
        claim=compared.claim,
    )


def _waiver_record(judgement: Judgement) -> WaiverRecord | None:
    ceiling, standing = judgement.ceiling, judgement.waived
    if ceiling is None or standing is None:
        return None
    waiver = judgement.limit.waiver
    assert waiver is not None, "the ceiling is its"
    return WaiverRecord(
        ceiling=ceiling.number,
        basis=ceiling.basis,
        expires=waiver.expires.isoformat(),
        why=waiver.why,
        link=waiver.link,
        path=waiver.path,
        line=waiver.line,
        standing=standing,
    )


def _drift_record(judgement: Judgement) -> DriftRecord | None:
    drifted, unit = judgement.drift, unit_of(judgement.metric)
    if drifted is None:
        return None
    if isinstance(drifted, drift.NotJudged):
        return DriftRecord(outcome="not judged", words=drifted.why)
    return DriftRecord(
        outcome=DRIFT_OUTCOMES[drifted.decision],
        words=drift_words(drifted, unit),
        figure=drifted.limit.figure,
        allowed_ratio=drifted.limit.allowed_ratio,
        ratio=drifted.ratio,
        low=_if_finite(drifted.low),
        high=_if_finite(drifted.high),
    )


def _if_finite(ratio: float) -> float | None:
    return ratio if math.isfinite(ratio) else None


def _limit_record(limit: Limit) -> LimitRecord:
    return LimitRecord(
        maximum=limit.maximum,
        minimum=limit.minimum,
        margin=limit.margin,
        equivalent_within=limit.equivalent_within,
        claim=limit.claim,
        floor=limit.floor,
        why=limit.why,
        path=limit.path,
        line=limit.line,
        basis=limit.basis,
    )
