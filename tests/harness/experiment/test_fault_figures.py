"""What is said of a fault: to users meanwhile, until they fare as before, and of what is left?"""

from dataclasses import replace

import pytest

from perfgate.experiment import fault_figures as figures
from perfgate.experiment.arms import Arm
from perfgate.experiment.fault_figures import AFTER, BEFORE, DURING, GOOD_WINDOWS
from perfgate.experiment.measurement import (
    MIB,
    FaultCycle,
    GatewayUse,
    LedgerUse,
    Measurement,
    NotMeasured,
    SinkUse,
    Unmeasurable,
    Window,
)
from perfgate.load.schedule import OpenLoop
from tests.harness.synthetic import GATEWAY, load_result

SECOND = OpenLoop(offered_rps=100, warm_up_s=0, window_s=1)
#: The dependency is well again here.
ENDED_MONO_S = 1000.0
GOOD_MS, BAD_MS = 10.0, 200.0


def window(arm: str, number: int, *, latency_ms: float = GOOD_MS, failed: int = 0, rss_mib: float = 300) -> Window:
    opened_mono_s = ENDED_MONO_S + number + 0.1
    load = load_result(latency_ms, requests=100, failed=failed, seed=number)
    load = replace(load, window_opened_mono_s=opened_mono_s, drained_mono_s=opened_mono_s + 1)
    use = GatewayUse(0.5, 0, int(rss_mib * MIB), 100, 0.001)
    return Window(arm, 0, number, 0, 1, load, use)


def measured(
    *,
    during: tuple[Window, ...] = (window(DURING, 0), window(DURING, 1)),
    after: tuple[Window, ...] = (window(AFTER, 0), window(AFTER, 1), window(AFTER, 2)),
    sink: SinkUse | None = None,
    ledger: LedgerUse | None = None,
    rss_before_mib: float = 300,
) -> Measurement:
    """One cycle."""
    arms = tuple(Arm(name, GATEWAY.gateway) for name in (BEFORE, DURING, AFTER))
    before = tuple(window(BEFORE, n, rss_mib=rss_before_mib) for n in range(2))
    cycle = FaultCycle(0, ENDED_MONO_S - 30, ENDED_MONO_S - 1, ENDED_MONO_S, ledger, sink)
    return Measurement("fault_x", arms, SECOND, (*before, *during, *after), faults=(cycle,))


def further(measurement: Measurement, **changes: float) -> Measurement:
    """The same with a second cycle, a copy of the first but for its recovery, which is later by so many seconds."""
    later_s = changes["later_s"]
    windows = tuple(
        replace(
            one,
            generation=1,
            load=replace(one.load, window_opened_mono_s=one.load.window_opened_mono_s + later_s),
        )
        for one in measurement.windows
    )
    (cycle,) = measurement.faults
    return replace(measurement, windows=measurement.windows + windows, faults=(cycle, replace(cycle, generation=1)))


class TestWhileItFails:
    def test_only_the_windows_of_that_time_are_read(self) -> None:
        slow = measured(during=(window(DURING, 0, latency_ms=80), window(DURING, 1, latency_ms=80)))
        estimate = figures.latency_during_ms(slow, 50)
        assert estimate.metric == "fault_latency_p50_ms"
        assert estimate.value == pytest.approx(80, rel=0.03)
        assert estimate.requests == 200

    def test_errors_are_counted_of_the_requests_of_that_time(self) -> None:
        failing = measured(during=(window(DURING, 0, failed=5), window(DURING, 1)))
        assert figures.errors_during(failing).value == 5 / 200

    def test_errors_after_it_are_none_of_that_time(self) -> None:
        assert figures.errors_during(measured(after=(window(AFTER, 0, failed=50),))).value == 0


class TestRecovery:
    def test_users_who_fare_as_before_at_once_wait_for_the_first_window_alone(self) -> None:
        assert figures.recovery_s(measured()).value == pytest.approx(0.1)

    @pytest.mark.parametrize(
        "bad", [window(AFTER, 0, failed=1), window(AFTER, 0, latency_ms=BAD_MS), window(AFTER, 0, failed=100)]
    )
    def test_a_window_with_an_error_or_a_high_p95_is_not_as_before(self, bad: Window) -> None:
        after = (bad, *(window(AFTER, 1 + n) for n in range(GOOD_WINDOWS)))
        assert figures.recovery_s(measured(after=after)).value == pytest.approx(1.1)

    def test_a_good_window_between_bad_ones_is_no_recovery(self) -> None:
        bad_again = window(AFTER, 2, latency_ms=BAD_MS)
        after = (window(AFTER, 0), window(AFTER, 1), bad_again, *(window(AFTER, 3 + n) for n in range(GOOD_WINDOWS)))
        measurement = measured(after=after)
        assert figures.recovery_s(measurement).value == pytest.approx(3.1)
        assert figures.has_recovered(measurement, 0)

    def test_users_who_never_do_count_with_all_that_was_waited(self) -> None:
        after = tuple(window(AFTER, n, failed=1) for n in range(5))
        measurement = measured(after=after)
        assert figures.recovery_s(measurement).value == pytest.approx(5.1)
        assert not figures.has_recovered(measurement, 0)

    def test_too_few_windows_are_no_recovery_yet(self) -> None:
        assert not figures.has_recovered(measured(after=(window(AFTER, 0),)), 0)

    def test_the_slowest_cycle_counts(self) -> None:
        assert figures.recovery_s(further(measured(), later_s=4.0)).value == pytest.approx(4.1)

    def test_a_cycle_that_broke_off_says_nothing(self) -> None:
        with pytest.raises(NotMeasured, match="no cycle went through all of its phases"):
            figures.recovery_s(measured(after=()))


class TestMemory:
    def test_growth_is_from_the_last_window_before_to_the_last_in_the_fault(self) -> None:
        grown = measured(during=(window(DURING, 0, rss_mib=390), window(DURING, 1, rss_mib=380)))
        assert figures.memory_growth_mib(grown).value == pytest.approx(80, abs=0.01)

    def test_what_is_kept_is_what_the_last_window_has_more_than_before(self) -> None:
        after = (window(AFTER, 0, rss_mib=380), window(AFTER, 1, rss_mib=330))
        assert figures.memory_kept_mib(measured(after=after)).value == pytest.approx(30, abs=0.01)


class TestWhatWasWritten:
    def test_records_that_never_came_are_a_share_of_all_requests(self) -> None:
        lost = measured(sink=SinkUse(requests=1000, records=990, distinct=980, waited_s=1))
        assert figures.records_missing_ratio(lost).value == 0.02
        assert figures.records_repeated_ratio(lost).value == 0.01

    def test_a_gateway_without_a_callback_has_no_records(self) -> None:
        with pytest.raises(Unmeasurable, match="has a callback that logs to perfgate's sink"):
            figures.records_missing_ratio(measured())

    def test_rows_too_few_and_too_many_are_wrong(self) -> None:
        ledger = LedgerUse(1000, 990, 100.0, 80.0, 1.0, 3, 10)
        assert figures.spend_rows_missing_ratio(measured(ledger=ledger)).value == 0.01
        assert figures.spend_rows_missing_ratio(measured(ledger=replace(ledger, rows=1020))).value == 0.02

    def test_the_spend_of_the_key_is_held_against_that_of_its_rows(self) -> None:
        ledger = LedgerUse(1000, 1000, 100.0, 80.0, 1.0, 3, 10)
        assert figures.key_spend_error_ratio(measured(ledger=ledger)).value == pytest.approx(0.2)
        with pytest.raises(NotMeasured, match="no row of the spend log"):
            figures.key_spend_error_ratio(measured(ledger=replace(ledger, rows_spend_usd=0.0)))

    def test_a_gateway_without_a_database_has_no_rows(self) -> None:
        with pytest.raises(Unmeasurable, match="a database that perfgate can look into"):
            figures.spend_rows_missing_ratio(measured())
