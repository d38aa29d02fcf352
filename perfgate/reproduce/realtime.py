"""The table of realtime sessions: users who each hold one, and take turns in it.

What the page takes for a request it does not say. Here it is a turn: an item of text and `response.create`, until
`response.done`. Each user keeps its session for the whole window, and opens it before.

At a smaller scale there are more sessions than the page has for each core, 200 at least, since holding many is what the
endpoint is for; their users think so much longer that each core has as many turns a second as on the page.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from perfgate.experiment.arms import Arm
from perfgate.experiment.bench import StackBench
from perfgate.experiment.gateway_figures import LITELLM
from perfgate.experiment.measurement import Measurement
from perfgate.load.api import Api
from perfgate.load.schedule import ClosedLoop
from perfgate.reproduce import running
from perfgate.reproduce.differences import differences_of
from perfgate.reproduce.figures import USES
from perfgate.reproduce.published import NOT_SAID, REALTIME, REALTIME_RUN, SETTINGS, FigureName, PublishedRow
from perfgate.reproduce.reproduced import Difference, Reproduced
from perfgate.reproduce.running import RoundsTable, Said, TableLoad
from perfgate.reproduce.scale import Scale
from perfgate.reproduce.table import Reproduction, Service
from perfgate.stack.callbacks import CallbackName
from perfgate.stack.litellm import REALTIME_MODEL

SESSIONS_MIN: Final = 200
#: For each core of gateways: as many as can be opened without queueing, since each costs a handshake on either side.
OPENED_PER_CORE_S: Final = 25.0
#: From the first turn of the user who came last until all have found their rhythm.
RHYTHM_S: Final = 1.0
WINDOW_S: Final = 12.0
#: Of the text of each turn, as in the scenario `realtime`.
PAYLOAD_BYTES: Final = 500
MORE: Final[tuple[FigureName, ...]] = (
    "requests",
    "overhead_p50_ms",
    "overhead_p95_ms",
    "first_delta_p50_ms",
    "first_delta_p95_ms",
    "opening_p50_ms",
    "opening_p95_ms",
    "opening_overhead_p50_ms",
    "opening_overhead_p95_ms",
    "held_sessions",
    *USES,
)
CPU: Final = "CPU of a turn has its share of what the ends of all sessions cost, which are closed after every window"
NO_DATABASE: Final = (
    "the page's gateway has a database; what LiteLLM writes of a session at its end is not counted here, so it has none"
)
_OWN: Final = (
    Difference(
        "a request",
        NOT_SAID,
        f"a turn in the user's session: {PAYLOAD_BYTES} bytes of text and response.create, until response.done",
    ),
)


@dataclass(frozen=True, slots=True)
class RealtimeTable(RoundsTable):
    """The table of `/realtime`."""

    name: str = "realtime"
    title: str = "Realtime sessions"
    published: Sequence[PublishedRow] = REALTIME
    services: Sequence[Service] = ()
    callback: CallbackName | None = None
    by_locust: bool = False

    def schedule(self, scale: Scale) -> ClosedLoop:
        """The load of every window, without a gateway too: so the difference is what the gateway adds."""
        users = max(scale.users, SESSIONS_MIN)
        low_s, high_s = (think_s * users / scale.users for think_s in SETTINGS.think_time_s)
        users_per_s = min(float(SETTINGS.users_per_s), OPENED_PER_CORE_S * scale.cores)
        return ClosedLoop(
            users,
            math.ceil(users / users_per_s + high_s + RHYTHM_S),
            WINDOW_S,
            think_time_s=low_s,
            think_time_max_s=high_s,
            spawn_per_s=users_per_s,
        )

    def load(self, reproduction: Reproduction) -> TableLoad:
        """What its arms are asked, at the scale of this host."""
        settings, scale = reproduction.settings, reproduction.scale
        gateway = replace(settings.gateway, instances=scale.instances, workers=scale.workers)
        model, direct_model = settings.model, settings.direct_model
        if gateway.config_path is None:  # a configuration of the user's own has the models that it has
            gateway = replace(gateway, every_api=True)
            model = direct_model = REALTIME_MODEL
        return TableLoad(
            (
                Arm("direct", None, direct_model, api=Api.REALTIME, direct_on=gateway.backend),
                Arm(LITELLM, gateway, model, api=Api.REALTIME),
            ),
            self.schedule(scale),
            payload_bytes=PAYLOAD_BYTES,
        )

    def run(self, bench: StackBench, reproduction: Reproduction) -> Reproduced:
        """As `Table` says."""
        load = self.load(reproduction)

        def differences(rounds: int) -> tuple[Difference, ...]:
            return differences_of(load.gateways, load.schedule, rounds, REALTIME_RUN, reproduction, own=_OWN)

        return running.run(self, load, Said(MORE, (), differences, _caveats), bench, reproduction)


def _caveats(measurement: Measurement) -> Sequence[str]:
    windows, schedule = measurement.of_arm(LITELLM), measurement.schedule
    assert isinstance(schedule, ClosedLoop), "it has users"
    held = round(measurement.held_sessions(LITELLM).value)
    lost = sum(window.load.sessions_lost for window in windows)
    sessions = (
        f"of {schedule.users:,} sessions {held:,} were held at any time of every window; of the "
        f"{len(windows) * schedule.users:,} of all windows {lost:,} did not end in good order"
    )
    return sessions, CPU, NO_DATABASE


REALTIME_TABLE: Final = RealtimeTable()
