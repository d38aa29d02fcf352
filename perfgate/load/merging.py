"""What do the parts of one load come to, each of which another process sent?

Comes in: the `LoadResult` of every part, and when the whole began and ended. Goes out: one `LoadResult`. Counts are
added and histograms merged, so that a percentile is one of all requests; no percentile is ever averaged.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from perfgate.load.result import ErrorCount, LoadResult, WorkerUse
from perfgate.measure.histogram import Histogram

#: Of one load: enough to see what a gateway says when it fails, however many requests do.
FAILED_REPLIES_MAX: Final = 20


def merged(
    parts: Sequence[LoadResult],
    *,
    workers: Sequence[WorkerUse],
    workers_expected: int,
    window_opened_mono_s: float,
    window_closed_mono_s: float,
    drained_mono_s: float,
    other_cpu_s: float,
    in_flight_cap: int,
    targets: int,
) -> LoadResult:
    """One result of all parts.

    Args:
        parts: of the processes that have reported; their clocks need not be one.
        workers: these processes.
        workers_expected: how many should have been among them.
        window_opened_mono_s, window_closed_mono_s, drained_mono_s: of the whole, by this host's CLOCK_MONOTONIC.
        other_cpu_s: CPU of what belongs to the generator and sends nothing.
        in_flight_cap: of the whole.
        targets: how many; where there is no part, none of them was sent anything.

    Returns:
        The whole. `in_flight_max` is the sum of the parts' own, each of which may have had its most at another moment:
        never less than the truth.
    """

    def total(of: Callable[[LoadResult], int]) -> int:
        return sum(of(part) for part in parts)

    def all_of(of: Callable[[LoadResult], Histogram]) -> Histogram:
        return Histogram.merged([of(part) for part in parts])

    statuses: dict[int, int] = {}
    for status, count in (pair for part in parts for pair in part.statuses):
        statuses[status] = statuses.get(status, 0) + count
    by_target = [part.sent_by_target for part in parts] or [(0,) * targets]
    replies = [reply for part in parts for reply in part.failed_replies]
    return LoadResult(
        offered=total(lambda part: part.offered),
        sent=total(lambda part: part.sent),
        completed=total(lambda part: part.completed),
        succeeded=total(lambda part: part.succeeded),
        errors=_errors(error for part in parts for error in part.errors),
        statuses=tuple(sorted(statuses.items())),
        latency=all_of(lambda part: part.latency),
        service_time=all_of(lambda part: part.service_time),
        dispatch_lag=all_of(lambda part: part.dispatch_lag),
        header_overhead=all_of(lambda part: part.header_overhead),
        header_missing=total(lambda part: part.header_missing),
        reply_bytes=total(lambda part: part.reply_bytes),
        window_opened_mono_s=window_opened_mono_s,
        window_closed_mono_s=window_closed_mono_s,
        drained_mono_s=drained_mono_s,
        generator_cpu_s=other_cpu_s + sum(part.generator_cpu_s for part in parts),
        in_flight_max=total(lambda part: part.in_flight_max),
        in_flight_cap=in_flight_cap,
        sent_by_target=tuple(sum(of_target) for of_target in zip(*by_target, strict=True)),
        first_token=all_of(lambda part: part.first_token),
        first_token_service=all_of(lambda part: part.first_token_service),
        chunk_gap=all_of(lambda part: part.chunk_gap),
        chunks=total(lambda part: part.chunks),
        streams_done=total(lambda part: part.streams_done),
        workers_expected=workers_expected,
        workers=tuple(workers),
        failed_replies=tuple(replies[:FAILED_REPLIES_MAX]),
    )


def _errors(errors: Iterable[ErrorCount]) -> tuple[ErrorCount, ...]:
    """By kind, each with the first part's example, most frequent first."""
    of_kind: dict[str, ErrorCount] = {}
    for error in errors:
        seen = of_kind.get(error.kind)
        count = error.count + (seen.count if seen is not None else 0)
        of_kind[error.kind] = ErrorCount(error.kind, count, (seen or error).example)
    return tuple(sorted(of_kind.values(), key=lambda error: (-error.count, error.kind)))
