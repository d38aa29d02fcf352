"""Which figures of a version are kept, and what are they called by people?

Comes in: a name. Goes out: how it is computed from the windows of one generation, its unit and its title. Start-up time
is no figure of windows; measuring.py takes it from the starts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from perfgate.errors import BadInput
from perfgate.experiment.comparison import CPU, FIGURES, RSS, Figure
from perfgate.experiment.measurement import Window
from perfgate.measure.histogram import Histogram

#: From a gateway's start until it answers a chat completion.
START: Final = "start_s"
OVERHEAD: Final = "overhead_p50_ms"
#: The gateway's own header: a cross-check, which leaves out what waits before its handler.
HEADER: Final = "header_overhead_p50_ms"


@dataclass(frozen=True, slots=True)
class Kept:
    """A figure that is kept of every version.

    Args:
        title, unit: for people.
        figure: of one generation; None for the start-up time.
    """

    title: str
    unit: str
    figure: Figure | None


def _header_overhead_ms(windows: Sequence[Window], direct: Sequence[Window]) -> float:
    return Histogram.merged([window.load.header_overhead for window in windows]).percentile_ms(50)


#: By name, in the order of tables.
KEPT: Final[Mapping[str, Kept]] = {
    CPU: Kept("CPU per request", "ms", FIGURES[CPU]),
    **{f"overhead_p{p}_ms": Kept(f"overhead, p{p}", "ms", FIGURES[f"overhead_p{p}_ms"]) for p in (50, 95, 99)},
    "throughput_rps": Kept("throughput of two users", "requests/s", FIGURES["throughput_rps"]),
    RSS: Kept("memory", "MiB", FIGURES[RSS]),
    START: Kept("start-up time", "s", None),
    HEADER: Kept("overhead by its own header, p50", "ms", _header_overhead_ms),
    **{f"latency_p{p}_ms": Kept(f"latency, p{p}", "ms", FIGURES[f"latency_p{p}_ms"]) for p in (50, 95, 99)},
}
#: What is drawn over the versions, in this order.
DRAWN: Final = (OVERHEAD, CPU, RSS, START)
#: Other names of the same.
_ALSO: Final = {"rss_bytes": RSS}


def checked_metric(name: str) -> str:
    """A metric by its one name.

    Raises:
        BadInput: there is no such metric.

    >>> checked_metric("rss_bytes")
    'rss_mib'
    """
    known = _ALSO.get(name, name)
    if known not in KEPT:
        raise BadInput(f"--metric {name}: there are {', '.join((*KEPT, *_ALSO))}")
    return known
