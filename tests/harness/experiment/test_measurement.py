"""Do figures come out as they were put in, on measurements whose truth is known?"""

import dataclasses

import pytest

from perfgate.experiment.measurement import Measurement, NotMeasured, SinkUse, Unmeasurable
from perfgate.experiment.metrics import METRICS
from perfgate.measure.histogram import Histogram
from perfgate.stats.resampling import LOOKS_MAX
from perfgate.verdict import unit_of
from tests.harness.synthetic import load_result, measurement, window


def streams() -> Measurement:
    windows = tuple(
        made
        for number in range(4)
        for made in (
            window("direct", load_result(100.0, first_token_ms=1, chunk_gap_ms=10, seed=number), number=number),
            window("gateway", load_result(200.0, first_token_ms=9, chunk_gap_ms=11, seed=9 + number), number=number),
        )
    )
    return dataclasses.replace(measurement(), windows=windows)


@pytest.mark.parametrize(
    ("metric", "truth"),
    [
        ("first_token_p50_ms", 9.0),
        ("first_token_overhead_p50_ms", 8.0),
        ("chunk_gap_p50_ms", 11.0),
        ("latency_p50_ms", 200.0),
        ("overhead_p50_ms", 100.0),
    ],
)
def test_figures_of_streams(metric: str, truth: float) -> None:
    assert METRICS[metric].estimate(streams()).value == pytest.approx(truth, rel=0.05)


@pytest.mark.parametrize("metric", [name for name in METRICS if "first_token" in name or "chunk_gap" in name])
def test_without_streams_their_figures_are_not_measured_and_the_message_says_what_is_missing(metric: str) -> None:
    with pytest.raises(NotMeasured, match="does the scenario's load say `stream: true`"):
        METRICS[metric].estimate(measurement())


def endpoints(**through: int) -> Measurement:
    """Embeddings that take 9 ms through the gateway and 1 ms without; of 200 replies a round some lack the header."""
    windows = []
    for number in range(4):
        load = dataclasses.replace(load_result(9.0, seed=number, **through), header_missing=10)
        windows.append(window("embeddings", load, number=number))
        windows.append(window("embeddings_direct", load_result(1.0, seed=50 + number), number=number))
    return dataclasses.replace(measurement(), windows=tuple(windows))


@pytest.mark.parametrize(
    ("metric", "truth"),
    [("embeddings_overhead_p50_ms", 8.0), ("embeddings_header_missing_ratio", 0.05), ("embeddings_error_ratio", 0.0)],
)
def test_figures_of_an_endpoint(metric: str, truth: float) -> None:
    estimate = METRICS[metric].estimate(endpoints())
    assert estimate.value == pytest.approx(truth, rel=0.05)
    assert estimate.metric == metric


def test_errors_of_an_endpoint_are_its_own() -> None:
    assert METRICS["embeddings_error_ratio"].estimate(endpoints(failed=20)).value == pytest.approx(0.1)
    assert METRICS["embeddings_error_ratio"].arms == METRICS["embeddings_overhead_p95_ms"].arms == ("embeddings",)


def sessions(held: int = 200, openings: int = 50) -> Measurement:
    """Sessions that take 12 ms to open through the gateway and 2 ms without; 100 of them in a window of 4 s."""
    windows = []
    for number in range(4):
        for arm, opening_ms in (("gateway", 12), ("direct", 2)):
            load = dataclasses.replace(
                load_result(5.0, seed=number),
                session_opening=Histogram.of_us([opening_ms * 1000] * openings),
                sessions_opened=100,
                sessions_held_min=held + number,
            )
            windows.append(window(arm, load, number=number))
    return dataclasses.replace(measurement(), windows=tuple(windows))


@pytest.mark.parametrize(
    ("metric", "truth", "unit"),
    [
        ("session_opening_p50_ms", 12.0, "ms"),
        ("session_opening_overhead_p95_ms", 10.0, "ms"),
        ("opened_sessions_per_s", 25.0, "sessions/s"),
        ("held_sessions", 200.0, "sessions"),
    ],
)
def test_figures_of_sessions(metric: str, truth: float, unit: str) -> None:
    estimate = METRICS[metric].estimate(sessions())
    assert estimate.value == pytest.approx(truth, rel=0.01)
    assert estimate.unit == unit == unit_of(metric)


def test_opening_is_judged_by_the_sessions_that_were_opened_and_not_by_their_turns() -> None:
    for metric in ("session_opening_p95_ms", "session_opening_overhead_p95_ms"):
        assert METRICS[metric].estimate(sessions(openings=50)).requests == 200


def test_sessions_that_were_never_opened_are_an_error_and_not_zero() -> None:
    with pytest.raises(NotMeasured, match="arm 'gateway' has no realtime session that was created"):
        METRICS["session_opening_p50_ms"].estimate(measurement())


def test_throughput_is_all_that_succeeded_over_windows_and_drains() -> None:
    estimate = METRICS["throughput_rps"].estimate(measurement(failed=41))
    assert estimate.value == pytest.approx((200 - 41) / 4.1)
    assert estimate.unit == "requests/s"


def test_cpu_of_a_gateway_that_was_not_measured_is_an_error_and_not_zero() -> None:
    unmeasured = dataclasses.replace(
        measurement(), windows=(window("direct", load_result(1.0)), window("gateway", load_result(9.0)))
    )
    with pytest.raises(
        Unmeasurable, match="CPU and memory of arm 'gateway' are not measured: its processes are not ours"
    ):
        unmeasured.cpu_ms_per_request()


def test_an_arm_without_windows_is_named_with_those_there_are() -> None:
    with pytest.raises(NotMeasured, match=r"no window of arm 'candidate'; arms are \['direct', 'gateway'\]"):
        measurement().latency_ms(50, arm="candidate")


def logging(*sinks: SinkUse | None) -> Measurement:
    """The arm with a callback has a window for each."""
    windows = [
        dataclasses.replace(window("candidate", load_result(9.0), number=number), sink=sink)
        for number, sink in enumerate(sinks)
    ]
    return dataclasses.replace(measurement(), windows=tuple(windows))


def test_what_one_window_logs_more_than_once_does_not_make_up_for_what_another_lost() -> None:
    sinks = SinkUse(100, records=97, distinct=95, waited_s=1.0), SinkUse(100, records=106, distinct=105, waited_s=1.0)
    missing, repeated = (
        METRICS[f"log_records_{what}_ratio"].estimate(logging(*sinks)) for what in ("missing", "repeated")
    )
    assert (missing.value, missing.low, missing.high) == (5 / 200, 5 / 200, 5 / 200)
    assert repeated.value == 3 / 200


@pytest.mark.parametrize("metric", ["log_records_missing_ratio", "log_records_repeated_ratio"])
def test_without_a_callback_nothing_is_said_of_its_records(metric: str) -> None:
    with pytest.raises(Unmeasurable, match="arm 'candidate' has no callback that logs to perfgate's sink"):
        METRICS[metric].estimate(logging(SinkUse(100, 100, 100, 1.0), None))


def test_with_as_many_looks_as_there_may_be_an_interval_is_told_and_no_narrower_than_with_one() -> None:
    once = measurement()
    often = dataclasses.replace(once, looks=LOOKS_MAX)
    narrow, wide = once.latency_ms(50), often.latency_ms(50)
    assert often.confidence == pytest.approx(0.9995)
    assert wide.low <= narrow.low <= narrow.high <= wide.high
    with pytest.raises(ValueError, match="no sample in a tail; at least 4040 are needed"):
        dataclasses.replace(once, looks=LOOKS_MAX + 1).latency_ms(50)
