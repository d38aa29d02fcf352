"""How is a table's load run in the time that it has, and what does every record of one say?

Comes in: the arms and the load (`TableLoad`), a `Reproduction`. Goes out: a `Measurement`, and the `Reproduced` that is
made of it. All arms are interleaved, in rounds of random order, as those of every scenario (experiment/rounds.py).

What a table takes is known beforehand as far as its windows go; how long gateways take to start is only known once they
are up. Then it decides on its rounds: all of them, or fewer where the time is short.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Final

from perfgate import __version__
from perfgate.errors import StackFailed
from perfgate.experiment import health, sink_ledger
from perfgate.experiment.arms import DATABASE_FLUSH_MAX_S, Arm, GatewaySpec
from perfgate.experiment.measurement import Measurement
from perfgate.experiment.rounds import SETTLE_S, WINDOW_EXTRA_S, Bench, RoundsPlan, run_rounds
from perfgate.experiment.start_plan import GatewayStart, settling_s, starting_s
from perfgate.load.api import Api
from perfgate.load.realtime_drive import CLOSE_SPACING_S, QUIET_S
from perfgate.load.schedule import ClosedLoop, OpenLoop, Schedule
from perfgate.measure.host import fingerprint
from perfgate.record import ServiceRecord
from perfgate.record_entries import measurement_record
from perfgate.reproduce import figures
from perfgate.reproduce.command_line import without_folders
from perfgate.reproduce.published import FigureName, PublishedRow
from perfgate.reproduce.reproduced import Difference, Ratio, Reproduced
from perfgate.reproduce.resuming import settings_words
from perfgate.reproduce.table import Reproduction, Table
from perfgate.stats.resampling import ROUNDS_MIN

#: Rounds of every table: enough to see a spread, few enough that all tables take 25 minutes on two cores.
ROUNDS: Final = 3
#: Windows without a gateway show that generator and mock are fit.
DIRECT: Final = OpenLoop(offered_rps=60, warm_up_s=0.5, window_s=3)
#: Supervisor, mock and generator, and what else stands beside the gateways.
BENCH_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class TableLoad:
    """What the arms of a table are asked.

    Args:
        arms: the direct one, then the gateways in the order of the page.
        schedule: of every gateway's window.
        direct_schedule: of the direct arm's windows; None for the same.
        payload_bytes: length of the prompt; None for the published one.
    """

    arms: tuple[Arm, ...]
    schedule: ClosedLoop
    direct_schedule: Schedule | None = None
    payload_bytes: int | None = None

    @property
    def gateways(self) -> dict[str, GatewaySpec]:
        """By arm."""
        return {arm.name: arm.gateway for arm in self.arms if arm.gateway is not None}

    @property
    def round_s(self) -> float:
        """Of one window of each arm, to plan with."""
        return sum(self._window_s(arm) for arm in self.arms)

    @property
    def starting_s(self) -> float:
        """Until all gateways are up and have settled, to plan with."""
        specs = self.gateways.values()
        starts = [GatewayStart.of(spec) for spec in specs]
        return BENCH_S + starting_s(starts) + settling_s(starts, self.schedule, SETTLE_S) + sum(map(_drain_s, specs))

    @property
    def words(self) -> str:
        """All of it."""
        arms = "; ".join(f"{name}: {spec}" for name, spec in self.gateways.items())
        return f"{arms}; {self.schedule}, direct {self.direct_schedule}, prompt {self.payload_bytes or 'as published'}"

    def _window_s(self, arm: Arm) -> float:
        schedule = (self.direct_schedule or self.schedule) if arm.is_direct else self.schedule
        after_s = 0.0 if arm.gateway is None else _drain_s(arm.gateway)
        if arm.api is Api.REALTIME:
            after_s += QUIET_S + CLOSE_SPACING_S * self.schedule.users
        return schedule.warm_up_s + schedule.window_s + WINDOW_EXTRA_S + after_s


@dataclass(frozen=True, slots=True)
class Said:
    """What a table says of itself, beside its figures.

    Args:
        more: figures beside the page's columns.
        compared: pairs of arms whose figures are divided: the first by the second.
        differences: settings that are not the page's, of so many rounds.
        caveats: what the run cannot show, in words.
    """

    more: Sequence[FigureName]
    compared: Sequence[tuple[str, str]]
    differences: Callable[[int], tuple[Difference, ...]]
    caveats: Callable[[Measurement], Sequence[str]]


class RoundsTable(ABC):
    """A table whose load is run in rounds (`run`): what it says of its load, and takes, follow from that.

    A table derives from it, and adds what else a `Table` has.
    """

    __slots__ = ()

    @abstractmethod
    def load(self, reproduction: Reproduction) -> TableLoad:
        """What its arms are asked, at the scale of this host."""

    def load_words(self, reproduction: Reproduction) -> str:
        """As `Table` says."""
        return self.load(reproduction).words

    def planned_s(self, reproduction: Reproduction) -> float:
        """As `Table` says."""
        load = self.load(reproduction)
        return load.starting_s + ROUNDS * load.round_s


def run(table: Table, load: TableLoad, said: Said, bench: Bench, reproduction: Reproduction) -> Reproduced:
    """Run a table, and set it beside the page.

    Raises:
        BadInput: this host cannot hold its gateways, or one of them cannot be had.
        StackFailed: a service did not start or died, or nothing was answered.
    """
    began = datetime.now(UTC)
    measurement = _measured(table.name, load, bench, reproduction)
    took_s = (datetime.now(UTC) - began).total_seconds()
    settings, arms = reproduction.settings, list(load.gateways)
    fitness = health.check(measurement, reproduction.apparatus)
    unanswered = figures.unanswered_of(measurement, arms)
    if sum(one.windows == one.of for one in unanswered) == len(arms):
        kinds = "; ".join(f"{one.arm}: {one.errors or 'none'}" for one in unanswered)
        raise StackFailed(f"the table {table.name} cannot be made: no request was answered; errors by arm: {kinds}")
    return Reproduced(
        table=table.name,
        title=table.title,
        rows=figures.rows_of(measurement, table.published, arms, said.more),
        ratios=_ratios(measurement, table.published, said),
        law=figures.laws_of(measurement, arms),
        differences=said.differences(len(measurement.rounds)),
        caveats=tuple(said.caveats(measurement)),
        failed=figures.failed_of(measurement, arms),
        complaints=fitness.complaints,
        apparatus=fitness.words,
        settings=settings_words(table, reproduction),
        took_s=round(took_s, 1),
        started_utc=began.isoformat(timespec="seconds"),
        perfgate_version=__version__,
        gateway=str(replace(settings.gateway, source=without_folders(settings.gateway.source))),
        scale=reproduction.scale.name,
        seed=settings.seed,
        host=asdict(fingerprint()),
        backend=settings.gateway.backend,
        services=tuple(ServiceRecord(name=name, facts=facts) for name, facts in reproduction.services),
        notes=tuple(reproduction.notes),
        unanswered=unanswered,
        command=reproduction.command,
        measurement=measurement_record(measurement),
    )


def _measured(name: str, load: TableLoad, bench: Bench, reproduction: Reproduction) -> Measurement:
    def fitted(plan: RoundsPlan) -> RoundsPlan:
        fitting = reproduction.time_left_s() / load.round_s
        rounds = int(max(ROUNDS_MIN, min(ROUNDS, fitting)))
        return replace(plan, per_generation=rounds, per_generation_max=rounds)

    return run_rounds(
        bench,
        f"reproduce {name}",
        load.arms,
        load.schedule,
        RoundsPlan(generations=1, per_generation=ROUNDS, per_generation_max=ROUNDS),
        seed=reproduction.settings.seed,
        until=lambda measurement: False,
        time_left_s=lambda: float("inf"),
        payload_bytes=load.payload_bytes,
        direct_schedule=load.direct_schedule,
        on_progress=reproduction.on_progress,
        fitted=fitted,
    )


def _ratios(measurement: Measurement, published: Sequence[PublishedRow], said: Said) -> tuple[Ratio, ...]:
    of_pairs = (figures.ratios_of(measurement, published, arm, than, said.more) for arm, than in said.compared)
    return tuple(ratio for of_pair in of_pairs for ratio in of_pair)


def _drain_s(spec: GatewaySpec) -> float:
    """For what a gateway still writes after a window: on average half the time between two writings."""
    return (DATABASE_FLUSH_MAX_S / 2 if spec.database else 0.0) + (sink_ledger.DRAIN_S if spec.callback else 0.0)
