"""Is every size a row, and is the number of workers named that did best?"""

from dataclasses import replace

from perfgate.experiment.measurement import Measurement
from perfgate.experiment.sizes import Size
from perfgate.measure.histogram import Histogram
from perfgate.record_entries import measurement_record
from perfgate.report.size_tables import size_tables
from tests.harness.experiment.test_sizes import measured
from tests.harness.report.conftest import a_measurement
from tests.harness.report.test_terminal import cells
from tests.harness.synthetic import Truth


def lines_of(measurement: Measurement) -> list[str]:
    (text,) = size_tables([measurement_record(measurement)], 100)
    return text.splitlines()


def test_every_size_is_a_row_with_throughput_percentiles_and_failures() -> None:
    truths = {Size(2, 1): Truth(rps=200, failed=4), Size(1, 1): Truth(overhead_ms=9, rps=100)}
    title, head, one, two, *rest = lines_of(measured(truths, rounds=1, generations=3))
    assert title == "instances: by size"
    assert cells(head) == ["instances", "workers of each", "requests/s", "p50 ms", "p95 ms", "p99 ms", "failed"]
    # In rounds of 0.98, 1.00 and 1.02 of the truth: the mean time for a request is that of the truth.
    assert cells(one)[:4] == ["1", "1", "100.0", "10"]
    assert cells(two)[:3] == ["2", "1", "200.0"]
    assert cells(two)[-1] == "12"
    assert rest == [], "one number of workers is not the best of any"


def test_the_number_of_workers_that_did_best_is_named_with_the_rounds_it_was_ahead_in() -> None:
    truths = {Size(1, 1): Truth(rps=100), Size(1, 2): Truth(rps=125), Size(4, 1): Truth(rps=300)}
    assert lines_of(measured(truths))[-1] == (
        "2 workers did best here: 125.0 requests/s; 1 worker 100.0 (-20.0 %; behind in 6 of 6 rounds)"
    )


def test_what_is_not_of_several_sizes_has_no_table() -> None:
    assert size_tables([a_measurement()], 100) == []


def test_a_size_that_answered_nothing_says_so() -> None:
    both = measured({Size(1, 1): Truth(), Size(2, 1): Truth(failed=399)})
    silent = tuple(
        replace(one, load=replace(one.load, latency=Histogram.of_us([]))) if one.arm == "2x1" else one
        for one in both.windows
    )
    assert cells(lines_of(replace(both, windows=silent))[3])[3:6] == ["none answered"] * 3
