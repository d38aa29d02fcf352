"""How is a table of HTTP requests run: the page's users, scaled, on interleaved arms?

Comes in: an `HttpTable` with its arms and the page's rows. Goes out: `Reproduced`. The load is a closed loop, beside
windows without a gateway, which show that generator and mock are fit (running.py).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from perfgate.experiment.arms import DATABASE_FLUSH_MAX_S, Arm, GatewaySpec
from perfgate.experiment.bench import StackBench
from perfgate.experiment.measurement import Measurement
from perfgate.load.schedule import ClosedLoop, Schedule
from perfgate.reproduce import running
from perfgate.reproduce.differences import differences_of
from perfgate.reproduce.published import SETTINGS, FigureName, PageRun, PublishedRow
from perfgate.reproduce.reproduced import Difference, Reproduced
from perfgate.reproduce.running import DIRECT, RoundsTable, Said, TableLoad
from perfgate.reproduce.scale import Scale
from perfgate.reproduce.table import Reproduction, Service
from perfgate.stack.callbacks import CallbackName

#: Until all users are there, and have found their rhythm: some turns of think time and latency.
WARM_UP_S: Final = 4.0
#: As long as what a gateway writes into its database belongs to its window; long enough without one, too.
WINDOW_S: Final = float(2 * DATABASE_FLUSH_MAX_S)
#: Users without think time, for each core that gateways have: so many that a gateway never waits for them.
BUSY_USERS: Final = 8


@dataclass(frozen=True, slots=True)
class HttpTable(RoundsTable):
    """A table of chat completions.

    Args:
        name, title: see `Table`.
        published: the page's rows; their arms are among those of `arms`.
        arms: the gateways by arm, in the order of the page, made of the one that was asked for.
        compared: pairs of arms whose figures are divided: the first by the second.
        page: what it says of this table's run.
        more: figures beside the page's columns.
        services, callback: see `Table`.
        thinks: whether users think as the page's do; else they wait for each reply, and nothing else.
        why_not: where they don't think, why, in words.
        caveats: what a run at a scale cannot show, in words.
        differences: settings of its own that are not the page's.
    """

    name: str
    title: str
    published: tuple[PublishedRow, ...]
    arms: Callable[[GatewaySpec, Scale], Mapping[str, GatewaySpec]]
    compared: tuple[tuple[str, str], ...]
    page: PageRun = field(default_factory=PageRun)
    more: tuple[FigureName, ...] = ()
    services: tuple[Service, ...] = ()
    callback: CallbackName | None = None
    thinks: bool = True
    why_not: str = ""
    caveats: Callable[[Scale, Measurement], Sequence[str]] = lambda scale, measurement: ()
    differences: Sequence[Difference] = ()

    @property
    def by_locust(self) -> bool:
        """As `Table` says."""
        return True

    def schedule(self, scale: Scale) -> ClosedLoop:
        """The load of every gateway's window."""
        if not self.thinks:
            return ClosedLoop(BUSY_USERS * scale.cores, WARM_UP_S, WINDOW_S)
        low_s, high_s = SETTINGS.think_time_s
        return ClosedLoop(
            scale.users,
            WARM_UP_S,
            WINDOW_S,
            think_time_s=low_s,
            think_time_max_s=high_s,
            spawn_per_s=scale.users_per_s,
        )

    def load(self, reproduction: Reproduction) -> TableLoad:
        """What its arms are asked, at the scale of this host."""
        settings, scale = reproduction.settings, reproduction.scale
        schedule = self.schedule(scale)
        direct = Arm("direct", None, settings.direct_model, direct_on=settings.gateway.backend)
        gateways = [
            Arm(name, spec, settings.model if spec.product == "litellm" else settings.direct_model)
            for name, spec in self.arms(settings.gateway, scale).items()
        ]
        by_rate = settings.locust is None
        return TableLoad((direct, *gateways), schedule, DIRECT if by_rate else _direct_users(schedule.users))

    def run(self, bench: StackBench, reproduction: Reproduction) -> Reproduced:
        """As `Table` says."""
        load = self.load(reproduction)

        def differences(rounds: int) -> tuple[Difference, ...]:
            return differences_of(
                load.gateways,
                load.schedule,
                rounds,
                self.page,
                reproduction,
                why_no_thinking=self.why_not,
                own=self.differences,
            )

        said = Said(
            self.more, self.compared, differences, lambda measurement: self.caveats(reproduction.scale, measurement)
        )
        return running.run(self, load, said, bench, reproduction)


def _direct_users(users: int) -> Schedule:
    """`DIRECT` for a generator that knows no rates: users who think so long that they send as much."""
    return ClosedLoop(users, DIRECT.warm_up_s, DIRECT.window_s, DIRECT.tail_s, think_time_s=users / DIRECT.offered_rps)
