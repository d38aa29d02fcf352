"""What do gateways of several sizes come to, side by side, and which number of workers did best?

Comes in: measurements of the record. Goes out: text for each that has such arms; the caller prints it.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

from perfgate.experiment.sizes import Size
from perfgate.measure.histogram import Histogram, NoRequests
from perfgate.record import MeasurementRecord, WindowRecord

#: Narrower terminals get lines that wrap.
WIDTH_MIN: Final = 100
PERCENTILES: Final = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class _Row:
    """One size; throughput in all its windows, and in each by generation and round."""

    size: Size
    rps: float
    rps_by_round: dict[tuple[int, int], float]
    latency: Histogram
    failed: int


def size_tables(measurements: Sequence[MeasurementRecord], width: int) -> list[str]:
    """A table for every measurement of several sizes, and below it the number of workers that did best."""
    texts = []
    for measurement in measurements:
        rows = _rows(measurement)
        if len(rows) > 1:
            texts.append("\n".join([f"{measurement.scenario}: by size", _table(rows, width), *_best(rows)]))
    return texts


def _rows(measurement: MeasurementRecord) -> list[_Row]:
    rows = []
    for arm in measurement.arms:
        if arm.gateway is None:
            continue
        size = Size(arm.gateway.instances, arm.gateway.workers)
        windows = [window for window in measurement.windows if window.arm == arm.name]
        if arm.name == size.name and windows:
            rows.append(_row(size, windows))
    return sorted(rows, key=lambda row: row.size)


def _row(size: Size, windows: Sequence[WindowRecord]) -> _Row:
    seconds = [window.load.drained_mono_s - window.load.window_opened_mono_s for window in windows]
    return _Row(
        size,
        sum(window.load.succeeded for window in windows) / sum(seconds),
        {(w.generation, w.round): w.load.succeeded / s for w, s in zip(windows, seconds, strict=True)},
        Histogram.merged([Histogram.decoded(window.load.latency) for window in windows]),
        sum(window.load.sent - window.load.succeeded for window in windows),
    )


def _table(rows: Sequence[_Row], width: int) -> str:
    table = Table(box=None, pad_edge=False, header_style="bold")
    percentiles = [f"p{percentile} ms" for percentile in PERCENTILES]
    for column in ("instances", "workers of each", "requests/s", *percentiles, "failed"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            str(row.size.instances),
            str(row.size.workers),
            f"{row.rps:.1f}",
            *(_percentile(row.latency, percentile) for percentile in PERCENTILES),
            f"{row.failed:,}",
        )
    text = io.StringIO()
    Console(file=text, width=max(width, WIDTH_MIN), highlight=False).print(table)
    return text.getvalue().rstrip()


def _percentile(latency: Histogram, percentile: float) -> str:
    try:
        return f"{latency.percentile_ms(percentile):.3g}"
    except NoRequests:
        return "none answered"


def _best(rows: Sequence[_Row]) -> list[str]:
    """Which number of workers of one instance answered most, and in how many rounds it was ahead of each other one."""
    by_rate = sorted((row for row in rows if row.size.instances == 1), key=lambda row: -row.rps)
    if len(by_rate) < 2:
        return []
    best, *others = by_rate
    said = []
    for row in others:
        shared = best.rps_by_round.keys() & row.rps_by_round.keys()
        ahead = sum(best.rps_by_round[key] > row.rps_by_round[key] for key in shared)
        loss = f"{(row.rps / best.rps - 1) * 100:+.1f} %" if best.rps else "none answered"
        said.append(f"{_workers(row)} {row.rps:.1f} ({loss}; behind in {ahead} of {len(shared)} rounds)")
    return [f"{_workers(best)} did best here: {best.rps:.1f} requests/s; " + ", ".join(said)]


def _workers(row: _Row) -> str:
    return f"{row.size.workers} worker" + ("s" if row.size.workers > 1 else "")
