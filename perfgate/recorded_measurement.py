"""Which measurement does a record tell of?

Comes in: a `MeasurementRecord`. Goes out: the `Measurement` that run.py made it of, histograms decoded, so that every
figure and verdict can be computed again. What verdicts do not read of an arm may be less than it was: of a checkout its
path and no content, of a git reference the commit alone. No I/O: nothing that a source names is looked at.
"""

from pathlib import Path
from typing import cast

from perfgate.errors import BadInput
from perfgate.experiment.arms import Arm, GatewaySpec
from perfgate.experiment.measurement import (
    FaultCycle,
    GatewayUse,
    LedgerUse,
    Measurement,
    SinkUse,
    Trial,
    Window,
)
from perfgate.load import wire
from perfgate.load.api import Api
from perfgate.load.schedule import ClosedLoop, OpenLoop, Schedule
from perfgate.record import (
    ArmRecord,
    ClosedLoopRecord,
    FaultCycleRecord,
    GatewayRecord,
    GatewayUseRecord,
    LedgerUseRecord,
    MeasurementRecord,
    OpenLoopRecord,
    SinkUseRecord,
    WindowRecord,
)
from perfgate.stack.callbacks import CallbackFault, CallbackName
from perfgate.stack.sources import Checkout, GitRef, PortkeyRelease, Release, RunningUrl, Source
from perfgate.stats.resampling import LOOKS_MAX
from perfgate.thresholds import Objective


def measurement_of(kept: MeasurementRecord) -> Measurement:
    """The measurement again.

    Raises:
        BadInput: a histogram, a load, an arm or a look that no run writes; says which.
    """
    try:
        _check_looks(kept)
        return Measurement(
            kept.scenario,
            tuple(_arm(arm) for arm in kept.arms),
            _schedule(kept.schedule),
            tuple(_window(window) for window in kept.windows),
            mock_delay_ms=kept.mock_delay_ms,
            looks=kept.looks,
            look=kept.look,
            rounds_planned_max=kept.rounds_planned_max,
            stopped=kept.stopped,
            direct_schedule=_schedule(kept.direct_schedule),
            unasked=tuple(kept.unasked),
            faults=tuple(_fault_cycle(cycle) for cycle in kept.faults),
            shown=tuple(_window(window) for window in kept.shown),
            shown_schedule=_schedule(kept.shown_schedule),
            objective=Objective(**kept.search.objective.model_dump()) if kept.search is not None else None,
        )
    except (ValueError, BadInput) as error:
        raise BadInput(f"{kept.scenario}: what was measured cannot be read: {error}") from error


def _check_looks(kept: MeasurementRecord) -> None:
    if not 1 <= kept.look <= kept.looks <= LOOKS_MAX:
        raise ValueError(
            f"look={kept.look} of looks={kept.looks} must be from 1 to looks, and those at most {LOOKS_MAX}"
        )


def _window(kept: WindowRecord) -> Window:
    try:
        load = wire.result_of_json(kept.load.model_dump())
    except ValueError as error:
        place = f"generation {kept.generation}, round {kept.round}"
        raise ValueError(f"the window of arm {kept.arm} in {place}: {error}") from error
    return Window(
        kept.arm,
        kept.generation,
        kept.round,
        kept.position,
        kept.seed,
        load,
        _use(kept.gateway),
        kept.upstream_requests,
        _ledger(kept.ledger),
        _sink(kept.sink),
        trial=Trial(**kept.trial.model_dump()) if kept.trial is not None else None,
    )


def _use(kept: GatewayUseRecord | None) -> GatewayUse | None:
    return GatewayUse(**kept.model_dump()) if kept is not None else None


def _ledger(kept: LedgerUseRecord | None) -> LedgerUse | None:
    return LedgerUse(**kept.model_dump()) if kept is not None else None


def _sink(kept: SinkUseRecord | None) -> SinkUse | None:
    return SinkUse(**kept.model_dump()) if kept is not None else None


def _fault_cycle(kept: FaultCycleRecord) -> FaultCycle:
    return FaultCycle(
        kept.generation,
        kept.began_mono_s,
        kept.over_mono_s,
        kept.ended_mono_s,
        _ledger(kept.ledger),
        _sink(kept.sink),
    )


def _schedule(kept: OpenLoopRecord | ClosedLoopRecord | None) -> Schedule | None:
    match kept:
        case OpenLoopRecord():
            return OpenLoop(**kept.model_dump())
        case ClosedLoopRecord():
            return ClosedLoop(**kept.model_dump())
        case None:
            return None


def _arm(kept: ArmRecord) -> Arm:
    if kept.gateway is None:
        return Arm(
            kept.name,
            None,
            kept.model,
            same_prompt=kept.same_prompt,
            api=Api(kept.api),
            direct_on=kept.backend,
        )
    return Arm(kept.name, _gateway(kept.gateway), kept.model, same_prompt=kept.same_prompt, api=Api(kept.api))


def _gateway(kept: GatewayRecord) -> GatewaySpec:
    return GatewaySpec(
        _source(kept.source),
        deps=kept.deps,
        workers=kept.workers,
        faults=kept.faults,
        instances=kept.instances,
        config_path=Path(kept.config_path) if kept.config_path is not None else None,
        with_packages=tuple(kept.with_packages),
        backend=kept.backend,
        database=kept.database,
        redis=kept.redis,
        cpus_per_instance=kept.cpus_per_instance,
        memory_per_instance_bytes=kept.memory_per_instance_bytes,
        redis_fails=kept.redis_fails,
        callback=cast(CallbackName | None, kept.callback),
        callback_fault=cast(CallbackFault | None, kept.callback_fault),
        every_api=kept.every_api,
        apart=kept.apart,
    )


def _source(option_text: str) -> Source:
    """What `--litellm` named."""
    kind, _, rest = option_text.partition(":")
    match kind:
        case "path":
            return Checkout(Path(rest), rest, content="")
        case "git":
            url, _, commit = rest.rpartition("@")
            return GitRef(url, commit, commit)
        case "url":
            return RunningUrl(rest)
        case "portkey":
            return PortkeyRelease(rest)
        case _:
            return Release(option_text)
