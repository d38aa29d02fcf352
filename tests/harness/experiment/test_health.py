"""Is an unfit apparatus always named, and a slow gateway never mistaken for one?"""

import dataclasses

from perfgate.experiment import health
from perfgate.experiment.measurement import Measurement
from perfgate.load.result import WorkerUse
from perfgate.load.schedule import ClosedLoop, OpenLoop
from perfgate.thresholds import Apparatus
from tests.harness.synthetic import DIRECT, GATEWAY, load_result, measurement, window

LIMITS = Apparatus(
    dispatch_lag_p99_ms=2.0, sent_ratio_min=0.98, generator_cpu_ratio_max=0.8, direct_p95_above_mock_delay_ms=5.0
)


def test_a_fit_apparatus_is_described_in_one_line() -> None:
    found = health.check(measurement(), LIMITS)
    assert found.is_fit
    assert found.words == (
        "healthy: sent 100 % of the offered load, dispatch lag p99 0.2 ms (limit 2 ms), "
        "generator CPU 2.4 % of a core, direct p95 1.1 ms (limit 5 ms)"
    )


def test_a_slow_gateway_is_not_the_apparatus_fault() -> None:
    assert health.check(measurement(gateway_ms=5_000), LIMITS).is_fit


def test_a_slow_mock_is_a_complaint_unless_it_was_told_to_be_slow() -> None:
    slow = measurement(direct_ms=20)
    assert "without a gateway p95 is 21" in health.check(slow, LIMITS).complaints[0]
    assert health.check(dataclasses.replace(slow, mock_delay_ms=20.0), LIMITS).is_fit


def test_failures_without_a_gateway_spoil_counts_too() -> None:
    windows = (window("direct", load_result(1.0, failed=3)), window("gateway", load_result(9.0)))
    found = health.check(dataclasses.replace(measurement(), windows=windows), LIMITS)
    assert found.complaints == ("3 requests of the direct arm failed at the mock endpoint: 3 http_500",)
    assert not found.counts_are_fit


def test_a_busy_host_is_the_likeliest_cause_where_there_is_a_complaint() -> None:
    busy = health.check(measurement(lag_ms=9), LIMITS, host_pressure=0.5)
    assert busy.likely_causes[0].startswith("the host is busy: in 50%")
    assert busy.likely_causes[1].startswith("another process takes the generator's core")
    assert health.check(measurement(), LIMITS, host_pressure=0.5).likely_causes == ()


def test_in_a_closed_loop_requests_queue_at_the_mock_by_design() -> None:
    closed = dataclasses.replace(measurement(direct_ms=80), schedule=ClosedLoop(50, warm_up_s=1, window_s=4))
    found = health.check(closed, LIMITS)
    assert found.is_fit
    assert "closed loop of 50 users" in found.words


def test_users_who_think_do_not_queue_at_the_mock() -> None:
    thinking = ClosedLoop(50, warm_up_s=1, window_s=4, think_time_s=1)
    slow, fast = (dataclasses.replace(measurement(direct_ms=ms), schedule=thinking) for ms in (80, 1))
    assert [health.check(each, LIMITS).is_fit for each in (slow, fast)] == [False, True]


def test_a_direct_arm_with_a_schedule_of_its_own_has_no_queue_that_would_excuse_it() -> None:
    users, steady = ClosedLoop(2, warm_up_s=0, window_s=4), OpenLoop(60, warm_up_s=0, window_s=4)
    slow, fast = (
        dataclasses.replace(measurement(direct_ms=ms), schedule=users, direct_schedule=steady) for ms in (60, 1)
    )
    (complaint,) = health.check(slow, LIMITS).complaints
    assert complaint.startswith("without a gateway p95 is 6")
    assert complaint.endswith(" ms, at most 5 ms is allowed")
    assert health.check(fast, LIMITS).is_fit
    assert "direct p95 1.1 ms (limit 5 ms)" in health.check(fast, LIMITS).words
    queueing = dataclasses.replace(slow, schedule=steady, direct_schedule=users)
    assert health.check(queueing, LIMITS).is_fit, "the other way round"


def test_users_who_all_wait_for_a_hanging_gateway_are_not_the_generators_fault() -> None:
    none_sent = load_result(1.0, requests=0)
    windows = (window("direct", load_result(1.0)), window("gateway", none_sent))
    closed = ClosedLoop(50, warm_up_s=1, window_s=4)
    assert health.check(dataclasses.replace(measurement(), schedule=closed, windows=windows), LIMITS).is_fit
    nobody = dataclasses.replace(measurement(), schedule=closed, arms=(GATEWAY,), windows=windows[1:])
    assert health.check(nobody, LIMITS).is_fit


def test_of_streams_the_first_token_shows_what_the_apparatus_adds() -> None:
    assert health.check(streams(first_token_ms=2), LIMITS).is_fit
    assert not health.check(streams(first_token_ms=9), LIMITS).is_fit


def test_one_request_at_a_time_has_no_schedule_to_be_late_for() -> None:
    alone = dataclasses.replace(measurement(lag_ms=9), schedule=None)
    assert health.check(alone, LIMITS).words.startswith("healthy: one request at a time, no schedule")


def by_locust(*workers: WorkerUse, expected: int = 2) -> Measurement:
    """A closed loop of which the first window was sent by these workers, and all others by two that were well."""
    well = (WorkerUse("node/1", 100, 0.1), WorkerUse("node/2", 100, 0.1))
    found = dataclasses.replace(measurement(), schedule=ClosedLoop(20, warm_up_s=1, window_s=4))
    loads = [dataclasses.replace(one.load, workers=well, workers_expected=expected) for one in found.windows]
    loads[0] = dataclasses.replace(loads[0], workers=workers or well)
    windows = tuple(dataclasses.replace(one, load=load) for one, load in zip(found.windows, loads, strict=True))
    return dataclasses.replace(found, windows=windows)


def test_locust_workers_that_are_all_well_are_named_and_the_busiest_of_them() -> None:
    found = health.check(by_locust(), LIMITS)
    assert found.is_fit
    assert found.words == (
        "healthy: closed loop of 20 users, 2 Locust workers, dispatch lag p99 0.2 ms (limit 2 ms), "
        "busiest Locust worker CPU 2.4 % of a core, direct p95 1.1 ms"
    )


def test_a_locust_worker_that_does_not_report_spoils_everything() -> None:
    found = health.check(by_locust(WorkerUse("node/1", 100, 0.1)), LIMITS)
    assert found.complaints == ("1 of 2 Locust workers reported: what the others sent is in no figure",)
    assert found.likely_causes[0].startswith("a Locust worker was killed, or lost its connection")
    assert not found.counts_are_fit


def test_a_cpu_warning_of_a_locust_worker_spoils_times_and_no_counts() -> None:
    busy = by_locust(WorkerUse("node/1", 100, 0.1, 93.0), WorkerUse("node/2", 100, 0.1, 97.4))
    found = health.check(busy, LIMITS)
    assert found.complaints == (
        "2 of 2 Locust workers warned of their CPU use, node/2 at 97 % of a core: what they measure is late",
    )
    assert found.likely_causes == ("the load is more than these workers can send: more of them, on cores of their own",)
    assert found.counts_are_fit


def test_a_locust_worker_that_uses_too_much_of_its_core_is_a_complaint_however_idle_the_others_are() -> None:
    found = health.check(by_locust(WorkerUse("node/1", 10, 0.0), WorkerUse("node/2", 190, 3.9)), LIMITS)
    assert found.complaints == ("the busiest Locust worker used 95% of a core, at most 80% is allowed",)


def streams(first_token_ms: float) -> Measurement:
    windows = (
        window("direct", load_result(200.0, first_token_ms=first_token_ms, chunk_gap_ms=10)),
        window("gateway", load_result(250.0, first_token_ms=30, chunk_gap_ms=10)),
    )
    return dataclasses.replace(measurement(), arms=(DIRECT, GATEWAY), windows=windows)
