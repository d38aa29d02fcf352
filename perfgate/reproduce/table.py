"""What is a table of the page, to whoever runs it?

Values and a protocol. A table is a module of its own with one constant; tables.py lists them. One whose load is of HTTP
requests is an `HttpTable` (http_table.py); one whose load is another implements `Table` itself.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from perfgate.experiment.bench import StackBench
from perfgate.experiment.rounds import Progress
from perfgate.reproduce.published import PublishedRow
from perfgate.reproduce.reproduced import Reproduced
from perfgate.reproduce.scale import Scale
from perfgate.settings import Settings
from perfgate.stack.callbacks import CallbackName
from perfgate.thresholds import Apparatus

Service = Literal["postgres", "redis"]


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A run of a table, as it was asked for.

    Args:
        settings: of the gateway, its backend holds; and of who sends the load.
        scale: of this host.
        gateway_cores: that gateways have here, all together.
        apparatus: what generator and mock have to keep to.
        command: that runs the table again, as a document may have it.
        on_progress: called before every window.
        time_left_s: seconds that the table still has; asked once its gateways are up, when it decides on its rounds.
        services: told by the bench; what runs in the stack goes here.
        notes: what a report has to say.
    """

    settings: Settings
    scale: Scale
    gateway_cores: int
    apparatus: Apparatus
    command: str = ""
    on_progress: Callable[[Progress], None] = lambda progress: None
    time_left_s: Callable[[], float] = lambda: math.inf
    services: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Table(Protocol):
    """One table of the page, or several that belong together."""

    @property
    def name(self) -> str:
        """As `--table` has it."""

    @property
    def title(self) -> str:
        """As the document has it."""

    @property
    def published(self) -> Sequence[PublishedRow]:
        """Its rows on the page."""

    @property
    def services(self) -> Collection[Service]:
        """What stands beside the gateway."""

    @property
    def callback(self) -> CallbackName | None:
        """By which the gateway has to be able to log."""

    @property
    def by_locust(self) -> bool:
        """Whether Locust can send its load."""

    def load_words(self, reproduction: Reproduction) -> str:
        """Who is asked what, in words that are others as soon as the load or a gateway is."""

    def planned_s(self, reproduction: Reproduction) -> float:
        """How long it takes with all its rounds, from its first gateway's start; by what such things took elsewhere."""

    def run(self, bench: StackBench, reproduction: Reproduction) -> Reproduced:
        """Run it, and set it beside the page.

        Raises:
            BadInput: this host cannot hold its gateways, or one of them cannot be had.
            StackFailed: a service did not start or died, or nothing was answered.
        """
