"""How do throughput and latency go with the offered rate, and where does the objective end?

Comes in: measurements of the record. Goes out: text for each that searched for a capacity; the caller prints it.
"""

import io
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from perfgate.record import CapacityRecord, CurvePointRecord, MeasurementRecord, SearchRecord

#: Narrower terminals get lines that wrap.
WIDTH_MIN: Final = 100
GATEWAY: Final = "gateway"


def curve_tables(measurements: Sequence[MeasurementRecord], width: int) -> list[str]:
    """For every search the capacity, what generator and mock hold, and the gateway's curve as a table."""
    texts = []
    for measurement in measurements:
        if measurement.search is not None:
            points = [point for point in measurement.search.curve if point.arm == GATEWAY]
            texts.append("\n".join([*_heads(measurement.scenario, measurement.search), _table(points, width)]))
    return texts


def _heads(scenario: str, search: SearchRecord) -> list[str]:
    objective = search.objective
    held = (
        f"p95 at most {objective.latency_p95_ms:g} ms, errors at most {objective.error_ratio:.2%}, answered in time at "
        f"least {objective.completed_ratio:.0%}"
    )
    return [
        f"{scenario}: {_words(search.gateway)} with {held}",
        f"{scenario}: generator and mock without a gateway: {_words(search.direct)}",
    ]


def _words(found: CapacityRecord | None) -> str:
    if found is None:
        return "not measured"
    if found.bound != "found":
        return f"{found.bound} {found.rps:.4g} requests/s"
    high = f"{found.high_rps:.4g}" if found.high_rps is not None else "none"
    percent = f"{found.confidence * 100:.4g}"
    return f"{found.rps:.4g} requests/s ({percent} % interval {found.low_rps:.4g} to {high})"


def _table(points: Sequence[CurvePointRecord], width: int) -> str:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("offered/s", "answered/s", "p50 ms", "p95 ms", "p99 ms", "failed", "answered in time", "held"):
        table.add_column(column, justify="right")
    for point in points:
        table.add_row(
            f"{point.offered_rps:.1f}",
            f"{point.answered_rps:.1f}",
            *(f"{ms:.3g}" if ms is not None else "none" for ms in (point.p50_ms, point.p95_ms, point.p99_ms)),
            f"{point.error_ratio:.2%}",
            f"{point.completed_ratio:.1%}",
            f"{point.held} of {point.windows}",
        )
    text = io.StringIO()
    Console(file=text, width=max(width, WIDTH_MIN), highlight=False).print(table)
    return text.getvalue().rstrip()
