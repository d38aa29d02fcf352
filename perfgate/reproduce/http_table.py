"""How is a table of HTTP requests run: the page's users, scaled, on interleaved arms?

Comes in: an `HttpTable` with its arms and the page's rows. Goes out: `Reproduced`. The load is a closed loop, run as
that of every scenario (experiment/rounds.py): rounds of all arms in random order, beside windows without a gateway.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

from perfgate import __version__
from perfgate.errors import StackFailed
from perfgate.experiment import health
from perfgate.experiment.arms import DATABASE_FLUSH_MAX_S, Arm, GatewaySpec
from perfgate.experiment.bench import StackBench
from perfgate.experiment.measurement import Measurement, NotMeasured
from perfgate.experiment.rounds import RoundsPlan, run_rounds
from perfgate.load.schedule import ClosedLoop, OpenLoop
from perfgate.measure.histogram import NoRequests
from perfgate.measure.host import fingerprint
from perfgate.record import ServiceRecord
from perfgate.record_entries import measurement_record
from perfgate.reproduce import figures
from perfgate.reproduce.differences import differences_of
from perfgate.reproduce.published import SETTINGS, PublishedRow
from perfgate.reproduce.reproduced import Reproduced
from perfgate.reproduce.scale import Scale
from perfgate.reproduce.table import Reproduction, Service
from perfgate.stack.callbacks import CallbackName
from perfgate.stats.resampling import EmptyRound, TooFewRounds

#: Rounds of every table: enough to see a spread, few enough that all tables take 25 minutes.
ROUNDS: Final = 3
#: Until users who wait and think have found their rhythm: some turns of think time and latency.
WARM_UP_S: Final = 4.0
#: As long as what a gateway writes into its database belongs to its window; long enough without one, too.
WINDOW_S: Final = float(2 * DATABASE_FLUSH_MAX_S)
#: Windows without a gateway show that generator and mock are fit.
DIRECT: Final = OpenLoop(offered_rps=60, warm_up_s=0.5, window_s=3)
#: Users without think time, for each core that gateways have: so many that a gateway never waits for them.
BUSY_USERS: Final = 8


@dataclass(frozen=True, slots=True)
class HttpTable:
    """A table of chat completions.

    Args:
        name, title: see `Table`.
        published: the page's rows; their arms are those of `arms`.
        arms: the gateways by arm, in the order of the page, made of the one that was asked for.
        compared: two arms whose figures are divided: the first by the second.
        services, callback: see `Table`.
        thinks: whether users think as the page's do; else they wait for each reply, and nothing else.
        why_not: where they don't think, why, in words.
        caveats: what a run at a scale cannot show, in words.
    """

    name: str
    title: str
    published: tuple[PublishedRow, ...]
    arms: Callable[[GatewaySpec, Scale], Mapping[str, GatewaySpec]]
    compared: tuple[str, str]
    services: tuple[Service, ...] = ()
    callback: CallbackName | None = None
    thinks: bool = True
    why_not: str = ""
    caveats: Callable[[Scale, Measurement], Sequence[str]] = lambda scale, measurement: ()

    def schedule(self, scale: Scale) -> ClosedLoop:
        """The load of every gateway's window."""
        if self.thinks:
            think_s = SETTINGS.mean_think_time_s
            return ClosedLoop(scale.users, WARM_UP_S, WINDOW_S, think_time_s=think_s)
        return ClosedLoop(BUSY_USERS * scale.cores, WARM_UP_S, WINDOW_S)

    def run(self, bench: StackBench, reproduction: Reproduction) -> Reproduced:
        """As `Table` says."""
        started_utc = datetime.now(UTC).isoformat(timespec="seconds")
        settings, scale = reproduction.settings, reproduction.scale
        specs = self.arms(settings.gateway, scale)
        direct = Arm("direct", None, settings.direct_model, direct_on=settings.gateway.backend)
        first_service = len(reproduction.services)
        measurement = run_rounds(
            bench,
            f"reproduce {self.name}",
            [direct, *(Arm(name, spec, settings.model) for name, spec in specs.items())],
            self.schedule(scale),
            RoundsPlan(generations=1, per_generation=ROUNDS, per_generation_max=ROUNDS),
            seed=settings.seed,
            until=lambda measurement: False,
            time_left_s=lambda: float("inf"),
            direct_schedule=DIRECT,
            on_progress=reproduction.on_progress,
        )
        fitness = health.check(measurement, reproduction.apparatus)
        try:
            rows = figures.rows_of(measurement, self.published, list(specs))
            ratios = figures.ratios_of(measurement, self.published, *self.compared)
            laws = figures.laws_of(measurement, list(specs))
            caveats = tuple(self.caveats(scale, measurement))
        except (NotMeasured, NoRequests, TooFewRounds, EmptyRound) as error:
            kinds = "; ".join(f"{arm}: {_errors(measurement, arm)}" for arm in specs)
            raise StackFailed(f"the table {self.name} cannot be made: {error}; errors by arm: {kinds}") from error
        return Reproduced(
            table=self.name,
            title=self.title,
            rows=rows,
            ratios=ratios,
            law=laws,
            differences=differences_of(specs, self.schedule(scale), ROUNDS, self.why_not, reproduction),
            caveats=caveats,
            failed=figures.failed_of(measurement, list(specs)),
            complaints=fitness.complaints,
            apparatus=fitness.words,
            started_utc=started_utc,
            perfgate_version=__version__,
            gateway=str(settings.gateway),
            scale=scale.name,
            seed=settings.seed,
            host=asdict(fingerprint()),
            backend=settings.gateway.backend,
            services=tuple(
                ServiceRecord(name=name, facts=facts) for name, facts in reproduction.services[first_service:]
            ),
            notes=tuple(reproduction.notes),
            measurement=measurement_record(measurement),
        )


def _errors(measurement: Measurement, arm: str) -> str:
    try:
        return ", ".join(f"{error.count:,} {error.kind}" for error in measurement.errors(arm)) or "none"
    except NotMeasured as error:
        return str(error)
