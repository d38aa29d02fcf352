"""Does the end of a search show what is held, what generator and mock hold, and the curve?"""

from pathlib import Path

from perfgate.experiment.measurement import Measurement
from perfgate.record import RecordFile, read
from perfgate.record_entries import measurement_record
from perfgate.report.curve_tables import curve_tables
from tests.harness.experiment.test_capacity_figures import tried
from tests.harness.report.conftest import a_measurement, a_record
from tests.harness.report.test_terminal import cells


def lines_of(measurement: Measurement) -> list[str]:
    (text,) = curve_tables([measurement_record(measurement)], 100)
    return text.splitlines()


def test_the_capacity_and_what_generator_and_mock_hold_stand_above_the_curve() -> None:
    capacity, ceiling, head, *rows = lines_of(tried())
    assert capacity.startswith("capacity: 6")
    assert " requests/s (95 % interval " in capacity
    assert capacity.endswith(" with p95 at most 250 ms, errors at most 0.10%, answered in time at least 99%")
    assert ceiling.startswith("capacity: generator and mock without a gateway: 1")
    assert cells(head) == [
        "offered/s",
        "answered/s",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "failed",
        "answered in time",
        "held",
    ]
    assert [cells(row)[0] for row in rows] == ["15.0", "30.0", "60.0", "64.0", "72.0", "80.0", "84.0", "120.0"]
    assert cells(rows[2])[-3:] == ["0.00%", "100.0%", "8 of 8"]
    assert cells(rows[-1])[-3:] == ["5.00%", "100.0%", "0 of 4"]


def test_a_bound_is_called_one_and_what_was_not_measured_is_said() -> None:
    capacity, ceiling, *_ = lines_of(tried(((15, "held"), (30, "held")), direct=()))
    assert capacity.startswith("capacity: at least 30 requests/s with ")
    assert ceiling == "capacity: generator and mock without a gateway: not measured"


def test_what_searched_for_nothing_has_no_curve() -> None:
    assert curve_tables([a_measurement()], 100) == []


def test_a_search_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = a_record(measurements=[measurement_record(tried(((15, "held"), (30, "held"))))])
    RecordFile(tmp_path / "r.json").write(written)
    again = read(tmp_path / "r.json")
    assert again == written
    (kept,) = again.measurements
    assert kept.search is not None
    assert kept.search.gateway is not None
    assert (kept.search.gateway.bound, kept.search.gateway.high_rps) == ("at least", None)
    assert kept.search.objective.latency_p95_ms == 250
    assert [w.trial.offered_rps for w in kept.windows if w.arm == "gateway" and w.trial] == [15, 30] * 4
