"""Is the whole of several parts what one process would have counted?"""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from perfgate.load.merging import FAILED_REPLIES_MAX, merged
from perfgate.load.result import ErrorCount, FailedReply, LoadResult, WorkerUse
from perfgate.measure.histogram import Histogram
from tests.harness.load.conftest import load_result

durations = st.lists(st.integers(1, 10**8), max_size=40)


def whole_of(*parts: LoadResult, **changes: Any) -> LoadResult:
    workers = [WorkerUse(f"node/{number}", part.sent, part.generator_cpu_s) for number, part in enumerate(parts)]
    given: dict[str, Any] = {
        "workers": workers,
        "workers_expected": len(parts),
        "window_opened_mono_s": 10.0,
        "window_closed_mono_s": 20.0,
        "drained_mono_s": 20.5,
        "other_cpu_s": 0.0,
        "in_flight_cap": 10_000,
        "targets": 1,
    }
    return merged(parts, **given | changes)


@given(st.lists(durations, min_size=1, max_size=4))
def test_percentiles_are_those_of_all_requests_together(parts_us: list[list[int]]) -> None:
    """Never averaged: the truth here is the histogram that one recorder of all requests would have made."""
    together = Histogram.of_us([duration_us for part in parts_us for duration_us in part])
    parts = [load_result(latency=Histogram.of_us(part), chunk_gap=Histogram.of_us(part)) for part in parts_us]
    whole = whole_of(*parts)
    assert whole.latency == together
    assert whole.chunk_gap == together


def test_an_average_of_percentiles_would_have_been_another_figure() -> None:
    fast, slow = load_result(latency=Histogram.of_us([1_000] * 990)), load_result(latency=Histogram.of_us([9_000] * 10))
    assert whole_of(fast, slow).latency.percentile_ms(95) == 1
    assert (fast.latency.percentile_ms(95) + slow.latency.percentile_ms(95)) / 2 > 4.9


def test_counts_are_added_by_kind_status_and_target() -> None:
    first = load_result(
        sent=10,
        succeeded=7,
        completed=9,
        errors=(ErrorCount("http_500", 2, "first"), ErrorCount("unfinished", 1, "late")),
        statuses=((200, 7), (500, 2)),
        sent_by_target=(6, 4),
        in_flight_max=5,
    )
    second = load_result(
        sent=5,
        succeeded=2,
        completed=5,
        errors=(ErrorCount("http_429", 2, "slow down"), ErrorCount("http_500", 1, "second")),
        statuses=((200, 2), (429, 2), (500, 1)),
        sent_by_target=(2, 3),
        in_flight_max=3,
    )
    whole = whole_of(first, second, targets=2, other_cpu_s=0.5)
    assert (whole.sent, whole.completed, whole.succeeded, whole.in_flight_max) == (15, 14, 9, 8)
    assert whole.errors == (
        ErrorCount("http_500", 3, "first"),
        ErrorCount("http_429", 2, "slow down"),
        ErrorCount("unfinished", 1, "late"),
    )
    assert whole.statuses == ((200, 9), (429, 2), (500, 3))
    assert whole.sent_by_target == (8, 7)
    assert whole.generator_cpu_s == first.generator_cpu_s + second.generator_cpu_s + 0.5
    assert (whole.window_opened_mono_s, whole.drained_mono_s) == (10.0, 20.5)


def test_the_busiest_process_is_what_a_limit_on_the_generators_cpu_is_held_against() -> None:
    whole = whole_of(load_result(generator_cpu_s=2.1), load_result(generator_cpu_s=8.4))
    assert whole.generator_cpu_ratio == 8.4 / 10.5


def test_where_nobody_reported_nothing_is_known() -> None:
    whole = whole_of(workers_expected=2, targets=3)
    assert (whole.sent, whole.latency.count, whole.sent_by_target, whole.workers) == (0, 0, (0, 0, 0), ())


def test_failed_replies_are_as_few_as_of_one_process() -> None:
    parts = [load_result(failed_replies=(FailedReply("http_500", str(number)),) * 15) for number in range(2)]
    whole = whole_of(*parts)
    assert len(whole.failed_replies) == FAILED_REPLIES_MAX
